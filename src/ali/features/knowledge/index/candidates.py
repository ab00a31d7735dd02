"""The first stage of a search: which chunks are worth a closer look."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import sql

from ali.features.knowledge.analysis import TermGroup
from ali.features.knowledge.ranking import Candidate, Statistics

CANDIDATES: Final = 100
MOST_TERMS: Final = 256
"""Of one query; what comes after is not asked for."""
EXACT_POSTINGS: Final = 250_000
"""Up to so many postings of a query's terms, the candidates are exactly those that score highest."""

_CANDIDATES: Final = sql.SQL(
    "select %s::integer as query, c.* from scope s cross join ali.search_candidates("
    "s.stores, s.allowed, s.barred, %s::bigint[], %s::integer[], %s::double precision[], %s, %s) c"
)

_NOTHING: Final = sql.SQL("select from scope where false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The chunks that a query's terms found, the best first, and what was searched.

    Numbers of chunks are each store's own, so a candidate's `number` is its place here; `chunks` has the store and the
    number there.
    """

    found: tuple[Candidate, ...]
    chunks: tuple[tuple[UUID, int], ...]
    statistics: Statistics


def candidates_statement(
    queries: Sequence[Sequence[TermGroup]], *, most: int = CANDIDATES, exact_postings: int = EXACT_POSTINGS
) -> tuple[sql.Composed, list[Any]]:
    """A statement that finds candidates of each query, and the values of its placeholders.

    It reads `scope` (`retrieval.scope`), which must stand before it in a `with`. Several queries are one statement; one
    without groups finds nothing.
    """
    parts, values = [], list[Any]()
    for place, groups in enumerate(queries):
        if not groups:
            continue
        terms = [(term, number) for number, group in enumerate(groups, start=1) for term in group.terms][:MOST_TERMS]
        parts.append(_CANDIDATES)
        values += [
            place,
            [term for term, _ in terms],
            [number for _, number in terms],
            [group.weight for group in groups],
            most,
            exact_postings,
        ]
    return sql.Composed([sql.SQL(" union all ").join(parts or [_NOTHING])]), values


def read_candidates(rows: Iterable[Sequence[Any]], queries: Sequence[Sequence[TermGroup]]) -> list[Candidates]:
    """What the statement gave, by query. A query without any row found nothing, and has empty statistics."""
    found: list[list[Candidate]] = [[] for _ in queries]
    chunks: list[list[tuple[UUID, int]]] = [[] for _ in queries]
    statistics = [Statistics(chunks=0, words=0, frequencies=(0,) * len(groups)) for groups in queries]
    for query, store, number, bm25, words, signature, document, all_chunks, all_words, frequencies in rows:
        if not found[query]:
            statistics[query] = Statistics(chunks=all_chunks, words=all_words, frequencies=tuple(frequencies))
        found[query].append(
            Candidate(number=len(found[query]), bm25=bm25, words=words, signature=signature, document=document)
        )
        chunks[query].append((store, number))
    return [
        Candidates(found=tuple(of_query), chunks=tuple(places), statistics=known)
        for of_query, places, known in zip(found, chunks, statistics, strict=True)
    ]
