"""Signing in through an issuer of OpenID Connect, over HTTP: who gets which account, and as what."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import aiohttp
import psycopg
import pytest

from ali.features.identity.external_accounts import role_at_sign_in
from ali.features.identity.http.openid import COOKIE
from tests.fixtures.database import Tenant
from tests.fixtures.service import Serve, Service
from tests.identity.people import BEHIND_PROXY, Caller, audit, make_person
from tests.identity.test_own_account import invited
from tests.unit.identity import issuer as issuers
from tests.unit.identity.issuer import CLIENT, Issuer, issuing, provider_of
from tests.unit.identity.test_openid_real import PASSWORD, SECRET, Browser, canaille

Admitting = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
async def issuer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Issuer]:
    """An issuer whose clock is the world's, and whose person nobody has met."""
    monkeypatch.setattr(issuers, "NOW", datetime.now(UTC))
    async with issuing() as issuer:
        issuer.claims |= {"sub": f"subject-{uuid4()}", "email": f"{uuid4().hex}@Example.com"}
        issuer.userinfo = {"sub": issuer.claims["sub"]}
        yield issuer


@pytest.fixture
def admitting(serve: Serve, issuer: Issuer, tenant: Tenant) -> Admitting:
    """The service before `issuer`, whose new people join the test's organization."""
    make_person(tenant)

    def start(**values: Any) -> AbstractAsyncContextManager[Service]:  # noqa: ANN401 - any setting
        provider = {
            "name": "local",
            "issuer": issuer.url,
            "client_id": CLIENT,
            "client_secret": "s3cret",
            "allow_http": True,
            "organization": str(tenant.organization_id),
            "group_roles": {"assistants": "member", "bosses": "admin"},
            **values,
        }
        hosts = [urlsplit(issuer.url).netloc]
        return serve(**BEHIND_PROXY, openid_providers=[provider], outbound_allowed_hosts=hosts)

    return start


async def through(
    caller: Caller, issuer: Issuer, *, token: str | None = None, body: object = None
) -> tuple[int, dict[str, Any]]:
    """The whole way: begin here, sign in there, come back."""
    status, begun = await caller("POST", "/openid/local/start", body, token=token)
    assert status == 200, begun
    answer = issuer.authorize(begun["authorization_url"])
    return await caller("GET", f"/openid/local/callback?{urlencode(answer)}")


async def test_a_new_person_gets_an_account_and_is_known_by_their_subject_from_then_on(
    admitting: Admitting, issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    async with admitting() as service:
        caller = Caller(http, service)
        assert (await caller("GET", "/openid"))[1]["data"] == [{"object": "ali.openid_provider", "name": "local"}]
        status, opened = await through(caller, issuer)
        assert status == 200, opened
        _, me = await caller("GET", "/me", token=opened["access_token"])
        assert (me["email"], me["name"], me["role"]) == (issuer.claims["email"].lower(), "Ana Souza", "member")
        assert not me["has_password"]
        assert audit(service.tenant) == ["user.joined", "user.openid_linked", "user.signed_in"]

        issuer.claims |= {"email": "another@example.com", "groups": ["bosses"]}
        status, again = await through(caller, issuer)
        assert (status, again["user_id"]) == (200, opened["user_id"]), "addresses change, subjects do not"
        _, me = await caller("GET", "/me", token=again["access_token"])
        assert me["role"] == "admin", "groups decide at each sign-in"
        assert "user.role_changed" in audit(service.tenant)
        assert (await caller("POST", "/refresh", {"refresh_token": again["refresh_token"]}))[0] == 200


@pytest.mark.parametrize(
    ("claims", "settings"),
    [
        ({"groups": ["strangers"]}, {}),
        ({}, {"allowed_email_domains": ["other.example"]}),
        ({"email_verified": False}, {}),
        ({"email_verified": "true"}, {}),
        ({}, {"organization": None}),
    ],
    ids=["no group", "another domain", "unverified", "verified as a word", "several organizations"],
)
async def test_who_the_settings_do_not_admit_gets_no_account(
    admitting: Admitting, issuer: Issuer, http: aiohttp.ClientSession, claims: dict[str, Any], settings: dict[str, Any]
) -> None:
    issuer.claims |= claims
    async with admitting(**settings) as service:
        status, answer = await through(Caller(http, service), issuer)
        assert (status, answer["error"]["code"]) == (403, "openid_not_admitted")
        with psycopg.connect(service.tenant.dsn) as connection:
            row = connection.execute(
                "select count(*) from ali.openid_identity where subject = %s", (issuer.claims["sub"],)
            ).fetchone()
        assert row == (0,)


async def test_an_account_with_the_same_address_is_not_taken_but_linked_by_its_own_person(
    admitting: Admitting, issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    async with admitting(group_roles={}, default_role="member") as service:
        ana = make_person(service.tenant, role="developer", second_factor=True)
        issuer.claims["email"] = ana.email
        caller = Caller(http, service)
        status, answer = await through(caller, issuer)
        assert (status, answer["error"]["code"]) == (409, "openid_link_required")
        token = (await caller.signed_in(ana))["access_token"]
        status, linked = await through(caller, issuer, token=token)
        assert (status, linked["user_id"]) == (200, ana.name)
        status, opened = await through(caller, issuer)
        assert (status, opened["user_id"]) == (200, ana.name)
        _, me = await caller("GET", "/me", token=opened["access_token"])
        assert me["role"] == "developer", "without a mapping, roles are made here"
        bia = (await Caller(http, service).signed_in(make_person(service.tenant)))["access_token"]
        status, answer = await through(caller, issuer, token=bia)
        assert (status, answer["error"]["code"]) == (409, "openid_identity_taken")
        status, answer = await caller("POST", "/openid/local/start", token=service.tenant.secret)
        assert (status, answer["error"]["code"]) == (403, "person_required")


async def test_an_invitation_can_be_accepted_through_the_issuer(
    admitting: Admitting, issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    issuer.claims["email_verified"] = False
    async with admitting(group_roles={}, default_role="member") as service:
        token = invited(service.tenant, "ana.souza@example.org", role="auditor")
        caller = Caller(http, service)
        status, opened = await through(caller, issuer, body={"invitation": token})
        assert status == 200, opened
        _, me = await caller("GET", "/me", token=opened["access_token"])
        assert (me["email"], me["role"], me["has_password"]) == ("ana.souza@example.org", "auditor", False)
        status, answer = await caller("POST", "/openid/local/start", {"invitation": token})
        assert (status, answer["error"]["code"]) == (400, "link_refused")


async def test_an_answer_is_taken_once_and_from_the_browser_that_began(
    admitting: Admitting, issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    async with admitting() as service:
        caller = Caller(http, service)
        _, begun = await caller("POST", "/openid/local/start")
        cookie = caller.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Path=/v1/ali/auth/openid", "Max-Age=600"))
        path = f"/openid/local/callback?{urlencode(issuer.authorize(begun['authorization_url']))}"
        async with aiohttp.ClientSession() as other:
            status, answer = await Caller(other, service)("GET", path)
        assert (status, answer["error"]["code"]) == (401, "openid_sign_in_refused")
        answers = await asyncio.gather(*(caller("GET", path) for _ in range(5)))
        assert sorted(status for status, _ in answers) == [200] + [401] * 4
        for query in ("", "?state=x&code=y", "?state=%00&code=%00", f"?state={'x' * 5000}", "?error=access_denied"):
            assert (await caller("GET", f"/openid/local/callback{query}"))[0] in {400, 401}
        for name in ("nobody", "Local", "%00", "..%2f"):
            assert (await caller("POST", f"/openid/{name}/start"))[0] in {400, 404}


async def test_an_issuer_that_does_not_answer_is_its_own_fault(
    serve: Serve, issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    provider = provider_of(f"http://{address}").model_dump() | {"client_secret": "s"}
    for hosts, expected in (([address], "openid_issuer_failed"), ([], "address_refused")):
        async with serve(**BEHIND_PROXY, openid_providers=[provider], outbound_allowed_hosts=hosts) as service:
            status, answer = await Caller(http, service)("POST", "/openid/local/start")
            assert (status, answer["error"]["code"]) in {(502, "address_failed"), (502, expected), (400, expected)}


async def test_the_last_owner_stays_one_whatever_the_groups_say(
    admitting: Admitting, issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    issuer.claims["groups"] = ["founders"]
    async with admitting(group_roles={"founders": "owner", "assistants": "member"}) as service:
        caller = Caller(http, service)
        _, opened = await through(caller, issuer)
        issuer.claims["groups"] = ["assistants"]
        _, again = await through(caller, issuer)
        assert (await caller("GET", "/me", token=again["access_token"]))[1]["role"] == "owner"
        make_person(service.tenant, role="owner")
        _, again = await through(caller, issuer)
        assert (await caller("GET", "/me", token=again["access_token"]))[1]["role"] == "member"
        assert opened["user_id"] == again["user_id"]


@pytest.mark.parametrize(
    ("present", "mapped", "group_roles", "becomes"),
    [
        ("member", "admin", {"bosses": "admin"}, "admin"),
        ("admin", "member", {"bosses": "admin"}, "member"),
        ("admin", "member", {}, "admin"),
        ("owner", "member", {"staff": "member"}, "owner"),
        ("owner", "member", {"founders": "owner"}, "member"),
    ],
)
def test_groups_give_and_take_roles_but_owners_only_where_a_group_is_mapped_to_owner(
    present: str, mapped: str, group_roles: dict[str, str], becomes: str
) -> None:
    provider = provider_of("http://127.0.0.1", group_roles=group_roles)
    assert role_at_sign_in(present, mapped=mapped, provider=provider) == becomes


@pytest.fixture(scope="module")
def real_provider() -> Iterator[tuple[str, str]]:
    """Canaille's address, and the one at which it takes the service to be."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        public = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with canaille(f"{public}/v1/ali/auth/openid/canaille/callback") as address:
        yield address, public


async def test_a_person_of_a_real_provider_signs_in(
    serve: Serve, tenant: Tenant, http: aiohttp.ClientSession, real_provider: tuple[str, str]
) -> None:
    """Canaille, its login form filled in, behind the guard for outbound addresses."""
    make_person(tenant)
    address, public = real_provider
    provider = {
        "name": "canaille",
        "issuer": address,
        "client_id": "confidential",
        "client_secret": SECRET,
        "scopes": ["openid", "email", "profile", "groups"],
        "group_roles": {"auditors": "auditor"},
        "allow_http": True,
        "trusts_email": True,
        "organization": str(tenant.organization_id),
    }
    hosts = [urlsplit(address).netloc]
    async with (
        serve(**BEHIND_PROXY, public_url=public, openid_providers=[provider], outbound_allowed_hosts=hosts) as service,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
    ):
        caller = Caller(http, service)
        status, begun = await caller("POST", "/openid/canaille/start")
        assert status == 200, begun
        browser = Browser(session, callback=f"{public}/v1/ali/auth/openid/canaille/callback")
        answer = await browser.signed_in(begun["authorization_url"], login="ana", password=PASSWORD)
        status, opened = await caller("GET", f"/openid/canaille/callback?{urlencode(answer)}")
        assert status == 200, opened
        _, me = await caller("GET", "/me", token=opened["access_token"])
        assert (me["email"], me["name"], me["role"]) == ("ana@example.com", "Ana Souza", "auditor")
