"""Tables of budgets.

The service's role may write `budget` alone. The other tables are written by functions (migrations), which lock their
rows in one order; they have no foreign keys, whose locks would come in another, and `clear_budget` deletes their rows.
"""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from ali.features.identity.models import Organization
from ali.kernel.db import Base


class Budget(Base):
    """What may be spent within one scope in each day or month (UTC)."""

    __tablename__ = "budget"
    __table_args__ = (
        UniqueConstraint("scope_id", "scope_kind", "period", "mode", name="budget_scope_key"),
        Index("budget_organization_id_id_idx", "organization_id", "id"),
        CheckConstraint("scope_kind in ('organization', 'project', 'key', 'user')", name="scope_known"),
        CheckConstraint("period in ('day', 'month')", name="period_known"),
        CheckConstraint("mode in ('hard', 'soft')", name="mode_known"),
        CheckConstraint("limit_microusd > 0", name="limit_is_positive"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id, ondelete="CASCADE"))
    project_id: Mapped[UUID | None]
    """The project of the scope, where it lies in one: whoever is bound to that project sees this budget."""
    scope_kind: Mapped[str] = mapped_column(Text)
    scope_id: Mapped[UUID]
    period: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    """`hard`: refuses what does not fit. `soft`: only tells."""
    limit_microusd: Mapped[int] = mapped_column(BigInteger)
    warn_percents: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default=text("'{}'"))
    webhook_url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class BudgetPeriod(Base):
    """What one budget's day or month has seen: the costs of the requests that began in it.

    `reserved_microusd` is the sum of its reservations, and for a hard budget the two together never pass its limit.
    """

    __tablename__ = "budget_period"
    __table_args__ = (CheckConstraint("spent_microusd >= 0 and reserved_microusd >= 0", name="sums_are_sound"),)

    budget_id: Mapped[UUID] = mapped_column(primary_key=True)
    period_start: Mapped[date] = mapped_column(Date, primary_key=True)
    organization_id: Mapped[UUID]
    spent_microusd: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    reserved_microusd: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class BudgetReservation(Base):
    """What a running request may cost at most, held until it is settled or its process is given up."""

    __tablename__ = "budget_reservation"

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    budget_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
    period_start: Mapped[date] = mapped_column(Date)
    organization_id: Mapped[UUID]
    instance_id: Mapped[UUID]
    amount_microusd: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class BudgetNotice(Base):
    """A threshold that was crossed, once a period; and whether those who asked for it have been told."""

    __tablename__ = "budget_notice"
    __table_args__ = (Index("budget_notice_due_at_idx", "due_at", postgresql_where="due_at is not null"),)

    budget_id: Mapped[UUID] = mapped_column(primary_key=True)
    period_start: Mapped[date] = mapped_column(Date, primary_key=True)
    percent: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    organization_id: Mapped[UUID]
    spent_microusd: Mapped[int] = mapped_column(BigInteger)
    limit_microusd: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), server_default=func.now())
    """When it is to be sent next; None: done with."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
