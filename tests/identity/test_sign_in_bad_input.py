"""Whatever is sent to the routes of sign-in, the answer is an error of the caller's that says what to do."""

import asyncio
import json
from itertools import product
from typing import Any

import aiohttp

from tests.fixtures.service import Service
from tests.identity.people import PASSWORD, Caller, make_person

OPEN: dict[str, dict[str, Any]] = {
    "/sign-in": {"email": "nobody@example.org", "password": "x", "code": None},
    "/refresh": {"refresh_token": "x"},
    "/password/reset": {"email": "nobody@example.org"},
    "/password/reset/confirm": {"token": "x", "password": PASSWORD},
    "/invitations/accept": {"token": "x", "name": "x", "password": PASSWORD},
}
OWN: dict[str, dict[str, Any]] = {
    "/password/change": {"password": PASSWORD, "new_password": "x"},
    "/second-factor/enrol": {"password": "x"},
    "/second-factor/confirm": {"enrolment": "x", "code": "x"},
    "/second-factor/disable": {"password": PASSWORD, "code": "x"},
    "/second-factor/recovery-codes": {"password": PASSWORD, "code": "x"},
}
VALUES: list[Any] = [
    *("", "\x00", "a\x00b", "\ud800", "\u202e", "é" * 300, "x" * 100_000, "' or 1=1 --", "{{7*7}}", "%s%n", "../../x"),
    *(None, True, 0, -1, 1e308, [], [""], {}, {"a": 1}),
]


async def test_no_value_of_any_field_is_answered_with_a_failure_of_the_service(
    people: Service, http: aiohttp.ClientSession
) -> None:
    """Each field of each route in turn, and the whole body, also as somebody who is signed in."""
    token = (await Caller(http, people).signed_in(make_person(people.tenant)))["access_token"]
    calls = [
        (path, {**body, field: value}, path in OWN)
        for path, body in {**OPEN, **OWN}.items()
        for field, value in product(body, VALUES)
    ]
    calls += [(path, value, path in OWN) for path in {**OPEN, **OWN} for value in (*VALUES, {"more": 1})]

    async def answered(path: str, body: object, *, own: bool) -> None:
        caller = Caller(http, people)
        headers = {"x-forwarded-for": caller.address, "content-type": "application/json"}
        if own:
            headers["authorization"] = f"Bearer {token}"
        async with http.post(f"{people.url}/v1/ali/auth{path}", data=json.dumps(body), headers=headers) as response:
            answer = await response.json()
            assert response.status < 500 or answer["error"]["code"] == "sign_in_busy", (path, body, answer)
            if path != "/password/reset" or response.status != 202:
                assert answer["error"]["message"], (path, body)

    for start in range(0, len(calls), 40):
        await asyncio.gather(*(answered(path, body, own=own) for path, body, own in calls[start : start + 40]))


async def test_headers_of_every_kind_are_harmless(people: Service, caller: Caller) -> None:
    ana = make_person(people.tenant)
    for agent in ("", "x" * 5000, "\xa0\xad\xff", "é", "' or 1=1 --"):
        status, _ = await caller("POST", "/sign-in", {"email": ana.email, "password": PASSWORD}, user_agent=agent)
        assert status == 200
    token = (await caller.signed_in(ana))["access_token"]
    _, listed = await caller("GET", "/sessions", token=token)
    assert all(len(each["user_agent"]) <= 200 and each["user_agent"].isprintable() for each in listed["data"])
