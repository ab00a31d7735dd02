"""One batch, from where it stands to its end, or to where another process takes it on.

    validating ─► in_progress ─► finalizing ─► completed
         │             │  └─ its window ends ─► expired
         │             └─ cancelling ─────────► cancelled
         └─ its input is no batch, or who handed it in may nothing any more ─► failed

Each line that has run is written down before the next: a crash costs the lines that were under way, which run again.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from ali.features.batches.book import TAKEN_OVER, Book, End, Taken
from ali.features.batches.call import Answer, Route, ask
from ali.features.batches.inspection import Inspector
from ali.features.batches.lane import Lane, pause
from ali.features.batches.lines import Asked, LineFault, read_line, read_message
from ali.features.batches.naming import MOST_LINES, MOST_MESSAGES, batch_name
from ali.features.batches.output import Output, line_texts, within_reach
from ali.features.batches.results import CANCELLED, EXPIRED, NotRun, answered
from ali.features.files.store import FileStore
from ali.features.identity import Principal
from ali.features.keys.authenticate import Authenticator
from ali.kernel import log
from ali.kernel.errors import AuthenticationFailed
from ali.kernel.objects import ObjectMissing
from ali.kernel.telemetry import Metrics

_WATCH_S: Final = 1.0
_MOST_TRIES: Final = 5
_LONGEST_BACKOFF_S: Final = 30.0
_BESIDE_BODY_BYTES: Final = 64 * 1024
_MODEL: Final = re.compile(r"[ -~]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What runs of batches share. `at_once`: how many lines this process runs at the same time."""

    book: Book
    files: FileStore
    authenticator: Authenticator
    route: Route
    metrics: Metrics
    at_once: asyncio.Semaphore
    max_body_bytes: int


@dataclass(slots=True)
class Line:
    """A line that is to run."""

    position: int
    text: bytes
    tries: int = 0


class BatchRun:
    """Runs `batch`. `seats`: how many lines of its project may run at once; shared by the project's batches."""

    def __init__(self, batch: Taken, means: Means, *, seats: asyncio.Semaphore, workers: int, lane: Lane) -> None:
        self._batch = batch
        self._means = means
        self._seats = seats
        self._workers = workers
        self._lane = lane
        self._stop = asyncio.Event()
        self._lost = False
        """It is another process's, or shall be: nothing more is to be written."""
        self._failure: AuthenticationFailed | None = None
        self._waiting: deque[Line] = deque()
        self._after = -1
        self._fetching = asyncio.Lock()

    @property
    def project_id(self) -> UUID:
        """Whose it is."""
        return self._batch.project_id

    def hand_over(self) -> None:
        """Run no more lines; what is under way may end. The batch is left to be taken."""
        self._lost = True
        self._stop.set()

    async def run(self) -> bool:
        """To the end: True. False where it was handed over or taken over. Raises what may pass, or is a bug."""
        batch, book = self._batch, self._means.book
        status = batch.status
        if batch.in_progress_at is None and (status == "validating" or batch.dialect == "anthropic"):
            begun = await self._inspect()
            if begun is None:
                return True
            status = begun
        if status == "in_progress":
            await self._run_lines()
        if self._lost or status == TAKEN_OVER:
            return False
        status = await book.begin_finalizing(batch.id)
        return status != TAKEN_OVER and await self._finish(status)

    def _read(self, text: bytes) -> Asked:
        if self._batch.dialect == "anthropic":
            return read_message(text)
        return read_line(text, endpoint=self._batch.endpoint)

    async def _inspect(self) -> str | None:
        """Read the whole input: its status then; None where it has failed for what is in it."""
        batch, book = self._batch, self._means.book
        inspector = Inspector(
            self._read,
            most_lines=MOST_MESSAGES if batch.dialect == "anthropic" else MOST_LINES,
            most_line_bytes=self._means.max_body_bytes + _BESIDE_BODY_BYTES,
            one_model=batch.dialect == "openai",
        )
        faults = inspector.found.faults
        try:
            async for group in inspector.groups(await self._means.files.objects.open(batch.input_object)):
                await book.add_lines(batch.id, group)
        except ObjectMissing:
            faults.append(LineFault("The input file cannot be read any more.", code="input_file_missing"))
        if not faults:
            model = inspector.found.model
            shown = model if model is not None and _MODEL.fullmatch(model) else None  # another is told by each line
            return await book.begin(batch.id, total=inspector.found.total, model=shown)
        errors = orjson.dumps([fault.shown() for fault in faults])
        if await book.end(batch.id, End(status="failed", errors=errors)):
            self._told("failed")
        return None

    async def _run_lines(self) -> None:
        """Run what has not run, until all has, the window ends, or somebody says so."""
        async with asyncio.TaskGroup() as around:
            watching = around.create_task(self._watch())
            async with asyncio.TaskGroup() as working:
                for _ in range(self._workers):
                    working.create_task(self._work())
            watching.cancel()

    async def _watch(self) -> None:
        while not self._stop.is_set():
            if self._expired:
                self._stop.set()
                return
            self._heed(await self._means.book.standing(self._batch.id))
            left_s = (self._batch.expires_at - datetime.now(UTC)).total_seconds()
            await pause(max(min(_WATCH_S, left_s), 0.01), self._stop)

    @property
    def _expired(self) -> bool:
        return datetime.now(UTC) >= self._batch.expires_at

    def _heed(self, status: str) -> None:
        if status == TAKEN_OVER:
            self._lost = True
        if status != "in_progress":
            self._stop.set()

    async def _work(self) -> None:
        while not self._stop.is_set() and (line := await self._next()) is not None:
            await self._carry_out(line)

    async def _next(self) -> Line | None:
        async with self._fetching:
            if not self._waiting:
                spots = await self._means.book.next_lines(self._batch.id, after=self._after)
                if spots:
                    spots = list(within_reach(spots))
                    texts = line_texts(self._means.files.objects, self._batch.input_object, spots)
                    self._waiting.extend([Line(spot.position, await anext(texts)) for spot in spots])
                    self._after = spots[-1].position
            return self._waiting.popleft() if self._waiting else None

    async def _carry_out(self, line: Line) -> None:
        """Run a line until it has an answer that stays, and write that down."""
        asked = self._read(line.text)
        while not self._stop.is_set():
            await self._lane.wait(self._stop)
            answer = await self._answer(asked)
            if answer is None:
                return
            self._lane.heard(answer.status, answer.headers)
            if answer.waits:
                self._count("waited")
            elif answer.may_pass_again and line.tries < _MOST_TRIES:
                self._count("tried_again")
                line.tries += 1
                await pause(min(2.0**line.tries, _LONGEST_BACKOFF_S), self._stop)
            else:
                await self._settle(line, asked, answer)
                return

    async def _answer(self, asked: Asked) -> Answer | None:
        """What the service answers; None where nothing shall be asked any more."""
        async with self._seats, self._means.at_once:
            if self._stop.is_set():
                return None
            principal = await self._principal()
            if principal is None:
                return None
            return await ask(
                self._means.route, self._batch.endpoint, asked.body, headers=self._headers(), principal=principal
            )

    async def _principal(self) -> Principal | None:
        """Who handed the batch in, as they are now; None, and the end of the batch, where they may nothing."""
        batch = self._batch
        try:
            return await self._means.authenticator.again(
                key_id=batch.api_key_id, user_id=batch.user_id, project=batch.project_id
            )
        except AuthenticationFailed as error:
            self._failure = error
            self._stop.set()
            return None

    def _headers(self) -> dict[bytes, bytes]:
        headers = {b"anthropic-version": self._batch.anthropic_version, b"anthropic-beta": self._batch.anthropic_beta}
        return {name: value.encode("latin-1") for name, value in headers.items() if value is not None}

    async def _settle(self, line: Line, asked: Asked, answer: Answer) -> None:
        result = answered(asked.custom_id, answer, dialect=self._batch.dialect)
        status = await self._means.book.settle(
            self._batch.id, line=line.position, succeeded=answer.succeeded, result=result
        )
        if status != TAKEN_OVER:
            self._count("completed" if answer.succeeded else "failed")
        self._heed(status)

    async def _finish(self, status: str) -> bool:
        """Write the output and end the batch. False where another process holds it by then."""
        batch, failure = self._batch, self._failure
        end, why = "completed", EXPIRED
        errors: bytes | None = None
        if failure is not None:
            message = (
                "Whoever handed the batch in cannot be recognised any more: their key was revoked or has expired, "
            )
            message += "or they have left. Hand it in anew; what was done is in its output."
            why = NotRun(kind="errored", code="creator_gone", message=message)
            fault = {"code": "creator_gone", "message": message, "param": None, "line": None}
            end, errors = "failed", orjson.dumps([fault])
        elif status == "cancelling":
            end, why = "cancelled", CANCELLED
        elif await self._means.book.next_lines(batch.id, after=-1):
            end = "expired"
        output = Output(self._means.book, self._means.files, batch, read=self._read)
        try:
            written, refused = await output.write(why)
            ended = await self._means.book.end(
                batch.id, End(status=end, output=written, refused=refused, errors=errors)
            )
        except BaseException:
            await asyncio.shield(output.abandon())
            raise
        if not ended:
            await output.abandon()
            return False
        self._told(end)
        return True

    def _count(self, outcome: str) -> None:
        self._means.metrics.batch_lines.labels(self._batch.dialect, outcome).inc()

    def _told(self, status: str) -> None:
        self._means.metrics.batches.labels(self._batch.dialect, status).inc()
        name = batch_name(self._batch.id, dialect=self._batch.dialect)
        log.info("batch.ended", batch=name, status=status, project=self._batch.project_id.hex)
