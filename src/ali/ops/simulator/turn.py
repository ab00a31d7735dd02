"""One request on its way to an answer: headers, envelopes and replays in the dialect that it is spoken in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ali.ops.simulator import anthropic_wire, openai_wire
from ali.ops.simulator.answers import Answer, Pace
from ali.ops.simulator.fault_plans import FaultLimits, faulty_steps, page
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.received import ReceivedRequest
from ali.ops.simulator.reply import EVENT_STREAM, Events, Reply, Step
from ali.providers.contract import Dialect

_RETRY_LATER = (429, 503, 529)
_FRAMING = ("content-length", "transfer-encoding", "connection", "keep-alive", "content-type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A request, its serial number, its second, its dialect, and the simulator's pace and limits."""

    serial: int
    now_s: int
    dialect: Dialect
    request: ReceivedRequest
    pace: Pace
    limits: FaultLimits

    def send(self, reply: Reply, fault: Fault | None) -> Iterator[Step]:
        """The steps of `reply` under `fault`, both noted in the request."""
        self.request.status = reply.status
        self.request.fault = fault
        return reply.steps() if fault is None else faulty_steps(reply, fault, limits=self.limits)

    def reply(self, answer: Answer, *, body: bytes = b"", events: Events | None = None) -> Reply:
        """A body or a stream under the usual headers and those of `answer`, at its pace."""
        latency_s = self.pace.latency_s if answer.latency_s is None else answer.latency_s
        if self.dialect is Dialect.OPENAI:
            processing_ms = int(latency_s * 1000) + 1
            headers = openai_wire.header_lines(self.serial, processing_ms=processing_ms, status=answer.status)
        else:
            headers = anthropic_wire.header_lines(self.serial, now_s=self.now_s, status=answer.status)
        if answer.headers:
            headers += _lines(answer.headers)
        if events is None:
            return Reply(dialect=self.dialect, status=answer.status, headers=headers, body=body, latency_s=latency_s)
        return Reply(
            dialect=self.dialect,
            status=answer.status,
            content_type=EVENT_STREAM,
            headers=headers,
            events=events,
            latency_s=latency_s,
            interval_s=self._interval_s(answer),
        )

    def error(self, answer: Answer, *, code: str | None = None, param: str | None = None) -> Reply:
        """The dialect's error envelope, with retry-after where the status asks for it."""
        wait_s = answer.retry_after_s
        if wait_s is None:
            wait_s = 1.0 if answer.status in _RETRY_LATER else 0.0
        if wait_s:
            lines = (("retry-after", str(int(-(-wait_s // 1)))), ("retry-after-ms", str(int(wait_s * 1000))))
            answer = replace(answer, headers=(*lines, *answer.headers))
        return self.reply(answer, body=self._envelope(answer.status, answer.message, code=code, param=param))

    def misrepresented(self, reply: Reply, fault: Fault | None) -> Reply:
        """`reply` as something that it is not, under the faults that do so."""
        if fault is Fault.HTML:
            return page(reply, status=200)
        if fault is Fault.HTTP_502_HTML:
            return page(reply, status=502)
        if fault is Fault.OK_WITH_ERROR:
            return self.reply(Answer(), body=self._envelope(500, None))
        return reply

    def replay(self, answer: Answer) -> Reply:
        """A scripted body under its own status and headers."""
        kind = dict(answer.headers).get("content-type", "application/json").encode()
        reply = Reply(
            dialect=self.dialect,
            status=answer.status,
            content_type=kind,
            headers=_lines((name, value) for name, value in answer.headers if name.lower() not in _FRAMING),
            latency_s=self.pace.latency_s if answer.latency_s is None else answer.latency_s,
            interval_s=self._interval_s(answer),
        )
        if isinstance(answer.body, tuple):
            return replace(reply, events=Events(opening=(), deltas=tuple(filter(None, answer.body)), closing=()))
        body = answer.body or b""
        if kind.startswith(b"text/event-stream"):
            return replace(reply, events=Events(opening=(), deltas=(body,) if body else (), closing=()))
        return replace(reply, body=body)

    def _interval_s(self, answer: Answer) -> float:
        rate = answer.tokens_per_second or self.pace.tokens_per_second
        return 1.0 / rate if rate else 0.0

    def _envelope(
        self, status: int, message: str | None, *, code: str | None = None, param: str | None = None
    ) -> bytes:
        if self.dialect is Dialect.OPENAI:
            return openai_wire.error_body(status, message, code=code, param=param)
        return anthropic_wire.error_body(status, message, serial=self.serial)


def _lines(headers: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)
