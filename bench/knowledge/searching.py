"""Searches through the product's own `Searcher`, one after the other, and what the bound on their work loses."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import Final

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from ali.features.knowledge.analysis import TermGroup, analyse_query
from ali.features.knowledge.filters import Filter, read_filter
from ali.features.knowledge.index import candidates_statement, read_candidates
from ali.features.knowledge.retrieval import Searcher
from ali.features.knowledge.retrieval.scope import scope
from ali.kernel.db import Pool, make_pool
from ali.kernel.telemetry import Metrics
from bench.knowledge.corpus import Corpus
from bench.knowledge.loading import HMAC_SECRET, Store, enter

WARM_UP: Final = 40
_EVERYTHING: Final = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Of searches of one kind, milliseconds; `parts` are means of what a search is made of."""

    name: str
    searches: int
    p50_ms: float
    p95_ms: float
    most_ms: float
    found: float
    """Passages a search, on average."""
    parts: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What is lost where a question's terms occur too often for all to be added up."""

    questions: int
    bounded: int
    """Questions to which that happened."""
    of_ten: float
    """Of the ten best candidates of those questions, the share that was found all the same."""
    of_hundred: float


def kinds(documents: int) -> dict[str, Filter | None]:
    """What searches are restricted to, by name."""
    return {
        "all files": None,
        "a tenth of the files": read_filter({"type": "eq", "key": "tenth", "value": 3}),
        "one file": read_filter({"type": "eq", "key": "number", "value": documents // 2}),
    }


async def measure(
    service_dsn: str, store: Store, corpus: Corpus, *, documents: int, questions: int
) -> tuple[list[Times], Loss]:
    """Ask the same questions of each kind of search."""
    asked = list(corpus.questions(questions + WARM_UP, documents=documents))
    pool = make_pool(service_dsn, size=1)
    await pool.open(wait=True)
    try:
        times = [await _times(name, pool, store, asked, filters=filters) for name, filters in kinds(documents).items()]
        return times, await _loss(pool, store, asked)
    finally:
        await pool.close()


async def _times(name: str, pool: Pool, store: Store, asked: Sequence[str], *, filters: Filter | None) -> Times:
    metrics = Metrics()
    searcher = Searcher(pool, hmac_secret=HMAC_SECRET, metrics=metrics)
    taken, found = [], 0
    for place, question in enumerate(asked):
        if place == WARM_UP:
            metrics.searches.clear()
            searcher = Searcher(pool, hmac_secret=HMAC_SECRET, metrics=metrics)
        began = perf_counter()
        results = await searcher.search(
            organization_id=store.organization_id,
            project_id=store.project_id,
            vector_store_ids=[store.id],
            queries=[question],
            filters=filters,
        )
        taken.append((perf_counter() - began) * 1000)
        found += len(results)
    taken = taken[WARM_UP:]
    sums = {
        sample.labels["part"]: sample.value
        for metric in metrics.searches.collect()
        for sample in metric.samples
        if sample.name.endswith("_sum")
    }
    return Times(
        name=name,
        searches=len(taken),
        p50_ms=median(taken),
        p95_ms=quantiles(taken, n=20)[-1],
        most_ms=max(taken),
        found=found / len(asked),
        parts={part: seconds * 1000 / len(taken) for part, seconds in sums.items()},
    )


async def _loss(pool: Pool, store: Store, asked: Sequence[str]) -> Loss:
    bounded, of_ten, of_hundred = 0, 0.0, 0.0
    async with pool.connection() as connection, connection.transaction():
        await enter(connection, store)
        for question in asked:
            groups = analyse_query(question, key=store.key).groups
            exact = await _candidates(connection, store, groups, exact_postings=_EVERYTHING)
            found = await _candidates(connection, store, groups)
            if exact != found:
                bounded += 1
                of_ten += len({*exact[:10]} & {*found[:10]}) / max(1, len(exact[:10]))
                of_hundred += len({*exact} & {*found}) / len(exact)
    return Loss(
        questions=len(asked),
        bounded=bounded,
        of_ten=of_ten / bounded if bounded else 1.0,
        of_hundred=of_hundred / bounded if bounded else 1.0,
    )


async def _candidates(
    connection: AsyncConnection[TupleRow], store: Store, groups: Sequence[TermGroup], **bounds: int
) -> list[int]:
    scoped, values = scope([store.id], None)
    statement, more = candidates_statement([groups], **bounds)
    cursor = await connection.execute(sql.SQL("with {} {}").format(scoped, statement), [*values, *more])
    return [number for _, number in read_candidates(await cursor.fetchall(), [groups])[0].chunks]
