"""How many files stores and batches have, how far these are, and how much room they take."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from ali.features.knowledge.models import StoreDocument, StoreFile

STATUSES = ("in_progress", "completed", "failed", "cancelled")


@dataclass(slots=True, kw_only=True)
class Sums:
    """Of one store. `files`: how many, by status. `usage_bytes`: chunks, index and vectors, each content once."""

    files: Counter[str] = field(default_factory=Counter)
    usage_bytes: int = 0


async def sums_of(session: AsyncSession, stores: Sequence[UUID]) -> Mapping[UUID, Sums]:
    """By store; one that holds nothing has zeros. Two statements."""
    sums: defaultdict[UUID, Sums] = defaultdict(Sums)
    for store_id, files in (await counts_of(session, StoreFile.vector_store_id, stores)).items():
        sums[store_id].files = files
    sizes = await session.execute(
        select(StoreDocument.vector_store_id, func.sum(StoreDocument.size_bytes))
        .where(StoreDocument.vector_store_id.in_(stores), StoreDocument.state == "ready")
        .group_by(StoreDocument.vector_store_id)
    )
    for store_id, size_bytes in sizes:
        sums[store_id].usage_bytes = int(size_bytes)
    return sums


async def counts_of(
    session: AsyncSession, owner: InstrumentedAttribute[Any], ids: Sequence[UUID]
) -> Mapping[UUID, Counter[str]]:
    """How many files have each status, by `owner`: the store, or the batch. One statement."""
    counts: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    rows = await session.execute(
        select(owner, StoreFile.status, func.count()).where(owner.in_(ids)).group_by(owner, StoreFile.status)
    )
    for owner_id, status, files in rows:
        counts[owner_id][status] = files
    return counts
