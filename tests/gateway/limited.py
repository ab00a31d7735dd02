"""A service under limits: its callers, and the rules that an administrator sets through its API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import aiohttp
import psycopg

from ali.features.metering.scopes import scope_name
from ali.kernel.ids import uuid7
from ali.ops.simulator import Simulator
from tests.fixtures.database import IssuedKey, Tenant, issue_key
from tests.fixtures.service import Serve, Service, providers

MODEL: Final = "gpt-4.1"
CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer that was read to its end."""

    status: int
    headers: Any
    body: Any

    @property
    def remaining_tokens(self) -> int:
        """As OpenAI's header says it."""
        return int(self.headers["x-ratelimit-remaining-tokens"])

    @property
    def remaining_requests(self) -> int:
        """As OpenAI's header says it."""
        return int(self.headers["x-ratelimit-remaining-requests"])


class Limited:
    """A running service and an administrator of its tenant's organization."""

    def __init__(self, service: Service, session: aiohttp.ClientSession) -> None:
        self.service = service
        self.tenant = service.tenant
        self.admin = issue_key(service.tenant, role="admin", everywhere=True)
        self._session = session

    @property
    def project(self) -> dict[str, str]:
        """The scope of the tenant's project."""
        return {"kind": "project", "id": scope_name("project", self.tenant.project_id)}

    def caller(self, *, person: bool = False) -> IssuedKey:
        """A fresh key of the project."""
        return issue_key(self.tenant, role="member", person=person)

    async def manage(
        self, method: str, path: str = "", body: object = None, *, key: IssuedKey | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of a call to the limits' API, by the administrator or with `key`."""
        url = f"{self.service.url}/v1/ali/limits{path}"
        async with self._session.request(method, url, json=body, headers=(key or self.admin).headers) as response:
            return response.status, await response.json()

    async def limit(self, scope: dict[str, Any], **figures: object) -> str:
        """Set a limit that holds now in this service, and return its id."""
        status, made = await self.manage("POST", "", {"scope": scope, **figures})
        assert status == 200, made
        await self.service.learn()
        return str(made["id"])

    async def ask(
        self, key: IssuedKey, path: str = CHAT, headers: Mapping[str, str] | None = None, /, **body: object
    ) -> Answered:
        """One request to a model, read to its end."""
        async with self.asking(key, path, headers, **body) as response:
            content = await response.read()
            as_json = response.content_type == "application/json"
            return Answered(
                status=response.status,
                headers=response.headers,
                body=await response.json() if as_json else content,
            )

    async def answers(self, key: IssuedKey, *, status: int, **body: object) -> None:
        """Ask until the answer has that status."""

        async def asked() -> bool:
            return (await self.ask(key, **body)).status == status

        await eventually(asked)

    async def settled(self) -> None:
        """Wait until all requests have ended, and what was corrected after them is with the store."""
        gateway = self.service.gateway

        async def ended() -> bool:
            return gateway.metrics.in_flight == 0

        await eventually(ended)
        await gateway.limiter.drain()

    def asking(
        self, key: IssuedKey, path: str = CHAT, headers: Mapping[str, str] | None = None, /, **body: object
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """One request to a model, its answer not read yet."""
        wanted = {"model": MODEL, "messages": [{"role": "user", "content": "Count to twenty"}], **body}
        if path == MESSAGES:
            wanted.setdefault("max_tokens", 50)
        return self._session.post(self.service.url + path, json=wanted, headers={**key.headers, **(headers or {})})


def add_project(tenant: Tenant) -> UUID:
    """Another project of the tenant's organization."""
    project_id = uuid7()
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'Another')",
            (project_id, tenant.organization_id),
        )
    return project_id


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once `holds` says so; fail after 5 s."""
    async with asyncio.timeout(5):
        while not await holds():  # noqa: ASYNC110 - what the service has heard of sets no event here
            await asyncio.sleep(0.02)


Start = Callable[..., AbstractAsyncContextManager[Limited]]


def starter(serve: Serve, simulator: Simulator) -> Start:
    """How a service under limits is started, with settings beside those of the providers."""

    @asynccontextmanager
    async def start(**values: object) -> AsyncIterator[Limited]:
        settings = {**providers(simulator), "limiter_store": "process", "upstream_silence_s": 1.0, "drain_s": 2}
        async with serve(**{**settings, **values}) as service, aiohttp.ClientSession() as session:
            yield Limited(service, session)

    return start
