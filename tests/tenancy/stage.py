"""The running service between two organizations, for the tests of one module."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import event

from ali.features.identity.roles import Permission
from ali.kernel.ids import uuid7
from ali.ops.sign_in import ensure_signing_key
from ali.ops.simulator import Simulator
from tests.fixtures.database import HMAC_SECRET, Tenant, silent
from tests.fixtures.service import Service, providers, running
from tests.tenancy.ground import Ground, Land, SignedIn
from tests.tenancy.matrix import Lands
from tests.tenancy.registry import Call
from tests.tenancy.standing import OWNER, STANDINGS, Standing
from tests.tenancy.wire import Answer, Request, ask

_AT_ONCE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A service, the things in it, and a credential of every standing in the own land."""

    service: Service
    ground: Ground
    lands: Lands
    credentials: Mapping[Standing, str]
    stranger: str
    """The credential of an owner of the foreign organization."""
    document: Mapping[str, Any]
    """The service's OpenAPI document."""
    _turn: asyncio.Semaphore

    async def ask(self, request: Request, *, secret: str | None) -> Answer:
        """One request; only a few at once."""
        async with self._turn:
            return await ask(self.service.url, request, secret=secret)

    async def as_owner(self, request: Request) -> Answer:
        """One request of somebody who may do everything in the own organization."""
        return await self.ask(request, secret=self.credentials[OWNER])

    def operations(self) -> dict[str, dict[str, Any]]:
        """The document's operations by method and path."""
        return {
            f"{method.upper()} {path}": operation
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }

    def permission(self, operation: str) -> Permission | None:
        """What the document says that `operation` takes."""
        named = self.operations()[operation].get("x-ali-permission")
        return None if named is None else Permission(named)

    def fresh(self, call: Call) -> dict[str, str]:
        """Own things for `call`, by kind: newly made where they are no project, organization or model."""
        return self.ground.things(call.ids.values(), self.lands.own)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The texts of the statements that ordinary routes execute within the block."""
        engine = self.service.app.api.state.sessions.kw["bind"].sync_engine
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            seen.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)

    async def contents(self) -> str:
        """A digest of all that both organizations have, once nothing more is to be written."""
        await self.service.gateway.ledger.drain(deadline_s=5)
        return self.ground.contents(self.lands.own.organization_id, self.lands.foreign.organization_id)


@asynccontextmanager
async def staged(dsn: str, home: Path, **values: object) -> AsyncIterator[Stage]:
    """The service, in a database that others may use too; settings as for `running`. What it is asked for alone changes
    anything: batches are not run.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        ground = Ground(connection, home=home)
        organization = ground.organization()
        own, other = ground.land(organization), ground.land(organization)
        foreign = ground.land(ground.organization())
        keyed = [standing for standing in STANDINGS if standing.holder != "session"]
        credentials = {standing: ground.credential(standing, own) for standing in keyed}
        ensure_signing_key(dsn, hmac_secret=HMAC_SECRET.encode(), report=silent)
        stranger = ground.credential(OWNER, foreign)
        async with (
            Simulator() as simulator,
            running(_tenant(dsn, own), home, **providers(simulator), **({"background": "worker"} | values)) as service,
        ):
            for standing in set(STANDINGS) - credentials.keys():
                credentials[standing] = await _token(service, ground.signed_in(standing, own))
            document = await ask(service.url, Request(method="GET", target="/openapi.json"), secret=None)
            yield Stage(
                service=service,
                ground=ground,
                lands=Lands(own=own, other=other, foreign=foreign),
                credentials=credentials,
                stranger=stranger,
                document=document.json(),
                _turn=asyncio.Semaphore(_AT_ONCE),
            )


async def _token(service: Service, signed_in: SignedIn) -> str:
    """An access token as a sign-in gives it."""
    desk = service.app.api.state.desk
    await desk.tokens.keys()
    token: str = desk.tokens.issue(
        user_id=signed_in.person,
        session_id=signed_in.session,
        organization_id=signed_in.organization_id,
        role=signed_in.role,
        now=datetime.now(UTC),
    )
    return token


def _tenant(dsn: str, land: Land) -> Tenant:
    return Tenant(
        dsn=dsn, organization_id=land.organization_id, project_id=land.project_id, key_id=uuid7(), secret="unused"
    )
