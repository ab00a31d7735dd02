"""The first of a request's three steps: who is it, may they, within which limits, and to whom does it go."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ali.features.chat.attempt import estimated_usage
from ali.features.chat.envelope import RequestEnvelope, read_envelope
from ali.features.chat.gateway import Arrival, ClientGone, Gateway, Receive, credential
from ali.features.chat.limit_headers import limit_headers
from ali.features.chat.named_files import with_files
from ali.features.chat.operations import ANTHROPIC_VERSIONS, Operation
from ali.features.chat.repeats import LONGEST_TTL_S
from ali.features.chat.routing import Route
from ali.features.chat.spend_bound import most_microusd
from ali.features.identity import Principal
from ali.features.identity.principal import project_named
from ali.features.metering import LedgerUnavailable, OpenRecord
from ali.features.metering.limiting import Limiter, Verdict, counting, explain
from ali.kernel.errors import InvalidRequest, PayloadTooLarge, RateLimited
from ali.providers.contract import Dialect

_MOST_TOKENS: Final = 10**12
"""No limit is above it."""
_BETA: Final = re.compile(r"[A-Za-z0-9._, -]{1,500}")


@dataclass(frozen=True, slots=True)
class Claimed:
    """What was counted against limits, for the corrections at the request's end. `verdict` None: no limit applies."""

    verdict: Verdict | None
    tokens: int

    def settle(self, limiter: Limiter, *, used_tokens: int) -> None:
        """The request is over and used so many tokens. Once, on every path."""
        if self.verdict is not None:
            limiter.settle(self.verdict, tokens=used_tokens - self.tokens)


NOTHING_CLAIMED: Final = Claimed(None, 0)


@dataclass(slots=True, kw_only=True)
class Admission:
    """A request that may go to a provider."""

    principal: Principal
    envelope: RequestEnvelope
    route: Route
    record: OpenRecord
    claimed: Claimed
    anthropic_version: str
    anthropic_beta: str | None
    cache_ttl_s: int | None


async def admit(gateway: Gateway, operation: Operation, arrival: Arrival, receive: Receive) -> Admission:
    """Authenticate, read, limit, route, reserve, open a usage record. Raises `AliError` for whatever is refused.

    One database round trip for a key that is not remembered, one where PostgreSQL counts the limits, one where a hard
    budget binds, and a transaction for each file that is named; otherwise none.
    """
    principal = await recognised(gateway, operation, arrival)
    principal.require_project()
    version, beta = anthropic_headers(operation, arrival.headers)
    cache_ttl_s = _cache_ttl(arrival.headers)
    body = await read_body(receive, arrival.headers, limit_bytes=gateway.max_body_bytes)
    envelope = read_envelope(operation, body)
    principal.require_model(envelope.model)
    record = record_of(operation, arrival, principal, model=envelope.model, streamed=envelope.stream)
    route = routed(gateway, operation, envelope)
    claimed = await within_limits(gateway, operation, envelope, record, route)
    if isinstance(route, InvalidRequest):
        claimed.settle(gateway.limiter, used_tokens=0)
        raise route
    try:
        if envelope.names_files:
            envelope = await with_files(
                *(envelope, gateway.files),
                organization_id=record.organization_id,
                project_id=record.project_id,
                most_bytes=gateway.max_body_bytes,
            )
        await hold_and_open(gateway, record, lambda: most_microusd(route, envelope))
    except BaseException:
        claimed.settle(gateway.limiter, used_tokens=0)
        raise
    return Admission(
        principal=principal,
        envelope=envelope,
        route=route,
        record=record,
        claimed=claimed,
        anthropic_version=version,
        anthropic_beta=beta,
        cache_ttl_s=cache_ttl_s if cache_ttl_s is not None else route.cache_ttl_s,
    )


def record_of(
    operation: Operation, arrival: Arrival, principal: Principal, *, model: str, streamed: bool
) -> OpenRecord:
    """The usage record of a request in the making. Raises `InvalidRequest` where no project was chosen."""
    return OpenRecord(
        record_id=arrival.request_id,
        organization_id=principal.organization_id,
        project_id=principal.require_project(),
        api_key_id=principal.key_id,
        user_id=principal.user_id,
        operation=operation.name,
        model=model,
        streamed=streamed,
        started_s=arrival.started_s,
    )


async def hold_and_open(gateway: Gateway, record: OpenRecord, most: Callable[[], int]) -> None:
    """Reserve what the request costs at most, and open its usage record: from here on it may be sent.

    Raises `BudgetExhausted`, `BudgetsUnavailable`, `LedgerUnavailable`, and whatever `most` does; then nothing is held.
    """
    await gateway.reservations.hold(record, most_microusd=most)
    try:
        gateway.ledger.admit(record)
    except LedgerUnavailable:
        gateway.reservations.release_soon(record.id)
        raise


async def recognised(gateway: Gateway, operation: Operation, arrival: Arrival) -> Principal:
    """Who asks, once they may do `operation` from where they are."""
    if arrival.principal is not None:
        arrival.principal.require(operation.permission)
        return arrival.principal
    secret = credential(arrival.headers)
    named = arrival.headers.get(b"openai-project")
    project = project_named(named.decode("latin-1")) if named is not None else None
    principal = gateway.authenticator.remembered(secret, project) if secret else None
    if principal is None:
        principal = await gateway.authenticator.authenticate(secret, project=project)
    principal.require(operation.permission)
    if principal.allowed_networks is not None:
        principal.require_network(arrival.address)
    return principal


def routed(gateway: Gateway, operation: Operation, envelope: RequestEnvelope) -> Route | InvalidRequest:
    """The route, or the refusal that the request is to have once it has been counted: guessing names is not free."""
    try:
        return gateway.router.resolve(envelope.model, operation)
    except InvalidRequest as error:
        return error


async def within_limits(
    gateway: Gateway,
    operation: Operation,
    envelope: RequestEnvelope,
    record: OpenRecord,
    route: Route | InvalidRequest,
) -> Claimed:
    """Count the request against every limit that applies, whichever name its model has. Raises `RateLimited`."""
    rules = gateway.rules.rules_for(
        organization_id=record.organization_id,
        project_id=record.project_id,
        key_id=record.api_key_id,
        user_id=record.user_id,
        models=route.names if isinstance(route, Route) else (),
    )
    if not rules:
        return NOTHING_CLAIMED
    tokens = _estimated_tokens(envelope, route) if any(rule.kind == "tokens" for rule in rules) else 0
    claims = counting(rules, tokens=tokens, stream=envelope.stream)
    lease = record.id.bytes
    limiter = gateway.limiter
    verdict = limiter.check_now(claims, lease=lease) or await limiter.check(claims, lease=lease)
    if not verdict.allowed:
        raise RateLimited(
            explain(verdict),
            retry_after_s=verdict.retry_after_s,
            headers=(
                *((name.decode(), value.decode()) for name, value in limit_headers(verdict, operation.dialect)),
                *((("x-should-retry", "false"),) if verdict.too_large else ()),  # as OpenAI's and Anthropic's SDKs read
            ),
        )
    return Claimed(verdict, tokens)


def _estimated_tokens(envelope: RequestEnvelope, route: Route | InvalidRequest) -> int:
    """The input, and the output that the caller allows, as OpenAI counts it; no more of it than the models can give."""
    most, answers = envelope.stated_output()
    if most and isinstance(route, Route):
        cards = [target.card for target in route.targets]
        given = [card.max_output_tokens for card in cards if card is not None]
        if len(given) == len(cards):
            most = min(most, max(given))
    return estimated_usage(envelope, output_chars=0).input_tokens + min(most * answers, _MOST_TOKENS)


def anthropic_headers(operation: Operation, headers: dict[bytes, bytes]) -> tuple[str, str | None]:
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


async def read_body(receive: Receive, headers: dict[bytes, bytes], *, limit_bytes: int) -> bytes:
    """The whole body. Raises `PayloadTooLarge`, or `ClientGone`."""
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
