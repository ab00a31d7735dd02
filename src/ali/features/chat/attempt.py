"""One call to one target: the request said in its dialect, and its answer, or the beginning of it, in the caller's."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from ali.features.chat.cited_files import cited_event, cited_message
from ali.features.chat.envelope import RequestEnvelope
from ali.features.chat.live_stream import LiveStream
from ali.features.chat.operations import Operation
from ali.features.chat.routing import Target
from ali.kernel.errors import InvalidRequest
from ali.providers import anthropic, openai
from ali.providers.anthropic.messages_stream import MessagesRelay
from ali.providers.contract import (
    Deadlines,
    Dialect,
    StreamRelay,
    UpstreamCall,
    UpstreamError,
    UpstreamMalformed,
    UpstreamReply,
    Usage,
)
from ali.providers.openai.chat_stream import ChatRelay
from ali.providers.translate import (
    ChatFromMessages,
    MessagesFromChat,
    anthropic_version_for,
    chat_to_messages,
    completion_from_message,
    message_from_completion,
    messages_to_chat,
)

_ERROR_BODY_BYTES = 256 * 1024
_CHARS_A_TOKEN = 4
DEFAULT_MAX_TOKENS = 8192
_SAMPLING = ("temperature", "top_p", "top_k")
_OPENAI = Dialect.OPENAI
_RELAYED_AS_THEY_ARE = frozenset(range(400, 500)) - {401, 402, 403, 407, 408, 429}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerContext:
    """What an attempt needs to know of the request beside its body."""

    answer_id: str
    """Hexadecimal; translated answers are named by it."""
    created: int
    anthropic_version: str
    anthropic_beta: str | None
    deadlines: Deadlines
    max_body_bytes: int
    max_event_bytes: int


@dataclass(slots=True, kw_only=True)
class WholeAnswer:
    """A complete answer in the caller's dialect."""

    body: bytes
    usage: Usage
    headers: list[tuple[bytes, bytes]]
    stop_reason: str | None = None
    dropped: tuple[str, ...] = ()
    estimated: bool = False


@dataclass(slots=True, kw_only=True)
class StreamedAnswer:
    """An answer that has begun."""

    stream: LiveStream
    headers: list[tuple[bytes, bytes]]


class RelayedRefusal(UpstreamError):
    """The provider's refusal of the caller's request, in the caller's own dialect: its bytes are passed on."""

    code = "upstream_refused"
    retryable = False

    def __init__(self, message: str, *, provider: str, upstream_status: int, body: bytes) -> None:
        super().__init__(message, provider=provider)
        self.upstream_status = upstream_status
        self.body = body

    @property
    def http_status(self) -> int:
        """The provider's own."""
        return self.upstream_status


@dataclass(slots=True, kw_only=True)
class _Prepared:
    """A request in the target's dialect."""

    call: UpstreamCall
    dropped: tuple[str, ...] = ()


async def attempt(target: Target, *, envelope: RequestEnvelope, context: CallerContext) -> WholeAnswer | StreamedAnswer:
    """Call `target`. Raises `UpstreamError` for its failures, `InvalidRequest` for what cannot be said in its dialect.

    Of a streamed answer the first event has arrived; its connection is the caller's to close.
    """
    operation = envelope.operation
    if operation.counts_only and target.upstream.dialect is _OPENAI:
        return _estimated_count(envelope)
    prepared = _prepare(target, envelope, context)
    reply = await target.upstream.send(prepared.call, context.deadlines)
    try:
        await expect_success(reply, target=target, operation=operation)
        if envelope.stream:
            expect_event_stream(reply, provider=target.upstream.name)
            stream = LiveStream(
                reply,
                _relay_for(target, envelope, context),
                provider=target.upstream.name,
                deadlines=context.deadlines,
                max_event_bytes=context.max_event_bytes,
                max_bytes=context.max_body_bytes,
                dropped=prepared.dropped,
                mended=_citing(target, envelope),
            )
            await stream.begin()
            return StreamedAnswer(stream=stream, headers=limit_headers_of(reply, target, operation))
        body = await reply.read(limit_bytes=context.max_body_bytes)
        answer = _whole(body, target, envelope, context)
        answer.dropped = prepared.dropped
        answer.headers = limit_headers_of(reply, target, operation)
    except BaseException:
        await reply.close()
        raise
    await reply.close()
    return answer


def _prepare(target: Target, envelope: RequestEnvelope, context: CallerContext) -> _Prepared:
    operation, dialect = envelope.operation, target.upstream.dialect
    path = operation.upstream_path(dialect)
    dropped: tuple[str, ...] = ()
    if dialect is operation.dialect:
        body, version = envelope.body_for(model=target.model), context.anthropic_version
    elif dialect is Dialect.ANTHROPIC:
        if operation.needs != "chat":
            raise InvalidRequest(f"Provider {target.upstream.name} offers no {operation.name}.", param="model")
        body, dropped, version = _as_messages(target, envelope)
    else:
        body, dropped, version = _as_chat(target, envelope, context)
    headers: tuple[tuple[str, str], ...] = ()
    if dialect is Dialect.ANTHROPIC:
        headers = (("anthropic-version", version),)
        if context.anthropic_beta and operation.dialect is dialect:
            headers = (*headers, ("anthropic-beta", context.anthropic_beta))
    return _Prepared(call=UpstreamCall(path=path, body=body, headers=headers, stream=envelope.stream), dropped=dropped)


def _as_messages(target: Target, envelope: RequestEnvelope) -> tuple[bytes, tuple[str, ...], str]:
    """A chat request for a provider of Messages; the API version is chosen by what the request holds."""
    translated = chat_to_messages(
        envelope.document(),
        model=target.model,
        default_max_tokens=target.card.default_max_tokens if target.card else DEFAULT_MAX_TOKENS,
        anthropic_version="2023-06-01" if target.has("sampling_parameters") else "2026-10-21",
    )
    if envelope.stream:
        translated.body["stream"] = True
    return written(translated.body), translated.dropped, anthropic_version_for(translated.body)


def _as_chat(target: Target, envelope: RequestEnvelope, context: CallerContext) -> tuple[bytes, tuple[str, ...], str]:
    """A Messages request for a provider of chat completions."""
    document = envelope.document()
    if context.anthropic_version != "2023-06-01":
        for name in _SAMPLING:
            if name in document:
                raise InvalidRequest(
                    f"`{name}` is not part of API version {context.anthropic_version}. "
                    "Leave it out, or send anthropic-version: 2023-06-01.",
                    param=name,
                )
    translated = messages_to_chat(document, model=target.model)
    if envelope.stream:
        translated.body["stream"] = True
        translated.body["stream_options"] = {"include_usage": True}
    return written(translated.body), translated.dropped, context.anthropic_version


def written(request: dict[str, Any]) -> bytes:
    """A translated request as JSON, which cannot be written as deep as it can be read."""
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest("The request is nested too deeply, or holds a number beyond 64 bits.") from error


def _relay_for(target: Target, envelope: RequestEnvelope, context: CallerContext) -> StreamRelay:
    provider, dialect = target.upstream.name, target.upstream.dialect
    if envelope.operation.dialect is _OPENAI:
        if dialect is _OPENAI:
            return ChatRelay(provider=provider, usage_wanted=envelope.include_usage is True)
        return ChatFromMessages(
            completion_id=f"chatcmpl-{context.answer_id}",
            created=context.created,
            model=target.model,
            include_usage=envelope.include_usage is True,
        )
    if dialect is _OPENAI:
        return MessagesFromChat(message_id=f"msg_{context.answer_id}", model=target.model)
    return MessagesRelay(provider=provider)


def _citing(target: Target, envelope: RequestEnvelope) -> Callable[[bytes], bytes] | None:
    """What names the files in a stream's citations; None where it can have none."""
    if not envelope.cited_files or target.upstream.dialect is not Dialect.ANTHROPIC:
        return None
    return partial(cited_event, files=envelope.cited_files)


def _whole(body: bytes, target: Target, envelope: RequestEnvelope, context: CallerContext) -> WholeAnswer:
    """A whole body checked, its usage read, and said in the caller's dialect."""
    operation, provider = envelope.operation, target.upstream.name
    if target.upstream.dialect is Dialect.ANTHROPIC:
        facts = anthropic.wire.count_facts if operation.counts_only else anthropic.wire.message_facts
    else:
        facts = {
            "chat": openai.wire.completion_facts,
            "embeddings": openai.wire.embeddings_facts,
            "moderations": openai.wire.moderations_facts,
        }[operation.needs]
    usage, stop_reason = facts(body, provider=provider)
    if not usage.reported:
        usage = estimated_usage(envelope, output_chars=len(body) if operation.needs == "chat" else 0)
    if envelope.cited_files and target.upstream.dialect is Dialect.ANTHROPIC and not operation.counts_only:
        body = cited_message(body, envelope.cited_files)
    if target.upstream.dialect is not operation.dialect:
        body = orjson.dumps(_translated_answer(orjson.loads(body), target, operation, context))
    return WholeAnswer(body=body, usage=usage, stop_reason=stop_reason, headers=[])


def _translated_answer(
    answer: dict[str, Any], target: Target, operation: Operation, context: CallerContext
) -> dict[str, Any]:
    if operation.dialect is _OPENAI:
        return completion_from_message(
            answer, completion_id=f"chatcmpl-{context.answer_id}", created=context.created, model=target.model
        )
    return message_from_completion(answer, message_id=f"msg_{context.answer_id}", model=target.model)


def estimated_usage(envelope: RequestEnvelope, *, output_chars: int) -> Usage:
    """Tokens by the rule of four characters each, for a provider that does not say."""
    return Usage(
        input_tokens=len(envelope.body) // _CHARS_A_TOKEN + 1,
        output_tokens=(output_chars + _CHARS_A_TOKEN - 1) // _CHARS_A_TOKEN,
    )


def _estimated_count(envelope: RequestEnvelope) -> WholeAnswer:
    """OpenAI's providers do not count a Messages request: the answer is the estimate that metering would use."""
    envelope.document()  # no provider will refuse what is not JSON
    tokens = estimated_usage(envelope, output_chars=0).input_tokens
    return WholeAnswer(
        body=orjson.dumps({"input_tokens": tokens}), usage=Usage(reported=True), headers=[], estimated=True
    )


def expect_event_stream(reply: UpstreamReply, *, provider: str) -> None:
    """Raises `UpstreamMalformed` for an answer that is no event stream."""
    content_type = reply.headers.get("content-type", "")
    if not content_type.startswith("text/event-stream"):
        raise UpstreamMalformed(
            f"Provider {provider} was asked for a stream and answered with {content_type[:60] or 'no content type'}.",
            provider=provider,
        )


async def expect_success(reply: UpstreamReply, *, target: Target, operation: Operation) -> None:
    """Raises the provider's refusal for any status but 200."""
    if reply.status != 200:
        raise await _refusal(reply, target=target, operation=operation)


async def _refusal(reply: UpstreamReply, *, target: Target, operation: Operation) -> UpstreamError:
    """The error behind a status other than 200."""
    provider = target.upstream.name
    if reply.status < 400:
        return UpstreamMalformed(f"Provider {provider} answered with status {reply.status}.", provider=provider)
    try:
        body = await reply.read(limit_bytes=_ERROR_BODY_BYTES)
    except UpstreamError:
        body = b""  # the status alone is told
    refused = anthropic.wire.refused if target.upstream.dialect is Dialect.ANTHROPIC else openai.wire.refused
    error = refused(reply.status, reply.headers, body, provider=provider)
    same = target.upstream.dialect is operation.dialect
    if (
        same
        and reply.status in _RELAYED_AS_THEY_ARE
        and reply.headers.get("content-type", "").startswith("application/json")
    ):
        return RelayedRefusal(error.message, provider=provider, upstream_status=reply.status, body=body)
    return error


def limit_headers_of(reply: UpstreamReply, target: Target, operation: Operation) -> list[tuple[bytes, bytes]]:
    """The provider's word on its own limits, passed on within one dialect."""
    if target.upstream.dialect is not operation.dialect:
        return []
    prefix = "x-ratelimit-" if operation.dialect is _OPENAI else "anthropic-ratelimit-"
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in reply.headers.items()
        if name.lower().startswith(prefix)
    ]
