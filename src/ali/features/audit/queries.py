"""The audit record's read side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select

from ali.features.audit.models import AuditRow

_DRIFT: Final = timedelta(minutes=10)
"""How far an event's identifier, which a process's clock dates, may lie from `occurred_at`, the database's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events: those from `since` to before `until` that have one of each; None stands for any."""

    since: datetime | None = None
    until: datetime | None = None
    actions: Sequence[str] | None = None
    projects: Sequence[UUID] | None = None
    actors: Sequence[UUID] | None = None
    targets: Sequence[str] | None = None


def events_of(organization_id: UUID, wanted: Wanted) -> Select[AuditRow]:
    """The events of an organization. The identifiers' order is that of time, so a range of time is one of the index."""
    statement = select(AuditRow).where(AuditRow.organization_id == organization_id)
    if wanted.since is not None:
        statement = statement.where(
            AuditRow.occurred_at >= wanted.since, AuditRow.id >= _first_id(wanted.since, -_DRIFT)
        )
    if wanted.until is not None:
        statement = statement.where(AuditRow.occurred_at < wanted.until, AuditRow.id < _first_id(wanted.until, _DRIFT))
    for column, values in (
        (AuditRow.action, wanted.actions),
        (AuditRow.project_id, wanted.projects),
        (AuditRow.actor_id, wanted.actors),
        (AuditRow.target_id, wanted.targets),
    ):
        if values is not None:
            statement = statement.where(column.in_(values))
    return statement


def _first_id(time: datetime, shift: timedelta) -> UUID:
    """The least UUIDv7 of `time` and a `shift`."""
    millis = int((time.timestamp() + shift.total_seconds()) * 1000)
    return UUID(int=min(max(millis, 0), 0xFFFFFFFFFFFF) << 80)
