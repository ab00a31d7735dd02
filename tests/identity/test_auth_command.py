"""`ali auth`: links for who has no mail server, and the keys of access tokens."""

import asyncio
import re
from collections.abc import Callable, Iterator

import aiohttp
import psycopg
import pytest

from ali.cli import auth
from ali.cli.doctor_sign_in import sign_in
from ali.features.identity.cli import users
from ali.features.identity.invitations import InviteExists
from ali.kernel.checks import CheckResult, CheckStatus
from ali.kernel.errors import AliError
from ali.kernel.settings import Settings
from ali.ops.sign_in import SettingRefused, check_settings
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant
from tests.fixtures.service import Service
from tests.identity.people import Caller, audit, make_person

NEW = "a chuva molha o telhado azul"


@pytest.fixture(autouse=True)
def _installation(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("ALI_PUBLIC_URL", "ALI_SMTP_URL", "ALI_OPENID_PROVIDERS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALI_HOME", str(tmp_path))
    monkeypatch.setenv("ALI_API_KEY_HMAC_SECRET", HMAC_SECRET)


@pytest.fixture
def alone(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """The only organization of a database."""
    monkeypatch.setenv("DATABASE_URL", database_dsn)
    return make_tenant(database_dsn)


async def test_the_first_owner_comes_by_a_printed_link(
    people: Service, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_person(people.tenant)
    monkeypatch.setenv("DATABASE_URL", people.tenant.dsn)
    token = await _printed(capsys, "invite", people.tenant)
    with pytest.raises(InviteExists):
        await _printed(capsys, "invite", people.tenant)
    body = {"token": token, "name": "Ana Souza", "password": NEW}
    caller = Caller(http, people)
    status, opened = await caller("POST", "/invitations/accept", body)
    assert status == 200, opened
    status, answer = await caller("POST", "/invitations/accept", body)
    assert (status, answer["error"]["code"]) == (400, "link_refused"), "a link works once"
    _, me = await caller("GET", "/me", token=opened["access_token"])
    assert (me["email"], me["role"]) == (f"ana-{people.tenant.key_id.hex}@example.org", "owner")
    assert audit(people.tenant, like="invite.%") == ["invite.sent", "invite.accepted"]


async def test_a_new_password_comes_by_a_printed_link(
    people: Service, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ana = make_person(people.tenant)
    monkeypatch.setenv("DATABASE_URL", people.tenant.dsn)
    token = await _printed(capsys, "reset", people.tenant, email=ana.email)
    caller = Caller(http, people)
    assert (await caller("POST", "/password/reset/confirm", {"token": token, "password": NEW}))[0] == 200
    assert (await caller.signed_in(ana, password=NEW))["access_token"]


def test_keys_are_listed_rotated_and_destroyed(alone: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    make_person(alone)
    auth.list_keys()
    (before,) = _lines(capsys)
    assert "signs" in before
    auth.rotate_keys()
    capsys.readouterr()
    auth.list_keys()
    new, old = _lines(capsys)
    assert ("signs" in new, "retired" in old) == (True, True)
    auth.destroy_key(before.split()[0])
    capsys.readouterr()
    auth.list_keys()
    assert _lines(capsys) == [new]
    assert audit(alone, like="sign_in_key.%") == ["sign_in_key.rotated", "sign_in_key.destroyed"]


def test_what_cannot_be_done_is_explained(alone: Tenant) -> None:
    account = make_person(alone)
    refused: tuple[tuple[Callable[[], None], str], ...] = (
        (lambda: users.invite("ana@example.org", role="king"), "role"),
        (lambda: users.invite("not an address"), "e-mail"),
        (lambda: users.invite(account.email), "already"),
        (lambda: auth.reset_link("nobody@example.org"), "No account"),
        (lambda: auth.destroy_key("unknown"), "jwks"),
    )
    for act, word in refused:
        with pytest.raises(AliError, match=word):
            act()


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("ALI_SMTP_URL", "http://mail.example", "smtp://"),
        ("ALI_SMTP_URL", "smtp://mail.example", "ALI_MAIL_FROM"),
        ("ALI_OPENID_PROVIDERS", '"group_roles": {"a": "king"}', "king"),
        ("ALI_OPENID_PROVIDERS", '"default_role": "admin", "allowed_email_domains": ["example.org"]', "default_role"),
        ("ALI_OPENID_PROVIDERS", '"default_role": "member"', "allowed_email_domains"),
        ("ALI_OPENID_PROVIDERS", '"scopes": ["openid"]', "nobody"),
    ],
)
def test_settings_that_cannot_be_right_stop_the_start_and_fail_the_doctor(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, word: str
) -> None:
    if variable == "ALI_OPENID_PROVIDERS":
        value = f'[{{"name": "google", "issuer": "https://accounts.google.com", "client_id": "x", {value}}}]'
    monkeypatch.setenv(variable, value)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SettingRefused, match=re.escape(word)):
        check_settings(Settings())
    assert any(word in result.detail for result in _failed(Settings()))


def test_the_doctor_looks_at_addresses_mail_issuers_and_the_age_of_keys(
    alone: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {result.name: result.status for result in sign_in(Settings())}
    assert found == {
        "public address": CheckStatus.WARN,
        "mail": CheckStatus.WARN,
        "keys of access tokens": CheckStatus.WARN,
    }
    make_person(alone)
    monkeypatch.setenv("ALI_PUBLIC_URL", "https://ali.example")
    monkeypatch.setenv("ALI_SMTP_URL", "smtps://mail.example")
    monkeypatch.setenv("ALI_MAIL_FROM", "ali@example.org")
    monkeypatch.setenv(
        "ALI_OPENID_PROVIDERS",
        '[{"name": "entra", "issuer": "https://e.example", "client_id": "x", "default_role": "member"},'
        ' {"name": "kc", "issuer": "https://k.example", "client_id": "x", "group_roles": {"a": "owner"}},'
        ' {"name": "fine", "issuer": "https://f.example", "client_id": "x", "group_roles": {"a": "member"}}]',
    )
    found = {result.name: result.status for result in sign_in(Settings())}
    assert found == {
        "public address": CheckStatus.OK,
        "mail": CheckStatus.OK,
        "issuer entra": CheckStatus.WARN,
        "issuer kc": CheckStatus.WARN,
        "issuer fine": CheckStatus.OK,
        "keys of access tokens": CheckStatus.OK,
    }
    with psycopg.connect(alone.dsn) as connection:
        connection.execute("update ali.signing_key set created_at = now() - interval '91 days'")
    (old,) = [result for result in sign_in(Settings()) if result.name == "keys of access tokens"]
    assert (old.status, "rotate-keys" in old.hint) == (CheckStatus.WARN, True)
    monkeypatch.delenv("ALI_PUBLIC_URL")
    assert [result.name for result in _failed(Settings())] == ["public address"]


async def _printed(capsys: pytest.CaptureFixture[str], verb: str, tenant: Tenant, *, email: str | None = None) -> str:
    """The token of the link that a command prints."""
    address = email or f"Ana-{tenant.key_id.hex}@Example.org"
    if verb == "invite":
        organization = f"org-{tenant.organization_id.hex}"
        await asyncio.to_thread(users.invite, address, role="owner", organization=organization)
    else:
        await asyncio.to_thread(auth.reset_link, address)
    (line,) = _lines(capsys)
    found = re.fullmatch(r"http://127\.0\.0\.1:8000/(accept-invitation|reset-password)#token=(ali_\w+)", line)
    assert found is not None, line
    return found.group(2)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("2")]


def _failed(settings: Settings) -> Iterator[CheckResult]:
    return (result for result in sign_in(settings) if result.status is CheckStatus.FAIL)
