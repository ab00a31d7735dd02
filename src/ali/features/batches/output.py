"""The output of a batch that has ended: its settled lines, and why the others were not run, written as files."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final
from uuid import UUID

from ali.features.batches.book import Book, Spot, Taken
from ali.features.batches.lines import Asked
from ali.features.batches.naming import MESSAGE_RESULTS, batch_name
from ali.features.batches.results import NotRun, not_run
from ali.features.files.draft import Draft
from ali.features.files.naming import BATCH_OUTPUT
from ali.features.files.store import FileStore
from ali.kernel.objects import Objects

_PAGE_LINES: Final = 20
_MOST_READ_BYTES: Final = 4 * 1024 * 1024


def within_reach(spots: Sequence[Spot]) -> Sequence[Spot]:
    """The first of `spots`, as many as are read in one go."""
    last = 0
    while last + 1 < len(spots) and _span(spots[0], spots[last + 1]) <= _MOST_READ_BYTES:
        last += 1
    return spots[: last + 1]


async def line_texts(objects: Objects, name: str, spots: Sequence[Spot]) -> AsyncIterator[bytes]:
    """The lines at `spots`, in their order; no more of them in memory than are within reach."""
    while spots:
        reached = within_reach(spots)
        start = reached[0].start
        read = await objects.read(name, start=start, size=_span(reached[0], reached[-1]))
        for spot in reached:
            yield read[spot.start - start : spot.start - start + spot.size]
        spots = spots[len(reached) :]


def _span(first: Spot, last: Spot) -> int:
    return last.start + last.size - first.start


class Output:
    """Writes what came of `batch`. `read`: what reads one of its lines."""

    def __init__(self, book: Book, files: FileStore, batch: Taken, *, read: Callable[[bytes], Asked]) -> None:
        self._book = book
        self._files = files
        self._batch = batch
        self._read = read
        self._drafts: list[Draft] = []

    async def write(self, why: NotRun) -> tuple[UUID | None, UUID | None]:
        """The files of output and of errors, not to be seen before the batch ends; None for one of no line."""
        if self._batch.dialect == "anthropic":
            return await self._file(("completed", "failed", None), why=why, kind="results"), None
        return (
            await self._file(("completed",), why=why, kind="output"),
            await self._file(("failed", None), why=why, kind="error"),
        )

    async def abandon(self) -> None:
        """Leave nothing of it: the batch did not end."""
        for draft in self._drafts:
            await self._files.abandon(draft)

    async def _file(self, outcomes: tuple[str | None, ...], *, why: NotRun, kind: str) -> UUID | None:
        batch = self._batch
        draft = await self._files.begin(
            organization_id=batch.organization_id,
            project_id=batch.project_id,
            purpose=MESSAGE_RESULTS if batch.dialect == "anthropic" else BATCH_OUTPUT,
            name=f"{batch_name(batch.id, dialect=batch.dialect)}_{kind}.jsonl",
            ttl_s=batch.output_ttl_s,
        )
        self._drafts.append(draft)
        written = await self._files.write(draft, self._lines(outcomes, why=why))
        if not written.size_bytes:
            await self._files.abandon(draft)
            return None
        await self._files.measure(draft, written)
        return draft.id

    async def _lines(self, outcomes: tuple[str | None, ...], *, why: NotRun) -> AsyncIterator[bytes]:
        after = -1
        while page := await self._book.results(self._batch.id, after=after, at_most=_PAGE_LINES):
            after = page[-1].spot.position
            wanted = [line for line in page if line.outcome in outcomes]
            unrun = [line.spot for line in wanted if line.result is None]
            texts = line_texts(self._files.objects, self._batch.input_object, unrun)
            for line in wanted:
                if line.result is not None:
                    yield line.result
                else:
                    yield not_run(self._read(await anext(texts)).custom_id, why, dialect=self._batch.dialect)
