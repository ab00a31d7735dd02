"""What the hot path needs of the process, as one value; and the reading of a request up to its admission."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ali.features.chat.envelope import RequestEnvelope, read_envelope
from ali.features.chat.failover import Failover
from ali.features.chat.limit_headers import request_limit_headers
from ali.features.chat.operations import ANTHROPIC_VERSIONS, Operation
from ali.features.chat.repeats import LONGEST_TTL_S, RepeatCache
from ali.features.chat.routing import Route, Router
from ali.features.chat.spend_bound import most_microusd
from ali.features.chat.tally import Tally
from ali.features.identity import Principal
from ali.features.identity.principal import project_named
from ali.features.keys.authenticate import CredentialReader
from ali.features.metering import Ledger, LedgerUnavailable, OpenRecord, RateLimiter, Verdict
from ali.features.metering.budgets import Reservations
from ali.kernel.errors import InvalidRequest, PayloadTooLarge, RateLimited
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics
from ali.providers.contract import Deadlines, Dialect

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BETA: Final = re.compile(r"[A-Za-z0-9._, -]{1,500}")
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
    reservations: Reservations
    limiter: RateLimiter | None
    repeats: RepeatCache
    metrics: Metrics
    tally: Tally
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

    @property
    def name(self) -> str:
        """The request's identifier as callers see it."""
        return f"req_{self.request_id.hex}"


@dataclass(slots=True, kw_only=True)
class Admission:
    """A request that may go to a provider."""

    principal: Principal
    envelope: RequestEnvelope
    route: Route
    record: OpenRecord
    verdict: Verdict | None
    anthropic_version: str
    anthropic_beta: str | None
    cache_ttl_s: int | None


def arrive(scope: Scope) -> Arrival:
    """Give the request its identifier and pick the headers that matter."""
    raw: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return Arrival(
        request_id=uuid7(),
        started_s=time.monotonic(),
        headers={name: value for name, value in raw if name in _WANTED},
        address=client[0] if (client := scope.get("client")) else None,
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


async def admit(gateway: Gateway, operation: Operation, arrival: Arrival, receive: Receive) -> Admission:
    """Authenticate, limit, read, route, reserve, open a usage record. Raises `AliError` for whatever is refused.

    One database round trip for a key that is not remembered, and one where a hard budget binds; otherwise none.
    """
    secret = credential(arrival.headers)
    project = _project(arrival.headers)
    principal = gateway.authenticator.remembered(secret, project) if secret else None
    if principal is None:
        principal = await gateway.authenticator.authenticate(secret, project=project)
    principal.require(operation.permission)
    if principal.allowed_networks is not None:
        principal.require_network(arrival.address)
    project_id = principal.require_project()
    verdict = _limit(gateway, operation, principal, now_s=arrival.started_s)
    version, beta = _anthropic_headers(operation, arrival.headers)
    cache_ttl_s = _cache_ttl(arrival.headers)
    body = await _read_body(receive, arrival.headers, limit_bytes=gateway.max_body_bytes)
    envelope = read_envelope(operation, body)
    principal.require_model(envelope.model)
    route = gateway.router.resolve(envelope.model, operation)
    record = OpenRecord(
        record_id=arrival.request_id,
        organization_id=principal.organization_id,
        project_id=project_id,
        api_key_id=principal.key_id,
        user_id=principal.user_id,
        operation=operation.name,
        model=envelope.model,
        streamed=envelope.stream,
        started_s=arrival.started_s,
    )
    await gateway.reservations.hold(record, most_microusd=lambda: most_microusd(route, envelope))
    try:
        gateway.ledger.admit(record)
    except LedgerUnavailable:
        gateway.reservations.release_soon(record.id)
        raise
    return Admission(
        principal=principal,
        envelope=envelope,
        route=route,
        record=record,
        verdict=verdict,
        anthropic_version=version,
        anthropic_beta=beta,
        cache_ttl_s=cache_ttl_s if cache_ttl_s is not None else route.cache_ttl_s,
    )


def _project(headers: dict[bytes, bytes]) -> UUID | None:
    named = headers.get(b"openai-project")
    return project_named(named.decode("latin-1")) if named is not None else None


def _limit(gateway: Gateway, operation: Operation, principal: Principal, *, now_s: float) -> Verdict | None:
    if gateway.limiter is None:
        return None
    verdict = gateway.limiter.hit(principal.key_id or principal.user_id, now_s=now_s)
    if not verdict.allowed:
        raise RateLimited(
            f"This API key has sent its {verdict.limit} requests of this minute. "
            f"Try again in {verdict.retry_after_s:.1f} s.",
            retry_after_s=verdict.retry_after_s,
            headers=tuple(
                (name.decode(), value.decode()) for name, value in request_limit_headers(verdict, operation.dialect)
            ),
        )
    return verdict


def _anthropic_headers(operation: Operation, headers: dict[bytes, bytes]) -> tuple[str, str | None]:
    """`anthropic-version` (a missing one is the oldest) and `anthropic-beta`, checked before they go to a provider."""
    if operation.dialect is not Dialect.ANTHROPIC:
        return ANTHROPIC_VERSIONS[0], None
    version = headers.get(b"anthropic-version", ANTHROPIC_VERSIONS[0].encode()).decode("latin-1")
    if version not in ANTHROPIC_VERSIONS:
        raise InvalidRequest(
            f"anthropic-version must be one of: {', '.join(ANTHROPIC_VERSIONS)}.", param="anthropic-version"
        )
    beta = headers.get(b"anthropic-beta")
    if beta is None:
        return version, None
    text = beta.decode("latin-1")
    if not _BETA.fullmatch(text):
        raise InvalidRequest("anthropic-beta must be a comma-separated list of names.", param="anthropic-beta")
    return version, text


def _cache_ttl(headers: dict[bytes, bytes]) -> int | None:
    """Seconds for which the caller lets this answer be repeated; 0 forbids it for an alias that would."""
    value = headers.get(b"x-ali-cache-ttl")
    if value is None:
        return None
    if not value.isdigit() or len(value) > 6 or int(value) > LONGEST_TTL_S:
        raise InvalidRequest(
            f"x-ali-cache-ttl must be a whole number of seconds from 0 to {LONGEST_TTL_S}.", param="x-ali-cache-ttl"
        )
    return int(value)


async def _read_body(receive: Receive, headers: dict[bytes, bytes], *, limit_bytes: int) -> bytes:
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body is larger than the {limit_bytes} bytes that this service takes. "
        "Send less, or ask the operator to raise ALI_MAX_BODY_BYTES."
    )
