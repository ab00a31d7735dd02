"""`POST /v1/responses/input_tokens`: how many tokens a request would have, by the word of whoever would be asked.

OpenAI and Anthropic count themselves; for others it is the estimate that metering would use, and is called one.
Source: OpenAI API reference, "Get input token counts".
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from ali.features.chat.attempt import expect_success, written
from ali.features.chat.gateway import Arrival, Receive, Scope, Send
from ali.features.chat.operations import RESPONSE_INPUT_TOKENS
from ali.features.chat.routing import Target
from ali.features.responses.choice import choice_for_turn
from ali.features.responses.consulting import Consultation, consult, respond, settled
from ali.features.responses.exchange import carried
from ali.features.responses.file_search.tool import function
from ali.features.responses.history import fitted
from ali.features.responses.order import Engine
from ali.features.responses.turn import Question, said_to
from ali.features.responses.weighing import estimated_tokens
from ali.providers.contract import Dialect, UpstreamCall
from ali.providers.openai.wire import malformed
from ali.providers.translate import anthropic_version_for

Json = dict[str, Any]

_NATIVE: Final = frozenset(
    {
        *("input", "instructions", "model", "parallel_tool_calls", "personality", "reasoning", "text", "tool_choice"),
        *("tools", "truncation"),
    }
)
"""What OpenAI takes here. Source: OpenAI API reference, "Get input token counts"."""
_MESSAGES: Final = frozenset({"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"})
"""What Anthropic takes here. Source: Anthropic API reference, "Count tokens in a Message"."""


class _Counted(msgspec.Struct):
    input_tokens: int


_counted = msgspec.json.Decoder(_Counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many tokens, and whether nobody knows exactly."""

    tokens: int
    estimated: bool = False


async def count_input_tokens(engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the request. Nothing is written but its usage record, at no cost. Raises nothing."""

    async def carry(arrival: Arrival) -> None:
        asked = await consult(engine, RESPONSE_INPUT_TOKENS, arrival, receive)
        count = await settled(engine, asked, arrival, lambda: _count(engine, asked))
        body = orjson.dumps({"object": "response.input_tokens", "input_tokens": count.tokens})
        headers = [(b"x-ali-estimated", b"true")] if count.estimated else []
        await respond(asked, arrival, RESPONSE_INPUT_TOKENS, body, headers=headers, send=send)

    await carried(engine, RESPONSE_INPUT_TOKENS, scope, send, carry)


async def _count(engine: Engine, asked: Consultation) -> Count:
    request = asked.request
    items = asked.items
    if request.truncates:
        items = fitted(items, window_tokens=asked.route.window_tokens, output_tokens=0)
    functions = [*request.tools.own, *([function()] if request.tools.search is not None else ())]
    parameters = request.for_model()
    if request.tools.search is not None:
        parameters["tool_choice"] = choice_for_turn(parameters.get("tool_choice"), {}, first=True, searches=True)
    question = Question(parameters=parameters, items=items, functions=functions, hosted=request.tools.hosted)
    attempting = partial(_attempt, engine=engine, asked=asked, question=question)
    _, count = await engine.gateway.failover.answer(asked.route, attempting, asked.record)
    return count


async def _attempt(target: Target, *, engine: Engine, asked: Consultation, question: Question) -> Count:
    """Ask `target`. Raises `UpstreamError`, `InvalidRequest` for what cannot be said there."""
    upstream = target.upstream
    translated = said_to(target, question, seals=engine.seals, project_id=asked.place.project_id)
    if upstream.speaks_responses:
        call = _call("/responses/input_tokens", translated.body, taken=_NATIVE)
    elif upstream.dialect is Dialect.ANTHROPIC:
        version = (("anthropic-version", anthropic_version_for(translated.body)),)
        call = _call("/v1/messages/count_tokens", translated.body, taken=_MESSAGES, headers=version)
    else:
        others = len(written({**question.request(model=target.model), "input": []})) // 4
        return Count(tokens=estimated_tokens(question.items) + others, estimated=True)
    reply = await upstream.send(call, engine.gateway.deadlines)
    try:
        await expect_success(reply, target=target, operation=RESPONSE_INPUT_TOKENS)
        body = await reply.read(limit_bytes=engine.gateway.max_upstream_body_bytes)
    finally:
        await reply.close()
    try:
        return Count(tokens=_counted.decode(body).input_tokens)
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(upstream.name) from error


def _call(path: str, body: Json, *, taken: frozenset[str], headers: tuple[tuple[str, str], ...] = ()) -> UpstreamCall:
    said = {name: value for name, value in body.items() if name in taken}
    return UpstreamCall(path=path, body=written(said), headers=headers, stream=False)
