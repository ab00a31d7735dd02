"""`POST /v1/responses/compact`: a window told in short, for callers to go on from.

    what was said   →   the user's messages, word for word, and one compaction item

The asked model writes the summary in one ordinary turn, within limits and budgets, metered as any other; nothing is
kept. Source: OpenAI API reference, "Compact a response".
"""

import time
from collections.abc import Sequence
from typing import Any

import orjson

from ali.features.chat.gateway import Arrival, Receive, Scope, Send
from ali.features.chat.operations import RESPONSE_COMPACT
from ali.features.identity.naming import Kind, named
from ali.features.responses.admission import hold_for
from ali.features.responses.compaction import compaction_item, extract, summary_in, summary_question
from ali.features.responses.consulting import Consultation, consult, respond, settled
from ali.features.responses.errors import nothing_to_compact
from ali.features.responses.exchange import ResponseExchange, carried
from ali.features.responses.head import head_of, usage_object
from ali.features.responses.history import ANY_MODEL
from ali.features.responses.order import Engine, Order
from ali.features.responses.request import ResponseRequest
from ali.features.responses.state import Place
from ali.features.responses.tools import Tools
from ali.features.responses.turn import quotes_only
from ali.providers.contract import Usage
from ali.providers.turns import new_item_id

Json = dict[str, Any]


async def compact_response(engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the request. Raises nothing."""

    async def carry(arrival: Arrival) -> None:
        asked = await consult(engine, RESPONSE_COMPACT, arrival, receive)
        if not asked.items:
            asked.claimed.settle(engine.gateway.limiter, used_tokens=0)
            raise nothing_to_compact()
        if quotes_only(asked.route.targets[0]):
            await _quoted(engine, asked, arrival, send=send)
            return
        order = _order_for(asked)
        try:
            await hold_for(engine, order)
        except BaseException:
            asked.claimed.settle(engine.gateway.limiter, used_tokens=0)
            raise

        def told(response: Json) -> Json:
            provider, model = order.record.provider or "", order.record.upstream_model
            quoted = any(
                (target.upstream.name, target.model) == (provider, model) and quotes_only(target)
                for target in asked.route.targets
            )
            summary = extract(asked.items) if quoted else summary_in(response["output"], provider=provider)
            return _compacted(engine, asked, summary, usage=response["usage"])

        await ResponseExchange(engine, arrival, order, scope=scope, receive=receive, send=send, told=told).run()

    await carried(engine, RESPONSE_COMPACT, scope, send, carry)


async def _quoted(engine: Engine, asked: Consultation, arrival: Arrival, *, send: Send) -> None:
    """For a model that writes nothing of its own: no turn, and no cost."""

    async def work() -> Json:
        return _compacted(engine, asked, extract(asked.items), usage=usage_object(Usage(reported=True)))

    body = orjson.dumps(await settled(engine, asked, arrival, work))
    await respond(asked, arrival, RESPONSE_COMPACT, body, headers=[], send=send)


def _order_for(asked: Consultation) -> Order:
    """One turn that writes the summary, kept nowhere."""
    question = summary_question(asked.items, document=asked.request.document, window_tokens=asked.route.window_tokens)
    request = ResponseRequest(
        document={**question.parameters, "model": asked.request.model, "store": False},
        model=asked.request.model,
        items=list(question.items),
        tools=Tools(own=(), remote=(), hosted=()),
        stream=False,
        background=False,
        store=False,
        previous_id=None,
        conversation_id=None,
        metadata={},
        include=frozenset(),
        truncates=False,
        compacts=False,
        compact_threshold=None,
        max_tool_calls=None,
    )
    place = Place(
        organization_id=asked.place.organization_id,
        project_id=asked.place.project_id,
        response_id=asked.place.response_id,
        kept=False,
    )
    created_at = int(asked.record.started_at.timestamp())
    return Order(
        request=request,
        place=place,
        route=asked.route,
        record=asked.record,
        claimed=asked.claimed,
        head=head_of(request, name=named(Kind.RESPONSE, place.response_id), created_at=created_at),
        history=(),
    )


def _compacted(engine: Engine, asked: Consultation, summary: str, *, usage: Json) -> Json:
    """The answer: a window that a next request's `input` can begin with."""
    messages = users_messages(asked.items)
    seal = engine.seals.sealing(project_id=asked.place.project_id, model=ANY_MODEL)
    payload = {"summary": summary, "user_messages": len(messages)}
    item = compaction_item(new_item_id("compaction"), payload=payload, seal=seal)
    return {
        "id": named(Kind.RESPONSE, asked.place.response_id),
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*messages, item],
        "usage": usage,
    }


def users_messages(items: Sequence[Json]) -> list[Json]:
    """What the user said, word for word."""
    return [item for item in items if item.get("type") == "message" and item.get("role") == "user"]
