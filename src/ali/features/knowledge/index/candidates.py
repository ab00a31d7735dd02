"""The first stage of a search: which chunks are worth a closer look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

MOST_TERMS: Final = 256
"""Of one query; what comes after is not asked for."""
CANDIDATES: Final = 100
EXACT_POSTINGS: Final = 250_000
"""Up to so many postings of a query's terms, the candidates are exactly those that score highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The chunks that a query's terms found, the best first, and the statistics of what was searched."""

    found: tuple[tuple[UUID, Candidate], ...]
    """Each with its store."""
    statistics: Statistics
