"""Calls of models that the service makes by itself, for a project: admitted, metered and settled as callers' are."""

import asyncio
import time
from functools import partial
from typing import cast

from ali.features.chat.admission import hold_and_open, routed, within_limits
from ali.features.chat.attempt import CallerContext, WholeAnswer, attempt, estimated_usage
from ali.features.chat.envelope import RequestEnvelope, read_envelope
from ali.features.chat.gateway import Gateway
from ali.features.chat.operations import ANTHROPIC_VERSIONS, CHAT_COMPLETIONS, EMBEDDINGS, Operation
from ali.features.chat.routing import Route
from ali.features.chat.settlement import close_record, prices_tried, tell
from ali.features.chat.spend_bound import most_microusd
from ali.features.knowledge.account import Account
from ali.features.metering import OpenRecord
from ali.kernel.errors import AliError, InvalidRequest
from ali.kernel.ids import uuid7
from ali.providers.contract import Deadlines, UpstreamTimeout


class OwnCalls:
    """`knowledge.account.ModelCalls` over the gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def embeddings(self, body: bytes, *, account: Account, deadline_s: float) -> bytes:
        """As `ModelCalls` has it."""
        return await self._call(EMBEDDINGS, body, account, deadline_s)

    async def completion(self, body: bytes, *, account: Account, deadline_s: float) -> bytes:
        """As `ModelCalls` has it. A streamed answer cannot be asked for."""
        return await self._call(CHAT_COMPLETIONS, body, account, deadline_s)

    async def _call(self, operation: Operation, body: bytes, account: Account, deadline_s: float) -> bytes:
        gateway = self._gateway
        envelope = read_envelope(operation, body)
        envelope.asked, envelope.stream = None, False
        record = OpenRecord(
            record_id=uuid7(),
            organization_id=account.organization_id,
            project_id=account.project_id,
            api_key_id=account.api_key_id,
            user_id=account.user_id,
            operation=operation.name,
            model=envelope.model,
            streamed=False,
            started_s=time.monotonic(),
        )
        route = routed(gateway, operation, envelope)
        if isinstance(route, InvalidRequest):
            raise route
        claimed = await within_limits(gateway, operation, envelope, record, route)
        try:
            await hold_and_open(gateway, record, lambda: most_microusd(route, envelope))
            answer = await self._answered(envelope, route, record, deadline_s)
        finally:
            used = record.usage
            claimed.settle(gateway.limiter, used_tokens=used.input_tokens + used.output_tokens)
        return answer.body

    async def _answered(
        self, envelope: RequestEnvelope, route: Route, record: OpenRecord, deadline_s: float
    ) -> WholeAnswer:
        """The answer, and the record settled, whatever happens."""
        gateway = self._gateway
        context = CallerContext(
            answer_id=record.id.hex,
            created=int(time.time()),
            anthropic_version=ANTHROPIC_VERSIONS[0],
            anthropic_beta=None,
            deadlines=_within(gateway.deadlines, deadline_s),
            max_body_bytes=gateway.max_upstream_body_bytes,
            max_event_bytes=gateway.max_event_bytes,
        )
        try:
            async with asyncio.timeout(deadline_s):
                target, given = await gateway.failover.answer(
                    route, partial(attempt, envelope=envelope, context=context), record
                )
            answer = cast(WholeAnswer, given)  # nothing was asked for in a stream
            record.usage = answer.usage
            close_record(record, "ok", status=200, prices=target.prices)
            await gateway.ledger.settle(record)
        except TimeoutError as error:
            late = UpstreamTimeout(
                f"The model {envelope.model} did not answer within {deadline_s:g} s. Try again, or use a faster one."
            )
            self._give_up(envelope, route, record, outcome="error", error=late)
            raise late from error
        except AliError as error:
            self._give_up(envelope, route, record, outcome="error", error=error)
            raise
        except BaseException:
            self._give_up(envelope, route, record, outcome="cancelled", error=None)
            raise
        finally:
            tell(gateway, record, f"req_{record.id.hex}")
        return answer

    def _give_up(
        self, envelope: RequestEnvelope, route: Route, record: OpenRecord, *, outcome: str, error: AliError | None
    ) -> None:
        """Settle a call that has no answer. One that was broken off may be billed: it costs what it is estimated to."""
        if record.outcome != "open":
            return  # the answer was there, and its record is being written
        if record.attempts and (error is None or isinstance(error, UpstreamTimeout)):
            record.usage = estimated_usage(envelope, output_chars=0)
        close_record(
            record,
            outcome,
            status=499 if error is None else error.http_status,
            error_code="cancelled" if error is None else error.error_code,
            prices=prices_tried(route, record),
        )
        self._gateway.ledger.settle_soon(record)


def _within(deadlines: Deadlines, deadline_s: float) -> Deadlines:
    return Deadlines(
        connect_s=min(deadlines.connect_s, deadline_s),
        first_byte_s=min(deadlines.first_byte_s, deadline_s),
        silence_s=min(deadlines.silence_s, deadline_s),
        total_s=min(deadlines.total_s, deadline_s),
    )
