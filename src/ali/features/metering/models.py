"""Tables of usage: one record a request, and the processes that write them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, SmallInteger, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class UsageRecord(Base):
    """What one request used and cost.

    Opened while the provider works and settled at the end, so that a crash leaves a record. No foreign keys: a record
    outlives the key and project it names, and the hot path's insert stays cheap.
    """

    __tablename__ = "usage_record"
    __table_args__ = (
        Index("usage_record_project_id_started_at_idx", "project_id", "started_at"),
        Index("usage_record_open_idx", "instance_id", postgresql_where="outcome = 'open'"),
        CheckConstraint("outcome in ('open','ok','error','cancelled','lost')", name="outcome_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """The request's identifier, as in `x-request-id`."""
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    api_key_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    """Whose key or session it was."""
    instance_id: Mapped[UUID]
    operation: Mapped[str] = mapped_column(Text)
    """`chat.completions`, `messages`, `embeddings`, `moderations`, `messages.count_tokens`."""
    model: Mapped[str] = mapped_column(Text)
    """As the caller named it."""
    provider: Mapped[str | None] = mapped_column(Text)
    upstream_model: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    error_code: Mapped[str | None] = mapped_column(Text)
    streamed: Mapped[bool]
    cached: Mapped[bool]
    """Answered from the cache of exact repeats: nothing was spent."""
    attempts: Mapped[int] = mapped_column(SmallInteger)
    usage_reported: Mapped[bool]
    """False: the provider never said what it used, and the tokens are an estimate."""
    input_tokens: Mapped[int] = mapped_column(Integer)
    cached_input_tokens: Mapped[int] = mapped_column(Integer)
    cache_write_tokens: Mapped[int] = mapped_column(Integer)
    output_tokens: Mapped[int] = mapped_column(Integer)
    reasoning_tokens: Mapped[int] = mapped_column(Integer)
    cost_microusd: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    first_token_ms: Mapped[int | None] = mapped_column(Integer)
    duration_ms: Mapped[int | None] = mapped_column(Integer)


class ServiceInstance(Base):
    """A running service process; what it left open is closed by others once its heartbeat has stopped."""

    __tablename__ = "service_instance"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    heartbeat_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
