"""Vector stores: made, read, changed, deleted; each within one project, in the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record, record_deletion
from ali.features.conversations.lifecycle import Home
from ali.features.identity.paging import Page, Place, page_of
from ali.features.knowledge.models import VectorStore
from ali.features.knowledge.naming import store_name
from ali.features.knowledge.stores.errors import store_expired, store_not_found
from ali.kernel.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A vector store as its owner wants it. `expires_after_days`: how long after its last use; None: never."""

    name: str
    description: str | None
    metadata: Mapping[str, str]
    expires_after_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be another: None leaves it. `expires_after_days`: 0 is never."""

    name: str | None
    metadata: Mapping[str, str] | None
    expires_after_days: int | None


async def create(session: AsyncSession, wanted: Wanted, *, home: Home, actor: Actor) -> VectorStore:
    """A new store without files, on record."""
    now = datetime.now(UTC)
    store = VectorStore(
        id=uuid7(),
        organization_id=home.organization_id,
        project_id=home.project_id,
        name=wanted.name.encode(),
        description=None if wanted.description is None else wanted.description.encode(),
        tags=dict(wanted.metadata),
        state="ready",
        expires_after_days=wanted.expires_after_days,
        created_at=now,
        last_active_at=now,
        expires_at=_expiry(now, wanted.expires_after_days),
    )
    session.add(store)
    await session.flush()
    await record(session, _event("vector_store.created", store), actor=actor)
    return store


async def listed(session: AsyncSession, *, home: Home, place: Place) -> Page[VectorStore]:
    """The stores of a project, expired ones too."""
    there = (VectorStore.project_id == home.project_id) & (VectorStore.state != "gone")
    return await page_of(session, select(VectorStore).where(there), key=VectorStore.id, place=place)


async def found(
    session: AsyncSession,
    store_id: UUID | None,
    *,
    home: Home,
    for_update: bool = False,
    param: str = "vector_store_id",
) -> VectorStore:
    """One store. One statement. Raises `StoreGone`; None is an identifier of nothing."""
    statement = select(VectorStore).where(
        VectorStore.project_id == home.project_id, VectorStore.state != "gone", VectorStore.id == store_id
    )
    store = await session.scalar(statement.with_for_update(key_share=True) if for_update else statement)
    if store is None:
        raise store_not_found(param)
    return store


async def usable(session: AsyncSession, store_id: UUID | None, *, home: Home) -> VectorStore:
    """One store to be searched, or added to. Raises `StoreGone`, `VectorStoreExpired`."""
    store = await found(session, store_id, home=home)
    if is_expired(store):
        raise store_expired()
    return store


async def change(
    session: AsyncSession, store_id: UUID | None, wanted: Change, *, home: Home, actor: Actor
) -> VectorStore:
    """Change a store, on record. Raises `StoreGone`; `VectorStoreExpired` where it shall live longer."""
    store = await found(session, store_id, home=home, for_update=True)
    if wanted.name is not None:
        store.name = wanted.name.encode()
    if wanted.metadata is not None:
        store.tags = dict(wanted.metadata)
    if wanted.expires_after_days is not None:
        if is_expired(store):
            raise store_expired()
        store.expires_after_days = wanted.expires_after_days or None
        store.expires_at = _expiry(store.last_active_at, store.expires_after_days)
    await session.flush()
    await record(session, _event("vector_store.updated", store), actor=actor)
    return store


async def remove(session: AsyncSession, store_id: UUID | None, *, home: Home, actor: Actor) -> None:
    """Delete a store, on record: nobody finds anything in it any more, and what it holds goes within moments.

    Its files stay. Raises `StoreGone`.
    """
    store = await found(session, store_id, home=home, for_update=True)
    store.state = "gone"
    await session.flush()
    tenant = {"organization_id": home.organization_id, "project_id": home.project_id}
    await record_deletion(session, "vector_store", store_name(store.id), **tenant, actor=actor)


def is_expired(store: VectorStore) -> bool:
    """Whether its time is over, cleared away or not."""
    return store.state != "ready" or (store.expires_at is not None and store.expires_at <= datetime.now(UTC))


def _expiry(last_active_at: datetime, days: int | None) -> datetime | None:
    return None if days is None else last_active_at + timedelta(days=days)


def _event(action: str, store: VectorStore) -> AuditEvent:
    return AuditEvent(
        action=action,
        organization_id=store.organization_id,
        project_id=store.project_id,
        target_kind="vector_store",
        target_id=store_name(store.id),
    )
