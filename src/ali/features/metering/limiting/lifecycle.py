"""Setting, changing, deleting and reading rate limits, in the caller's transaction. Changes move the access epoch."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Select, delete, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity.paging import Page, Place, page_of
from ali.features.keys.models import ApiKey
from ali.features.keys.queries import ADVANCE_EPOCH
from ali.features.metering.limiting.drafts import FIGURES, LimitChange, LimitDraft, limit_name
from ali.features.metering.models import RateLimit
from ali.features.metering.scopes import Reach, place, read_scope, scope_name, within
from ali.kernel.errors import Conflict, InvalidRequest, NotFound
from ali.kernel.ids import uuid7

MOST_LIMITS: Final = 10_000
"""Of one organization: every process keeps all of them in memory."""

_UNIQUE: Final = "rate_limit_organization_id_scope_scope_id_model_key"


class LimitNotFound(NotFound):
    """404: no such limit, or none that this caller may see."""

    code = "limit_not_found"


class LimitScopeNotFound(NotFound):
    """404: what the limit is to be of is not there, or not for this caller to see."""

    code = "limit_scope_not_found"


class LimitExists(Conflict):
    """409: that scope has a limit on that model, or pattern of models, already."""

    code = "limit_exists"


class TooManyLimits(Conflict):
    """409: the organization has as many limits as one may have."""

    code = "too_many_limits"


async def create(session: AsyncSession, draft: LimitDraft, *, reach: Reach, actor: Actor) -> RateLimit:
    """A new limit, in force in every process within a second; what was counted before still counts.

    Raises `LimitScopeNotFound`, `LimitExists`, `TooManyLimits`, or `InvalidRequest` for one that limits nothing.
    """
    owner_id = await _owner(session, draft, reach)
    count = await session.scalar(
        select(func.count()).select_from(RateLimit).where(RateLimit.organization_id == reach.organization_id)
    )
    if count is not None and count >= MOST_LIMITS:
        raise TooManyLimits(f"An organization has at most {MOST_LIMITS} limits. Delete one that is not needed.")
    limit = RateLimit(
        id=uuid7(),
        organization_id=reach.organization_id,
        scope=draft.scope.kind,
        scope_id=owner_id,
        model=draft.model,
        **draft.figures(),
    )
    session.add(limit)
    await _flush(session)
    await session.refresh(limit)
    await _record(session, "created", limit, actor=actor, detail=draft.figures())
    return limit


async def change(
    session: AsyncSession, limit_id: UUID | None, wanted: LimitChange, *, reach: Reach, actor: Actor
) -> RateLimit:
    """Change the figures that `wanted` names, in every process within a second; counters stay.

    Raises `LimitNotFound`, or `InvalidRequest` where nothing is to be changed or no figure would be left.
    """
    figures = wanted.figures()
    if not figures:
        raise InvalidRequest(f"Nothing is to be changed. Send at least one of {', '.join(FIGURES)}.")
    limit = await _locked(session, limit_id, reach)
    for figure, number in figures.items():
        setattr(limit, figure, number)
    limit.updated_at = func.now()
    await _flush(session)
    await session.refresh(limit)
    await _record(session, "changed", limit, actor=actor, detail=figures)
    return limit


async def remove(session: AsyncSession, limit_id: UUID | None, *, reach: Reach, actor: Actor) -> None:
    """Delete a limit; within a second no process asks for it any more. Raises `LimitNotFound`."""
    limit = await _locked(session, limit_id, reach)
    await session.execute(delete(RateLimit).where(RateLimit.id == limit.id))
    await _record(session, "deleted", limit, actor=actor)


async def find(session: AsyncSession, limit_id: UUID | None, *, reach: Reach) -> RateLimit:
    """One limit. Raises `LimitNotFound`."""
    limit = await session.scalar(_visible(reach).where(RateLimit.id == limit_id))
    if limit is None:
        raise _unknown()
    return limit


async def find_like(session: AsyncSession, draft: LimitDraft, *, reach: Reach) -> RateLimit | None:
    """The limit that has the place of `draft`: its scope and its model. Raises `LimitScopeNotFound`."""
    owner_id = await _owner(session, draft, reach)
    return await session.scalar(
        _visible(reach).where(
            RateLimit.scope == draft.scope.kind,
            RateLimit.scope_id.is_not_distinct_from(owner_id),
            RateLimit.model.is_not_distinct_from(draft.model),
        )
    )


async def listed(session: AsyncSession, *, reach: Reach, place: Place) -> Page[RateLimit]:
    """A page of the limits within reach."""
    return await page_of(session, _visible(reach), key=RateLimit.id, place=place)


def _visible(reach: Reach) -> Select[RateLimit]:
    found = select(RateLimit).where(RateLimit.organization_id == reach.organization_id)
    narrowed = within(reach, kind=RateLimit.scope, scope_id=RateLimit.scope_id)
    return found if narrowed is None else found.where(narrowed)


async def _locked(session: AsyncSession, limit_id: UUID | None, reach: Reach) -> RateLimit:
    limit = await session.scalar(_visible(reach).where(RateLimit.id == limit_id).with_for_update())
    if limit is None:
        raise _unknown()
    return limit


async def _owner(session: AsyncSession, draft: LimitDraft, reach: Reach) -> UUID | None:
    """Whom the limit is of; None: each one of its kind. Raises `LimitScopeNotFound`.

    An organization is named even where nobody named it: two ways to say one thing would be two rules.
    """
    kind, name = draft.scope.kind, draft.scope.id
    if name is None:
        owner_id, found = (reach.organization_id if kind == "organization" else None), reach.holds(None)
    else:
        owner_id = read_scope(kind, name)
        found = await place(session, kind, owner_id, reach=reach) is not None
    if not found:
        raise LimitScopeNotFound(f"There is no such {kind} that this credential may limit.", param="scope.id")
    return owner_id


def _unknown() -> LimitNotFound:
    return LimitNotFound("There is no such limit here. GET /v1/ali/limits lists those you can see.")


async def _flush(session: AsyncSession) -> None:
    """Let the database judge, and explain what it says."""
    try:
        await session.flush()
    except IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) == _UNIQUE:
            raise LimitExists(
                "There is a limit of this scope on this model already. Change that one, or delete it first."
            ) from error
        raise InvalidRequest(
            f"The limit would limit nothing. Give at least one of {', '.join(FIGURES)}; to be rid of it, delete it."
        ) from error


async def _record(
    session: AsyncSession,
    verb: str,
    limit: RateLimit,
    *,
    actor: Actor,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Write the act into the audit record, and have every process read the rules again."""
    project_id = limit.scope_id if limit.scope == "project" else None
    if limit.scope == "key" and limit.scope_id is not None:
        project_id = await session.scalar(select(ApiKey.project_id).where(ApiKey.id == limit.scope_id))
    owner = scope_name(limit.scope, limit.scope_id) if limit.scope_id is not None else None
    event = AuditEvent(
        action=f"rate_limit.{verb}",
        organization_id=limit.organization_id,
        project_id=project_id,
        target_kind="rate_limit",
        target_id=limit_name(limit.id),
        detail={"scope": limit.scope, "scope_id": owner, **(detail or {})},
    )
    await record(session, event, actor=actor)
    await session.execute(text(ADVANCE_EPOCH))
