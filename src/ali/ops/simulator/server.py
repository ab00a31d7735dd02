"""The simulator as a server: its socket, its script, and the requests that it remembers."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from ali.ops.simulator.answers import Answer, Pace
from ali.ops.simulator.connection import Connection, Counters, Service
from ali.ops.simulator.fault_plans import FaultLimits
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.provider import Responder, SimulatedProvider
from ali.ops.simulator.received import ReceivedRequest
from ali.ops.simulator.wheel import TimerWheel
from ali.providers.contract import Dialect

LOOPBACK = "127.0.0.1"
_BACKLOG = 4096
_POLL_S = 0.002


class Simulator:
    """OpenAI's and Anthropic's APIs on a loopback port, in the running event loop.

        async with Simulator() as simulator:
            simulator.answer("Olá")
            simulator.answer(Fault.STALL_MID_STREAM, dialect=Dialect.OPENAI)

    `answer` queues one answer; whatever nothing is queued for gets `default`: an `Answer`, or a function of the
    request. Both can be changed at any time, as can `pace` and `api_key` (the only key taken; None: any, but not none).
    `port` 0 picks a free one. `models` are names taken beside the providers' own families (`gpt-…`, `claude-…`).
    `requests` holds the newest requests, at most `remembered` of them and `remembered_bytes` of their bodies.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str | None = None,
        default: Answer | Responder | None = None,
        pace: Pace | None = None,
        models: Collection[str] = (),
        limits: FaultLimits | None = None,
        remembered: int = 1000,
        remembered_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._asked_port = port
        self._limits = limits or FaultLimits()
        self._provider = SimulatedProvider(
            api_key=api_key,
            default=default or Answer(),
            pace=pace or Pace(),
            models=models,
            limits=self._limits,
        )
        self._remembered = remembered
        self._remembered_bytes = remembered_bytes
        self._bytes = 0
        self._server: asyncio.Server | None = None
        self._wheel: TimerWheel | None = None
        self._connections: set[Connection] = set()
        self.requests: deque[ReceivedRequest] = deque()
        self.counters = Counters()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._wheel = TimerWheel(loop)
        service = Service(
            loop=loop,
            wheel=self._wheel,
            counters=self.counters,
            connections=self._connections,
            answer=self._provider.steps,
            closes_on_accept=self._provider.closes_on_accept,
            remember=self._remember,
            fault_limit_s=self._limits.fault_limit_s,
        )
        self._server = await loop.create_server(
            lambda: Connection(service), LOOPBACK, self._asked_port, backlog=_BACKLOG
        )

    async def close(self) -> None:
        """Stop listening and cut every connection; idempotent."""
        if self._server is None or self._wheel is None:
            return
        server, self._server = self._server, None
        server.close()
        self._wheel.close()
        for connection in tuple(self._connections):
            connection.abort()
        await self.until(lambda: not self._connections)
        await server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # Where it is.

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None:
            raise RuntimeError("The simulator is not started: use `async with Simulator() as simulator`.")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return self.url + "/v1"

    @property
    def anthropic_base_url(self) -> str:
        """What ANTHROPIC_BASE_URL is set to."""
        return self.url

    # What it answers.

    def answer(self, answer: Answer | Fault | str, *, dialect: Dialect | None = None, model: str | None = None) -> None:
        """Queue the answer to the next POST (of that dialect, for that model): a text and a fault are short for one."""
        if isinstance(answer, Fault):  # before str, which a Fault is too
            answer = Answer(fault=answer)
        elif isinstance(answer, str):
            answer = Answer(text=answer)
        self._provider.queue(answer, dialect=dialect, model=model)

    def script(self, *answers: Answer | Fault | str) -> None:
        """Queue several answers, in order."""
        for answer in answers:
            self.answer(answer)

    @property
    def queued(self) -> int:
        """How many queued answers were not asked for yet."""
        return self._provider.queued

    @property
    def default(self) -> Answer | Responder:
        """What answers when nothing is queued."""
        return self._provider.default

    @default.setter
    def default(self, default: Answer | Responder) -> None:
        self._provider.default = default

    @property
    def pace(self) -> Pace:
        """How fast an answer is that says nothing of it."""
        return self._provider.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._provider.pace = pace

    @property
    def api_key(self) -> str | None:
        """The only key taken; None: any."""
        return self._provider.api_key

    @api_key.setter
    def api_key(self, key: str | None) -> None:
        self._provider.api_key = key

    # What it saw.

    @property
    def last(self) -> ReceivedRequest:
        """The newest request. Raises `IndexError` where there was none."""
        return self.requests[-1]

    def reset(self) -> None:
        """Forget queued answers and remembered requests. Counters go on."""
        self._provider.forget_script()
        self.requests.clear()
        self._bytes = 0

    async def until(self, condition: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        """Wait until `condition` holds, looking every 2 ms. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the condition is the caller's, no event tells of it
                await asyncio.sleep(_POLL_S)

    def _remember(self, request: ReceivedRequest) -> None:
        self.requests.append(request)
        self._bytes += len(request.body)
        while self.requests and (len(self.requests) > self._remembered or self._bytes > self._remembered_bytes):
            self._bytes -= len(self.requests.popleft().body)
