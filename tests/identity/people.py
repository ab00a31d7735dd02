"""People for tests of sign-in: accounts in the database, and callers that come from an address of their own."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

import aiohttp
import psycopg
import pyotp

from ali.features.identity import recovery_codes, totp
from ali.features.identity.passwords import _checked_and_hashed
from ali.kernel.ids import uuid7
from ali.ops.sign_in import ensure_signing_key
from tests.fixtures.database import HMAC_SECRET, Tenant, silent
from tests.fixtures.service import Service

PASSWORD: Final = "um gato dorme no telhado"
SECRET: Final = HMAC_SECRET.encode()
BEHIND_PROXY: Final = {"trusted_proxies": ["127.0.0.0/8"]}
"""Settings under which a caller says its address: failures are counted for each, and tests share a database."""

_addresses: Final = itertools.count(int(datetime.now(UTC).timestamp() * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person's account, as its owner knows it."""

    id: UUID
    email: str
    totp_secret: str | None = None
    recovery_codes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The identifier that callers see."""
        return f"user-{self.id.hex}"

    def code(self, *, steps: int = 0) -> str:
        """The authenticator's code, of the present step or of one near it."""
        assert self.totp_secret is not None
        return pyotp.TOTP(self.totp_secret).at(datetime.now(UTC), counter_offset=steps)


@cache
def hashed() -> str:
    """The stored form of `PASSWORD`."""
    return _checked_and_hashed(PASSWORD, email="nobody@example.org")


def make_person(
    tenant: Tenant,
    *,
    role: str = "member",
    second_factor: bool = False,
    password: bool = True,
    member: str | None = None,
) -> Account:
    """A new account of `tenant`; `member`: its role in the tenant's project. There is a key to sign with afterwards."""
    ensure_signing_key(tenant.dsn, hmac_secret=SECRET, report=silent)
    user_id = uuid7()
    secret = totp.new_secret() if second_factor else None
    codes = recovery_codes.mint() if second_factor else ()
    account = Account(id=user_id, email=f"{user_id.hex}@example.org", totp_secret=secret, recovery_codes=codes)
    wrapped = totp.wrap(secret, user_id=str(user_id), hmac_secret=SECRET) if secret else None
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.user_account (id, organization_id, email, name, role, password_hash, totp_secret)"
            " values (%s, %s, %s, 'Ana Souza', %s, %s, %s)",
            (user_id, tenant.organization_id, account.email, role, hashed() if password else None, wrapped),
        )
        for code in codes:
            digest = recovery_codes.digest(code, user_id=user_id, hmac_secret=SECRET)
            connection.execute(
                "insert into ali.recovery_code (digest, organization_id, user_id) values (%s, %s, %s)",
                (digest, tenant.organization_id, user_id),
            )
        if member is not None:
            connection.execute(
                "insert into ali.project_member (project_id, user_id, organization_id, role) values (%s, %s, %s, %s)",
                (tenant.project_id, user_id, tenant.organization_id, member),
            )
    return account


def audit(tenant: Tenant, *, like: str = "%") -> list[str]:
    """The actions in the tenant's record, oldest first."""
    with psycopg.connect(tenant.dsn) as connection:
        rows = connection.execute(
            "select action from ali.audit_event where organization_id = %s and action like %s order by id",
            (tenant.organization_id, like),
        )
        return [row[0] for row in rows]


class Caller:
    """Somebody at an address of their own."""

    def __init__(self, session: aiohttp.ClientSession, service: Service | str, *, address: str | None = None) -> None:
        self.url = service if isinstance(service, str) else service.url
        self.address = address or ".".join(str(part) for part in (next(_addresses) % 2**30 + 2**24).to_bytes(4, "big"))
        self.headers: dict[str, str] = {}
        self._session = session

    async def __call__(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer below /v1/ali/auth, or at a path from the root."""
        given = {"x-forwarded-for": self.address, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        url = self.url + (path if path.startswith(("/v1", "/.well-known")) else f"/v1/ali/auth{path}")
        kind = () if body is not None else ("content-type",)  # aiohttp names one also where there is no body
        async with self._session.request(
            method, url, json=body, headers=given, allow_redirects=False, skip_auto_headers=kind
        ) as response:
            self.headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, await response.json()

    async def signed_in(self, account: Account, *, password: str = PASSWORD) -> dict[str, Any]:
        """The tokens of a new session."""
        body: dict[str, Any] = {"email": account.email, "password": password}
        if account.totp_secret:
            body["code"] = account.code()
        status, answer = await self("POST", "/sign-in", body)
        assert status == 200, answer
        return answer
