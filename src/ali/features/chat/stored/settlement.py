"""The end of a request with `store: true`: its completion and its usage, committed together before the last byte."""

import asyncio
from typing import Final
from uuid import UUID

import orjson
import psycopg

from ali.features.chat.stored import queries
from ali.features.chat.stored.completion import KeptCompletion
from ali.features.metering import Ledger, OpenRecord
from ali.kernel import log
from ali.kernel.db import Pool
from ali.kernel.errors import Unavailable

_DEADLINE_S: Final = 5.0


class CompletionNotKept(Unavailable):
    """503: the completion cannot be kept as `store` asks, because the database does not answer; it is withheld."""

    code = "completion_not_kept"


class CompletionKeeper:
    """Settles requests whose completion is to be kept, in place of the ledger's batches."""

    def __init__(self, pool: Pool, ledger: Ledger, *, instance_id: UUID) -> None:
        self._pool = pool
        self._ledger = ledger
        self._instance_id = instance_id

    async def settle(self, record: OpenRecord, completion: KeptCompletion) -> None:
        """Commit a finished record and its completion: both or neither, in one round trip.

        A completion of the same identifier in the project gives way. Raises `CompletionNotKept` after `_DEADLINE_S`;
        the record is then left to the ledger, which writes it when it can.
        """
        asked = completion.asked
        try:
            async with asyncio.timeout(_DEADLINE_S), self._pool.connection() as connection:
                await connection.execute(
                    queries.SETTLE,
                    (
                        orjson.dumps([record.row(self._instance_id)]).decode(),
                        completion.id,
                        record.organization_id,
                        record.project_id,
                        completion.public_id,
                        asked.model,
                        completion.answering_model,
                        orjson.dumps(asked.metadata).decode(),
                        asked.messages,
                        completion.answer,
                    ),
                )
        except (psycopg.Error, TimeoutError) as error:
            log.warning("completion.not_kept", error_type=type(error).__name__)
            self._ledger.settle_soon(record)
            raise CompletionNotKept(
                "The answer is there, but it could not be stored, because the database does not answer; so it is "
                "withheld. Try again shortly, or send the request without `store`."
            ) from error
