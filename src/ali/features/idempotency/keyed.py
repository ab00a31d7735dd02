"""One keyed request from its whole body to its answer: executed here, waited for, or replayed."""

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from ali.features.chat.gateway import Send
from ali.features.idempotency.answers import replayed_headers
from ali.features.idempotency.claims import Claim, Claims
from ali.features.idempotency.execution import App, Ended, execute
from ali.features.idempotency.patience import Patience
from ali.features.idempotency.sealing import Answer
from ali.features.keys.authenticate import CredentialReader
from ali.kernel import log
from ali.kernel.errors import Conflict, Unprocessable
from ali.kernel.telemetry import Metrics

Flight = asyncio.Future[Answer | None]


class IdempotencyKeyReused(Unprocessable):
    """422: this Idempotency-Key was sent before with another request."""

    code = "idempotency_key_reused"


class IdempotencyAnswerNotKept(Conflict):
    """409: the request was carried out, and its answer cannot be replayed: too large, or it could not be stored."""

    code = "idempotency_answer_not_kept"


@dataclass(slots=True, kw_only=True)
class Keeping:
    """The process-wide objects, built in the lifespan."""

    authenticator: CredentialReader
    claims: Claims
    metrics: Metrics
    max_body_bytes: int
    wait_s: float
    flights: dict[tuple[object, ...], Flight] = field(default_factory=dict)
    """What this process executes or waits for, so that of equal requests in it one asks the database for all."""


class KeyedRequest:
    """Carries one request with its key. `name` is its identifier as callers see it."""

    __slots__ = ("_body", "_claim", "_keeping", "_name", "_patience", "_scope", "_send")

    def __init__(
        self,
        keeping: Keeping,
        claim: Claim,
        *,
        name: str,
        scope: MutableMapping[str, Any],
        body: bytes,
        send: Send,
        patience: Patience,
    ) -> None:
        self._keeping = keeping
        self._claim = claim
        self._name = name
        self._scope = scope
        self._body = body
        self._send = send
        self._patience = patience

    async def run(self, app: App) -> None:
        """Answer it, by `app` or by a replay. Raises `AliError` while nothing was sent, or `ClientGone`."""
        flights, identity = self._keeping.flights, self._claim.identity
        slot = (*identity.row, identity.fingerprint)
        while (ahead := flights.get(slot)) is not None:
            if (answer := await self._patience.outlast(ahead)) is not None:
                await self._replay(answer)
                return
        flight: Flight = asyncio.get_running_loop().create_future()
        flights[slot] = flight

        def land(answer: Answer | None) -> None:
            if not flight.done():
                del flights[slot]
                flight.set_result(answer)

        try:
            await self._lead(app, land)
        finally:
            land(None)

    async def _lead(self, app: App, land: Ended) -> None:
        """Ask the database until it says what to do, and do it, for all who wait in this process until `land`."""
        while (found := await self._keeping.claims.make(self._claim)).outcome == "running":
            await self._patience.pause()
        if found.outcome == "reused":
            raise IdempotencyKeyReused(
                "This Idempotency-Key was sent before with another request: another body, path or header that changes "
                "what is asked. Send a new key with a new request, and the same one only with an exact repetition.",
                param="Idempotency-Key",
            )
        if found.outcome == "done":
            if found.answer is None:
                raise IdempotencyAnswerNotKept(
                    "A request with this Idempotency-Key was carried out, but its answer was too large to be kept, or "
                    "could not be. It is not carried out again. To have it done once more, send a new key.",
                    param="Idempotency-Key",
                    headers=(("x-should-retry", "false"),),
                )
            land(found.answer)
            await self._replay(found.answer)
            return
        if found.outcome == "taken_over":
            log.warning("idempotency.taken_over", request_id=self._name)
        await self._patience.end()
        self._keeping.metrics.idempotent.labels("executed").inc()
        await execute(
            app,
            self._scope,
            body=self._body,
            send=self._send,
            claims=self._keeping.claims,
            claim=self._claim,
            ended=land,
        )

    async def _replay(self, answer: Answer) -> None:
        headers, original = replayed_headers(answer, request_name=self._name)
        self._keeping.metrics.idempotent.labels("replayed").inc()
        log.info(
            "idempotency.replayed",
            request_id=self._name,
            original_request_id=original,
            status=answer.status,
            organization=self._claim.identity.organization_id.hex,
        )
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body, "more_body": False})
