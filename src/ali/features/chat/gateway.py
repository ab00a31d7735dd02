"""What the hot path needs of the process, as one value; and a request as it arrives."""

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ali.features.chat.failover import Failover
from ali.features.chat.named_files import Files
from ali.features.chat.repeats import RepeatCache
from ali.features.chat.routing import Router
from ali.features.chat.stored.settlement import CompletionKeeper
from ali.features.chat.tally import Tally
from ali.features.identity import Principal
from ali.features.keys.authenticate import CredentialReader
from ali.features.metering import Ledger
from ali.features.metering.budgets import Reservations
from ali.features.metering.limiting import Limiter, RuleBook
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics
from ali.providers.contract import Deadlines

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PRINCIPAL: Final = "ali.principal"
"""The key of an ASGI scope under which the service's own work says for whom it is. No header reaches it."""

_WANTED: Final = frozenset(
    {
        b"authorization", b"x-api-key", b"anthropic-version", b"anthropic-beta", b"x-ali-cache-ttl", b"content-length",
        b"openai-project",
    }
)  # fmt: skip


class ClientGone(Exception):
    """The caller closed the connection before its request was whole."""


@dataclass(slots=True, kw_only=True)
class Gateway:
    """The process-wide objects of the hot path, built in the lifespan."""

    authenticator: CredentialReader
    router: Router
    failover: Failover
    ledger: Ledger
    completions: CompletionKeeper
    reservations: Reservations
    limiter: Limiter
    rules: RuleBook
    repeats: RepeatCache
    metrics: Metrics
    tally: Tally
    files: Files
    deadlines: Deadlines
    max_body_bytes: int
    max_upstream_body_bytes: int
    max_event_bytes: int


@dataclass(slots=True)
class Arrival:
    """A request as it came in: who sent it is not known yet."""

    request_id: UUID
    started_s: float
    headers: dict[bytes, bytes]
    address: str | None
    """The client's network address, as the edge has settled it."""
    principal: Principal | None = None
    """Who asks, where that is settled already: for work of the service's own, which carries no secret."""

    @property
    def name(self) -> str:
        """The request's identifier as callers see it."""
        return f"req_{self.request_id.hex}"


def arrive(scope: Scope) -> Arrival:
    """Give the request its identifier and pick the headers that matter."""
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return Arrival(
        request_id=uuid7(),
        started_s=time.monotonic(),
        headers={name: value for name, value in raw if name in _WANTED},
        address=client[0] if (client := scope.get("client")) else None,
        principal=scope.get(PRINCIPAL),
    )


def credential(headers: dict[bytes, bytes]) -> str | None:
    """The API key of `Authorization: Bearer` or `x-api-key`, whichever is there; the first where both are."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.partition(b" ")
        if scheme.lower() == b"bearer" and value.strip():
            return value.strip().decode("latin-1")
    key = headers.get(b"x-api-key")
    return key.strip().decode("latin-1") if key else None
