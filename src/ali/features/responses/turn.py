"""One turn: a call of a model at one target, said in its words, its stream coming back as our events."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from ali.features.chat.attempt import (
    DEFAULT_MAX_TOKENS,
    expect_event_stream,
    expect_success,
    limit_headers_of,
    written,
)
from ali.features.chat.live_stream import LiveStream
from ali.features.chat.operations import RESPONSES
from ali.features.chat.routing import Target
from ali.features.responses.errors import CompactionUnreadable, PromptNotOffered, ToolNotOffered
from ali.features.responses.file_search.shown import RESULTS, Handles, with_searches
from ali.features.responses.sealing import Seals
from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Deadlines, Dialect, StreamRelay, Translated, UpstreamCall
from ali.providers.translate import anthropic_version_for
from ali.providers.turns import OutputWriter
from ali.providers.turns.chat_request import turn_to_chat
from ali.providers.turns.chat_turn import ChatTurn
from ali.providers.turns.messages_request import turn_to_messages
from ali.providers.turns.messages_turn import MessagesTurn
from ali.providers.turns.native_request import turn_to_responses
from ali.providers.turns.native_turn import NativeTurn

Json = dict[str, Any]

NATIVE_PATH: Final = "/responses"
LOGPROBS: Final = "message.output_text.logprobs"


class TurnRelay(StreamRelay, Protocol):
    """A relay of one turn: it writes into the response's writer."""

    incomplete_reason: str | None
    """Why the model was cut off; None where it came to its own end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the model is asked in one turn. `functions`: the caller's tools, and those this service runs, as functions;
    `hosted`: the provider's own, with their places in the request's list.
    """

    parameters: Json
    items: Sequence[Json]
    functions: Sequence[Json] = ()
    hosted: Sequence[Json] = ()

    def request(self, *, model: str) -> Json:
        """A Responses request with everything in it."""
        request = {**self.parameters, "model": model, "input": list(self.items)}
        if self.functions or self.hosted:
            request["tools"] = [*self.functions, *self.hosted]
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext:
    """What every turn of one response needs."""

    project_id: UUID
    writer: OutputWriter
    seals: Seals
    handles: Handles | None
    """Of the passages that the model is shown; None where it is to cite none."""
    look_up: Callable[[Question], Awaitable[Question]] | None
    """Searches files for a model that cannot call for it: the question with what was found."""
    deadlines: Deadlines
    max_body_bytes: int
    max_event_bytes: int


@dataclass(slots=True, kw_only=True)
class StreamedTurn:
    """A turn that has begun. Its stream is the caller's to close."""

    target: Target
    stream: LiveStream
    relay: TurnRelay
    headers: list[tuple[bytes, bytes]]
    dropped: tuple[str, ...]


async def attempt_turn(target: Target, *, question: Question, context: TurnContext) -> StreamedTurn:
    """Ask `target`; its first event has arrived. Raises `UpstreamError`; `InvalidRequest` for what cannot be said."""
    if context.look_up is not None and quotes_only(target):
        question = await context.look_up(question)
    call, relay, dropped = _prepared(target, question, context)
    mark = context.writer.mark()
    reply = await target.upstream.send(call, context.deadlines)
    try:
        await expect_success(reply, target=target, operation=RESPONSES)
        expect_event_stream(reply, provider=target.upstream.name)
        stream = LiveStream(
            reply,
            relay,
            provider=target.upstream.name,
            deadlines=context.deadlines,
            max_event_bytes=context.max_event_bytes,
            max_bytes=context.max_body_bytes,
            dropped=dropped,
        )
        await stream.begin()
    except BaseException:
        context.writer.rewind(mark)
        await asyncio.shield(reply.close())
        raise
    return StreamedTurn(
        target=target,
        stream=stream,
        relay=relay,
        headers=limit_headers_of(reply, target, RESPONSES),
        dropped=dropped,
    )


def quotes_only(target: Target) -> bool:
    """Whether the model writes nothing of its own: it calls no tools, and asking it for a summary is of no use."""
    return target.card is not None and target.card.provider == "extractive"


def said_to(
    target: Target, question: Question, *, seals: Seals, project_id: UUID, handles: Handles | None = None
) -> Translated[Json]:
    """The question as a streamed request in the target's words. Raises `InvalidRequest` where it cannot be said."""
    upstream = target.upstream
    unseal = seals.unsealing(project_id=project_id, model=f"{upstream.name}/{target.model}")
    request = question.request(model=target.model)
    request["input"] = with_searches(question.items, handles, as_blocks=quotes_only(target))
    if included := [word for word in request.pop("include", ()) if word != RESULTS]:
        request["include"] = included
    if handles is not None and quotes_only(target):
        request.pop("tool_choice", None)  # files are searched for it
    if upstream.speaks_responses:
        reasons = target.has("reasoning") if target.card is not None else None
        translated: Translated[Json] = turn_to_responses(request, model=target.model, unseal=unseal, reasons=reasons)
        if request.get("prompt") is not None and not request["input"]:
            del translated.body["input"]  # the prompt brings its own
        return translated
    if request.get("prompt") is not None:
        raise PromptNotOffered(
            "Prompts are kept at OpenAI, and this model is not served there. Use one of OpenAI's models, or send the "
            "prompt's text as instructions.",
            param="prompt",
        )
    if any(item.get("type") == "compaction" for item in question.items):  # ours were opened
        raise CompactionUnreadable(
            "A compaction item in the input was made by another provider, in another project, or was changed since, so "
            "it cannot be read. Send the items that it stands for instead.",
            param="input",
        )
    if question.hosted:
        kind = str(question.hosted[0].get("type"))[:64]
        raise ToolNotOffered(
            f"The tool {kind} runs at OpenAI alone, and this model is not served there. Use one of OpenAI's models, or "
            "leave the tool out.",
            param="tools",
        )
    if upstream.dialect is not Dialect.ANTHROPIC:
        return turn_to_chat(request, model=target.model)
    if LOGPROBS in request.pop("include", ()):
        raise InvalidRequest(
            f"This model's provider gives no log probabilities; leave {LOGPROBS} out of include.", param="include"
        )
    return turn_to_messages(
        request,
        model=target.model,
        default_max_tokens=target.card.default_max_tokens if target.card else DEFAULT_MAX_TOKENS,
        anthropic_version="2023-06-01" if target.has("sampling_parameters") else "2026-10-21",
        unseal=unseal,
    )


def _prepared(
    target: Target, question: Question, context: TurnContext
) -> tuple[UpstreamCall, TurnRelay, tuple[str, ...]]:
    """The call in the target's words, and what reads its answer."""
    upstream, writer = target.upstream, context.writer
    translated = said_to(target, question, seals=context.seals, project_id=context.project_id, handles=context.handles)
    seal = context.seals.sealing(project_id=context.project_id, model=f"{upstream.name}/{target.model}")
    if upstream.speaks_responses:
        native = NativeTurn(writer, provider=upstream.name, seal=seal)
        return _call(NATIVE_PATH, translated), native, translated.dropped
    if upstream.dialect is Dialect.ANTHROPIC:
        custom = frozenset(tool["name"] for tool in question.functions if tool["type"] == "custom")
        relay = MessagesTurn(writer, provider=upstream.name, seal=seal, custom_tools=custom)
        version = (("anthropic-version", anthropic_version_for(translated.body)),)
        return _call("/v1/messages", translated, version), relay, translated.dropped
    return _call("/chat/completions", translated), ChatTurn(writer, provider=upstream.name), translated.dropped


def _call(path: str, translated: Translated[Json], headers: tuple[tuple[str, str], ...] = ()) -> UpstreamCall:
    return UpstreamCall(path=path, body=written(translated.body), headers=headers, stream=True)
