"""What the simulated providers answer: from a request to the steps in which its answer is sent."""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from ali.ops.simulator import anthropic_wire, embeddings, models, openai_wire, responses_wire
from ali.ops.simulator.answers import Answer, Completion, Pace
from ali.ops.simulator.checks import Refused, check_chat, check_messages, check_version
from ali.ops.simulator.fault_plans import FaultLimits
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.prompt import Prompt, read
from ali.ops.simulator.received import ReceivedRequest
from ali.ops.simulator.reply import Reply, Step
from ali.ops.simulator.responses_checks import check_responses
from ali.ops.simulator.responses_events import response_events
from ali.ops.simulator.saying import said, under
from ali.ops.simulator.turn import Turn
from ali.providers.contract import Dialect

Responder: TypeAlias = Callable[[ReceivedRequest], Answer]
"""Answers whatever nothing was queued for, from the request itself."""

_CHAT, _MESSAGES, _COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
_EMBEDDINGS, _MODERATIONS, _MODELS = "/v1/embeddings", "/v1/moderations", "/v1/models"
_RESPONSES, _INPUT_TOKENS = "/v1/responses", "/v1/responses/input_tokens"
_COMPACT = "/v1/responses/compact"
_RESPONSES_PATHS = (_RESPONSES, _INPUT_TOKENS, _COMPACT)
_POST_PATHS = (_CHAT, _MESSAGES, _COUNT, _EMBEDDINGS, _MODERATIONS, *_RESPONSES_PATHS)
_CONVERSATIONS = (_CHAT, _MESSAGES, _RESPONSES)
_STATUS_OF = {
    Fault.HTTP_400: 400,
    Fault.HTTP_401: 401,
    Fault.HTTP_408: 408,
    Fault.HTTP_429: 429,
    Fault.HTTP_500: 500,
    Fault.HTTP_503: 503,
    Fault.HTTP_529: 529,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scripted:
    """A queued answer, and which requests may take it."""

    answer: Answer
    dialect: Dialect | None
    model: str | None


class SimulatedProvider:
    """Both providers' logic, without sockets.

    `api_key` is the only key taken (None: any); `default` answers whatever nothing was queued for; `models` are names
    taken beside the providers' families.
    """

    def __init__(
        self,
        *,
        api_key: str | None,
        default: Answer | Responder,
        pace: Pace,
        models: Collection[str],
        limits: FaultLimits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.api_key = api_key
        self.default = default
        self.pace = pace
        self._models = tuple(models)
        self._limits = limits
        self._clock = clock
        self._script: deque[_Scripted] = deque()
        self._serial = 0

    def queue(self, answer: Answer, *, dialect: Dialect | None, model: str | None) -> None:
        """`answer` for the next request of that dialect and model."""
        self._script.append(_Scripted(answer=answer, dialect=dialect, model=model))

    @property
    def queued(self) -> int:
        """How many answers were not asked for yet."""
        return len(self._script)

    def forget_script(self) -> None:
        """Drop the queued answers."""
        self._script.clear()

    def closes_on_accept(self) -> bool:
        """Whether a connection just accepted is to be closed at once; the queued answer that says so is taken."""
        if not self._script:
            return isinstance(self.default, Answer) and self.default.fault is Fault.CLOSED_ON_ACCEPT
        first = self._script[0]
        closes = first.answer.fault is Fault.CLOSED_ON_ACCEPT and first.dialect is None and first.model is None
        if closes:
            self._script.popleft()
        return closes

    def steps(self, request: ReceivedRequest) -> Iterator[Step]:
        """How `request` is answered; status and fault are noted in it."""
        self._serial += 1
        path = request.path.partition("?")[0]
        turn = Turn(
            serial=self._serial,
            now_s=int(self._clock()),
            dialect=_dialect(path, request),
            request=request,
            pace=self.pace,
            limits=self._limits,
        )
        try:
            return self._answered(turn, path)
        except Refused as refusal:
            answer = Answer(status=refusal.status, message=refusal.message)
            return turn.send(turn.error(answer, code=refusal.code, param=refusal.param), None)

    def _answered(self, turn: Turn, path: str) -> Iterator[Step]:
        request = turn.request
        self._authenticate(turn)
        if path.startswith(_MODELS) and request.method == "GET":
            return turn.send(self._catalog(turn, path), None)
        prompt = _read(request)
        scripted = self._take(turn.dialect, prompt.model if prompt is not None else None) if self._script else None
        if scripted is not None and scripted.body is not None:
            return turn.send(turn.replay(scripted), scripted.fault)
        if path not in _POST_PATHS:
            raise Refused(404, f"Invalid URL ({request.method} {path})")
        if request.method != "POST":
            raise Refused(405, f"Not allowed to {request.method} on {path}. Use POST.")
        if prompt is None:
            raise Refused(400, "We could not parse the JSON body of your request.")
        model = self._checked(turn, path, prompt)
        answer = scripted or (self.default if isinstance(self.default, Answer) else self.default(request))
        if path not in _CONVERSATIONS:
            return self._plainly(turn, path, prompt, answer=answer, model=model)
        completion = said(
            prompt,
            answer,
            serial=turn.serial,
            now_s=turn.now_s,
            model=model,
            pace=self.pace,
            directives=scripted is None,
        )
        return _conversation(turn, path, prompt.body, completion)

    def _checked(self, turn: Turn, path: str, prompt: Prompt) -> str:
        """The model's name, once the request is one that the real provider takes. Raises `Refused`."""
        anthropic = turn.dialect is Dialect.ANTHROPIC
        version = turn.request.header(b"anthropic-version") if anthropic else None
        model = prompt.model or (models.MODERATION_MODEL if path == _MODERATIONS else None)
        if model is None:
            raise Refused(400, "model: Field required" if anthropic else "you must provide a model parameter")
        if not models.exists(model, turn.dialect, more=self._models):
            raise _unknown(model, turn.dialect)
        if (path, version) not in prompt.accepted:
            if path == _CHAT:
                check_chat(prompt.body)
            elif path in _RESPONSES_PATHS:
                check_responses(prompt.body, model=model)
            elif anthropic:
                check_version(version, prompt.body)
                check_messages(prompt.body, counting=path == _COUNT)
            prompt.accepted.add((path, version))
        return model

    def _plainly(self, turn: Turn, path: str, prompt: Prompt, *, answer: Answer, model: str) -> Iterator[Step]:
        """The endpoints that are no conversation."""
        fault = _effective(answer.fault, streamed=False)
        answer = _with_status(answer, fault)
        if answer.status >= 400:
            return turn.send(turn.error(answer), fault)
        try:
            if path == _COUNT:
                content = b'{"input_tokens":%d}' % prompt.tokens
            elif path == _INPUT_TOKENS:
                content = responses_wire.counted(prompt)
            elif path == _COMPACT:
                content = responses_wire.compacted(prompt, serial=turn.serial, now_s=turn.now_s)
            elif path == _EMBEDDINGS:
                content = embeddings.embeddings(prompt.body, model=model)
            else:
                content = embeddings.moderations(prompt.body, model=model, serial=turn.serial)
        except ValueError as error:
            raise Refused(400, str(error), param="input") from error
        return turn.send(turn.misrepresented(turn.reply(answer, body=content), fault), fault)

    def _authenticate(self, turn: Turn) -> None:
        openai = turn.dialect is Dialect.OPENAI
        bearer = turn.request.header(b"authorization")
        given = bearer[7:] if bearer is not None and bearer[:7].lower() == b"bearer " else b""
        if not openai:
            given = turn.request.header(b"x-api-key") or given
        if not given:
            raise Refused(401, "You didn't provide an API key." if openai else "x-api-key header is required")
        if self.api_key is not None and given != self.api_key.encode():
            raise Refused(401)

    def _catalog(self, turn: Turn, path: str) -> Reply:
        """`GET /v1/models` and `GET /v1/models/{id}`."""
        if turn.dialect is Dialect.ANTHROPIC:
            check_version(turn.request.header(b"anthropic-version"), {})
        name = path[len(_MODELS) :].lstrip("/")
        if not name:
            return turn.reply(Answer(), body=models.model_list(turn.dialect, more=self._models))
        if not models.exists(name, turn.dialect, more=self._models):
            raise _unknown(name, turn.dialect)
        return turn.reply(Answer(), body=models.model_object(name, turn.dialect))

    def _take(self, dialect: Dialect, model: str | None) -> Answer | None:
        """The first queued answer that this request may have."""
        for place, scripted in enumerate(self._script):
            if scripted.dialect in (None, dialect) and scripted.model in (None, model):
                del self._script[place]
                return scripted.answer
        return None


def _dialect(path: str, request: ReceivedRequest) -> Dialect:
    """The path decides; for the models, which both providers have, the header that only Anthropic's clients send."""
    if path.startswith(_MESSAGES):
        return Dialect.ANTHROPIC
    if path.startswith(_MODELS) and request.header(b"anthropic-version") is not None:
        return Dialect.ANTHROPIC
    return Dialect.OPENAI


def _conversation(turn: Turn, path: str, body: Mapping[str, object], completion: Completion) -> Iterator[Step]:
    """Chat completions, responses and messages, plain or streamed."""
    streamed = body.get("stream") is True
    fault = _effective(completion.answer.fault, streamed=streamed)
    answer = _with_status(completion.answer, fault)
    if answer.status >= 400:
        return turn.send(turn.error(answer), fault)
    if fault in (Fault.JSON_FOR_STREAM, Fault.STREAM_FOR_JSON):
        streamed = not streamed
    write = _as_response if path == _RESPONSES else _in_dialect
    reply = write(turn, body, under(fault, completion), streamed=streamed)
    return turn.send(turn.misrepresented(reply, fault), fault)


def _in_dialect(turn: Turn, body: Mapping[str, object], completion: Completion, *, streamed: bool) -> Reply:
    """A completion in the dialect's shape."""
    answer = completion.answer
    if turn.dialect is Dialect.ANTHROPIC:
        if streamed:
            return turn.reply(answer, events=anthropic_wire.message_events(completion))
        return turn.reply(answer, body=anthropic_wire.message(completion))
    asked = body.get("n")
    choices = asked if isinstance(asked, int) and 1 <= asked <= 128 else 1
    tier = _tier(body.get("service_tier"))
    if not streamed:
        return turn.reply(answer, body=openai_wire.completion(completion, choices=choices, tier=tier))
    options = body.get("stream_options")
    include_usage = isinstance(options, dict) and options.get("include_usage") is True
    events = openai_wire.completion_events(completion, choices=choices, tier=tier, include_usage=include_usage)
    return turn.reply(answer, events=events)


def _as_response(turn: Turn, body: Mapping[str, object], completion: Completion, *, streamed: bool) -> Reply:
    """A completion in the shape of the Responses API."""
    answer, tier = completion.answer, _tier(body.get("service_tier"))
    if streamed:
        return turn.reply(answer, events=response_events(completion, body, tier=tier))
    return turn.reply(answer, body=responses_wire.response(completion, body, tier=tier))


def _effective(fault: Fault | None, *, streamed: bool) -> Fault | None:
    """The fault, if it changes such an answer."""
    return fault if fault is not None and fault.changes(streamed=streamed) else None


def _with_status(answer: Answer, fault: Fault | None) -> Answer:
    status = None if fault is None else _STATUS_OF.get(fault)
    return answer if status is None else replace(answer, status=status)


def _tier(asked: object) -> str:
    if asked == "fast":
        return "priority"
    return asked if isinstance(asked, str) and asked != "auto" else "default"


def _unknown(model: str, dialect: Dialect) -> Refused:
    if dialect is Dialect.ANTHROPIC:
        return Refused(404, f"model: {model}")
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Refused(404, message, code="model_not_found")


def _read(request: ReceivedRequest) -> Prompt | None:
    try:
        return read(request.body)
    except ValueError:
        return None
