"""What is taken away is away in every process: two of the real program over one database."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from ali.kernel.epoch import POLL_INTERVAL_S
from tests.administration.callers import add_key, add_person
from tests.end_to_end.service import serving, wait_for
from tests.fixtures.database import HMAC_SECRET, Tenant, temporary_home

SLACK_S = 4.0
"""For a machine that is busy with other things; the promise itself is the polling interval."""


@pytest.mark.blocks_loop("a synchronous test of subprocesses")
def test_what_is_taken_away_is_away_in_the_other_process_too(tenant: Tenant) -> None:
    assert POLL_INTERVAL_S <= 0.5, "so that a poll and its round trip end within the second that is promised"
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(
                serving(
                    stack.enter_context(temporary_home()),
                    variables={"DATABASE_URL": tenant.dsn, "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET},
                )
            )
            for _ in range(2)
        )
        admin = add_key(tenant)
        project = f"/v1/organization/projects/proj_{tenant.project_id.hex}"
        person = add_person(tenant, role="developer", projects={tenant.project_id: "member"})
        theirs = add_key(tenant, role="developer", user=person.id, project=tenant.project_id)

        def made(path: str) -> dict[str, Any]:
            status, body = one.request("POST", path, {"name": "x", "role": "developer"}, key=admin)
            assert status == 200, body
            return dict(body.get("api_key") or body)

        def statuses(secret: str) -> set[int]:
            return {service.request("GET", "/v1/models", key=secret)[0] for service in (one, other)}

        key, narrowed = made(f"{project}/api_keys"), made(f"{project}/api_keys")
        account = made(f"{project}/service_accounts")
        member = add_key(tenant, role="developer", user=person.id)
        archived = add_key(tenant, project=tenant.project_id)
        _, accounts = one.request("GET", f"{project}/service_accounts", key=admin)
        acts: list[tuple[str, str, str, object, int]] = [
            (key["value"], "DELETE", f"{project}/api_keys/{key['id']}", None, 401),
            (narrowed["value"], "POST", f"{project}/api_keys/{narrowed['id']}", {"permissions": []}, 403),
            (account["value"], "DELETE", f"{project}/service_accounts/{accounts['data'][0]['id']}", None, 401),
            (theirs, "DELETE", f"{project}/users/{person.name}", None, 401),
            (member, "DELETE", f"/v1/organization/users/{person.name}", None, 401),
            (archived, "POST", f"{project}/archive", None, 401),
        ]
        for secret, method, path, body, then in acts:
            assert statuses(secret) == {200}, "both processes have it in their memory"
            assert one.request(method, path, body, key=admin)[0] == 200
            began_s = time.monotonic()
            wait_for(_all(statuses, secret, then), what=path, timeout_s=1.0 + SLACK_S)
            assert time.monotonic() - began_s < 1.0 + SLACK_S


def _all(statuses: Callable[[str], set[int]], secret: str, then: int) -> Callable[[], bool]:
    return lambda: statuses(secret) == {then}
