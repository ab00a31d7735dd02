"""What sign-in needs of the process: one typed state, made by the composition root, taken by every verb of sign-in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.audit import Actor
from ali.features.identity.afterwards import Line
from ali.features.identity.letters import Letter
from ali.features.identity.passwords import Passwords
from ali.features.identity.turnstile import Turnstile
from ali.kernel import log
from ali.kernel.db import Pool, enter_tenant
from ali.kernel.telemetry import Metrics

if TYPE_CHECKING:
    from ali.features.identity.access_tokens import AccessTokens
    from ali.features.identity.mail import Mailer
    from ali.features.identity.openid import RelyingParty


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a request of sign-in comes from. `user_agent` is what the client says of itself, made harmless."""

    address: str | None
    user_agent: str = ""
    request_id: str | None = None

    def person(self, user_id: UUID) -> Actor:
        """A person at this device, as the audit record names them."""
        return Actor(kind="user", id=user_id, address=self.address, request_id=self.request_id)

    def nobody(self) -> Actor:
        """The service, which acts on what somebody at this device did without proving who they are."""
        return Actor(kind="service", address=self.address, request_id=self.request_id)


@dataclass(kw_only=True)
class Desk:
    """The process-wide objects of sign-in."""

    sessions: async_sessionmaker[AsyncSession]
    pool: Pool
    hmac_secret: bytes = field(repr=False)
    address: str
    """Where people reach the service, without a final slash."""
    passwords: Passwords
    turnstile: Turnstile
    mailer: "Mailer | None"
    """None: no mail server is set, and letters are not sent."""
    letters: Line = field(default_factory=lambda: Line("letters"))
    """Letters to be written and sent."""
    records: Line = field(default_factory=lambda: Line("records"))
    """Failures to be recorded."""
    parties: Mapping[str, "RelyingParty"] = field(default_factory=dict)
    """The issuers of OpenID Connect by their names."""
    metrics: Metrics

    @cached_property
    def tokens(self) -> "AccessTokens":
        """The keys of access tokens, and what is done with them."""
        from ali.features.identity.access_tokens import AccessTokens  # noqa: PLC0415 - 16 ms that no start has to spend

        return AccessTokens(self.pool, hmac_secret=self.hmac_secret, address=self.address)

    def forget(self) -> None:
        """Believe no keys that were read before the access epoch moved."""
        if "tokens" in self.__dict__:
            self.tokens.forget()

    async def post(self, letter: Letter, *, recipient: str, now: datetime) -> None:
        """Send a letter. Raises `MailFailed` or `AddressRefused`."""
        if self.mailer is None:
            log.warning("mail.not_configured", letter=letter.name)
            return
        await self.mailer.send(letter, recipient=recipient, now=now)

    async def asked(self, statement: str, **values: object) -> Row[Any] | None:
        """The first row of one of the doors (`queries`); None where there is none."""
        async with self.sessions() as session:
            return (await session.execute(text(statement), values)).one_or_none()

    @asynccontextmanager
    async def tenant(self, organization_id: UUID) -> AsyncIterator[AsyncSession]:
        """A transaction in an organization, for what is done before anybody is authenticated."""
        async with self.sessions() as session, session.begin():
            await enter_tenant(session, organization_id=organization_id, project_id=None)
            yield session
