"""The whole sign-in against a real OpenID provider: Canaille, run here, its login form filled in over plain HTTP."""

import html
import re
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp
import pytest

from ali.features.identity.openid import Fetch, RelyingParty, SignerCache, SignInRefused
from ali.features.identity.openid.person import NotAdmitted
from ali.kernel.openid_provider import OpenIdProvider
from tests.fixtures.tools import requires_environment

SERVE: Final = Path(__file__).resolve().parents[2] / "fixtures" / "canaille" / "serve.py"
CALLBACK: Final = "http://127.0.0.1:9/v1/ali/auth/openid/canaille/callback"
PASSWORD: Final = "correct horse battery staple"
SECRET: Final = "of-the-client_1.2~3"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """Canaille's address."""
    with canaille(CALLBACK) as address:
        yield address


@contextmanager
def canaille(callback: str) -> Iterator[str]:
    """A running Canaille's address; its clients come back to `callback`."""
    python = requires_environment("canaille")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    arguments = [python, str(SERVE), str(port), callback]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, "Canaille did not start"
            assert time.monotonic() < deadline, "Canaille does not answer"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Browser:
    """A person at the login form: cookies, hidden fields, redirects, until the browser is sent back to us."""

    def __init__(self, session: aiohttp.ClientSession, *, callback: str = CALLBACK) -> None:
        self._session = session
        self._callback = callback

    async def signed_in(self, url: str, *, login: str, password: str) -> dict[str, str]:
        """The query with which the browser comes back."""
        url, page = await self._follow("GET", url)
        for fields in ({"login": login}, {"password": password}, {"answer": "accept"}):
            if url.startswith(self._callback):
                break
            url, page = await self._follow("POST", url, form={**_hidden(page), **fields})
        assert url.startswith(self._callback), f"the browser is still at {url}"
        return dict(parse_qsl(urlsplit(url).query))

    async def _follow(self, method: str, url: str, *, form: dict[str, str] | None = None) -> tuple[str, str]:
        while True:
            async with self._session.request(method, url, data=form, allow_redirects=False) as response:
                if response.status not in {301, 302, 303}:
                    assert response.status == 200, (response.status, url)
                    return url, await response.text()
                url, method, form = urljoin(url, response.headers["location"]), "GET", None
            if url.startswith(self._callback):
                return url, ""


def _hidden(page: str) -> dict[str, str]:
    """The fields of a form that the browser sends unseen."""
    fields = {}
    for tag in re.findall(r"<input[^>]*>", page):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if attributes.get("type") == "hidden" and attributes.get("name"):
            fields[attributes["name"]] = attributes.get("value", "")
    return fields


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(session)


def party_at(issuer: str, fetch: Fetch, **values: object) -> RelyingParty:
    given = {
        "name": "canaille",
        "issuer": issuer,
        "client_id": "confidential",
        "client_secret": SECRET,
        "scopes": ("openid", "email", "profile", "groups"),
        "group_roles": {"nobody": "owner", "auditors": "auditor", "assistants": "member"},
        "allow_http": True,
        "trusts_email": True,
        **values,
    }
    return RelyingParty(OpenIdProvider.model_validate(given), fetch=fetch, signers=SignerCache(fetch))


@pytest.mark.parametrize(
    "client",
    [{"client_id": "confidential", "client_secret": SECRET}, {"client_id": "public", "client_secret": None}],
    ids=["RS256, a secret", "EdDSA, PKCE alone"],
)
async def test_a_person_signs_in_and_their_groups_give_the_role(
    issuer: str, fetch: Fetch, browser: Browser, client: dict[str, str | None]
) -> None:
    party = party_at(issuer, fetch, **client)
    attempt, url = await party.begin(redirect_uri=CALLBACK, now=datetime.now(UTC))
    answer = await browser.signed_in(url, login="ana", password=PASSWORD)
    person = await party.finish(answer, attempt=attempt, now=datetime.now(UTC))
    assert (person.issuer, person.subject, person.role) == (issuer, "ana", "auditor")
    assert (person.email, person.name) == ("ana@example.com", "Ana Souza")
    with pytest.raises(SignInRefused) as refusal:  # a code is good once
        await party.finish(answer, attempt=attempt, now=datetime.now(UTC))
    assert refusal.value.reason == "invalid_grant"


async def test_a_code_that_another_browser_got_is_worth_nothing(issuer: str, fetch: Fetch, browser: Browser) -> None:
    """PKCE: the thief has the code and not the verifier."""
    party = party_at(issuer, fetch, client_id="stolen-code")
    _, url = await party.begin(redirect_uri=CALLBACK, now=datetime.now(UTC))
    stolen = await browser.signed_in(url, login="ana", password=PASSWORD)
    thief, _ = await party.begin(redirect_uri=CALLBACK, now=datetime.now(UTC))
    with pytest.raises(SignInRefused) as refusal:
        await party.finish({**stolen, "state": thief.state}, attempt=thief, now=datetime.now(UTC))
    assert refusal.value.reason == "invalid_grant"


async def test_a_wrong_client_secret_is_refused_by_the_provider(issuer: str, fetch: Fetch, browser: Browser) -> None:
    party = party_at(issuer, fetch, client_id="wrong-secret", client_secret="wrong")
    attempt, url = await party.begin(redirect_uri=CALLBACK, now=datetime.now(UTC))
    answer = await browser.signed_in(url, login="ana", password=PASSWORD)
    with pytest.raises(SignInRefused) as refusal:
        await party.finish(answer, attempt=attempt, now=datetime.now(UTC))
    assert refusal.value.reason == "invalid_client"


async def test_a_person_without_the_group_is_not_admitted(issuer: str, fetch: Fetch, browser: Browser) -> None:
    party = party_at(issuer, fetch, client_id="other-groups", group_roles={"nobody": "owner"})
    attempt, url = await party.begin(redirect_uri=CALLBACK, now=datetime.now(UTC))
    answer = await browser.signed_in(url, login="ana", password=PASSWORD)
    with pytest.raises(NotAdmitted):
        await party.finish(answer, attempt=attempt, now=datetime.now(UTC))
