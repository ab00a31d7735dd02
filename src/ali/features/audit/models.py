"""The table of audit events. The service's role may add to it and read it, and neither change nor delete."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class AuditRow(Base):
    """One act. No foreign keys: the record outlives what it names."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("audit_event_organization_id_id_idx", "organization_id", "id"),
        CheckConstraint("actor_kind in ('user', 'api_key', 'operator', 'service')", name="actor_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID | None]
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    action: Mapped[str] = mapped_column(Text)
    actor_kind: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[UUID | None]
    address: Mapped[str | None] = mapped_column(Text)
    """The client's network address."""
    request_id: Mapped[str | None] = mapped_column(Text)
    target_kind: Mapped[str | None] = mapped_column(Text)
    target_id: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """Field names and identifiers; never a secret, an address of e-mail, or a text that people wrote."""
