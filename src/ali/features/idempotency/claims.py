"""Claims in PostgreSQL: who executes a request, and the answer once it is there. Two round trips a keyed request."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from ali.features.idempotency import queries
from ali.features.idempotency.request import Asked
from ali.features.idempotency.sealing import Answer, AnswerUnreadable, Identity, Sealer
from ali.features.metering.ledger import DEAD_AFTER_S
from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.errors import Unavailable
from ali.kernel.ids import uuid7

_DEADLINE_S: Final = 5.0
_FORGET_EVERY_S: Final = 10.0
_FORGET_AT_MOST: Final = 500
_MOST_UNWRITTEN: Final = 10_000

Outcome = Literal["claimed", "taken_over", "running", "reused", "done"]


class IdempotencyUnavailable(Unavailable):
    """503: the database does not answer, so one execution cannot be promised."""

    code = "idempotency_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One attempt at one request: its row, and the attempt's own identifier."""

    identity: Identity
    claim_id: UUID
    key: bytes
    """The idempotency key, which opens the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How a request stands. `answer`, only when it is done: None where it could not be kept, or be read any more."""

    outcome: Outcome
    answer: Answer | None = None


class Claims:
    """The requests of all processes, as the database has them. `keep_house` must be called now and then.

    `instance_id`: this process's, whose heartbeat the ledger writes; a claim of a process that has shown none for
    `DEAD_AFTER_S` is given to the next who asks.
    """

    def __init__(self, pool: Pool, sealer: Sealer, *, instance_id: UUID, ttl_s: float, max_answer_bytes: int) -> None:
        self._pool = pool
        self._sealer = sealer
        self._instance_id = instance_id
        self._ttl_s = ttl_s
        self.max_answer_bytes = max_answer_bytes
        self._unwritten: deque[tuple[Claim, int | None]] = deque(maxlen=_MOST_UNWRITTEN)
        self._forget_at_s = 0.0
        self._forget_batch = _FORGET_AT_MOST

    def claim_for(self, asked: Asked, *, organization_id: UUID, subject_id: UUID) -> Claim:
        """A claim to be made. No I/O."""
        identity = self._sealer.identity(asked, organization_id=organization_id, subject_id=subject_id)
        return Claim(identity=identity, claim_id=uuid7(), key=asked.key)

    async def make(self, claim: Claim) -> Found:
        """Claim the request, or learn how it stands: one round trip. Raises `IdempotencyUnavailable`."""
        known = False
        try:
            row = await self._row(
                queries.CLAIM,
                *claim.identity.row,
                claim.identity.fingerprint,
                claim.claim_id,
                self._instance_id,
                self._ttl_s,
                DEAD_AFTER_S,
            )
            known = True
        except (psycopg.Error, TimeoutError) as error:
            raise IdempotencyUnavailable(
                "The service's database does not answer, so it cannot be made sure that this request is carried out "
                "only once; nothing was done. Try again shortly."
            ) from error
        finally:
            if not known:  # it may have been claimed all the same
                self._unwritten.append((claim, None))
        outcome, status, sealed = row
        if outcome != "done" or sealed is None:
            return Found(outcome=outcome)
        try:
            answer = self._sealer.open(sealed, status=status, identity=claim.identity, key=claim.key)
        except AnswerUnreadable:
            log.warning("idempotency.answer_unreadable", organization=claim.identity.organization_id.hex)
            return Found(outcome="done")
        return Found(outcome="done", answer=answer)

    async def settle(self, claim: Claim, *, status: int, answer: Answer | None) -> bool:
        """Write that the request is done, with its answer where it may be kept, and wait for the commit.

        False where the answer will not be replayed: it is None, the claim was taken over, or the database does not
        answer. In the last case it is written later that there was one, so that nothing is executed twice.
        """
        sealed = None if answer is None else self._sealer.seal(answer, identity=claim.identity, key=claim.key)
        settled = await self._write(claim, status=status, sealed=sealed)
        if settled is False:
            log.warning("idempotency.claim_lost", organization=claim.identity.organization_id.hex)
        return settled is True and answer is not None

    async def release(self, claim: Claim) -> None:
        """Let the next who asks execute. Where the database does not answer, later."""
        await self._write(claim, status=None)

    async def _write(self, claim: Claim, *, status: int | None, sealed: bytes | None = None) -> bool | None:
        """Settle, or without a `status` release. False: no longer ours. None: the database does not answer; queued."""
        written: bool | None = None
        try:
            row = await self._row(*_ending(claim, status=status, sealed=sealed))
            written = bool(row[0])
        except (psycopg.Error, TimeoutError) as error:
            log.warning("idempotency.write_failed", error_type=type(error).__name__)
        finally:
            if written is None:  # a cancelled wait as well
                self._unwritten.append((claim, status))
        return written

    async def _row(self, statement: str, *parameters: object) -> TupleRow:
        async with asyncio.timeout(_DEADLINE_S), self._pool.connection() as connection:
            cursor = await connection.execute(statement, parameters, binary=True)
            row = await cursor.fetchone()
        if row is None:
            raise psycopg.InternalError("a function that gives one row gave none")
        return row

    async def keep_house(self) -> None:
        """Write what could not be written before, and delete expired rows, at most so many: a chore of the epoch's
        watch. Raises `psycopg.Error`; the rest is done the next time.
        """
        while self._unwritten:
            claim, status = self._unwritten[0]
            await self._row(*_ending(claim, status=status, sealed=None))
            self._unwritten.popleft()
        now_s = time.monotonic()
        if now_s < self._forget_at_s:
            return
        batch = self._forget_batch
        self._forget_batch = max(1, batch // 2)  # rows may be large: where this fails, fewer the next time
        row = await self._row(queries.FORGET, batch)
        self._forget_batch = min(batch * 2, _FORGET_AT_MOST)
        if row[0] < batch:
            self._forget_at_s = now_s + _FORGET_EVERY_S


def _ending(claim: Claim, *, status: int | None, sealed: bytes | None) -> tuple[str, *tuple[object, ...]]:
    if status is None:
        return (queries.RELEASE, *claim.identity.row, claim.claim_id)
    return (queries.SETTLE, *claim.identity.row, claim.claim_id, status, sealed)
