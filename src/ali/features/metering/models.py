"""Tables of usage (one record a request, and the processes that write them) and of limits (rules and counters)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
)
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
    """`chat.completions`, `messages`, `embeddings`, `moderations`, `messages.count_tokens`, `responses`,
    `responses.input_tokens`, `responses.compact`."""
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


class RateLimit(Base):
    """A limit that somebody set: for an organization, a project, a key or a user, on all models or on some.

    `features.metering.limiting.rules` says how several of them go together.
    """

    __tablename__ = "rate_limit"
    __table_args__ = (
        UniqueConstraint("organization_id", "scope", "scope_id", "model", postgresql_nulls_not_distinct=True),
        CheckConstraint("scope in ('organization','project','key','user')", name="scope_known"),
        CheckConstraint("model is null or model ~ '^[^*]{0,200}[*]?$' and model <> ''", name="model_pattern"),
        CheckConstraint("num_nonnulls(requests_per_minute, tokens_per_minute, concurrent_streams) > 0", name="limits"),
        CheckConstraint("requests_per_minute between 0 and 1000000000000", name="requests_per_minute_range"),
        CheckConstraint("tokens_per_minute between 0 and 1000000000000", name="tokens_per_minute_range"),
        CheckConstraint("concurrent_streams between 0 and 1000000000000", name="concurrent_streams_range"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    scope: Mapped[str] = mapped_column(Text)
    scope_id: Mapped[UUID | None]
    """Whom it limits; NULL: each one of its kind in the organization by itself."""
    model: Mapped[str | None] = mapped_column(Text)
    """A model's name, or the beginning of names and a `*`; NULL: all models."""
    requests_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    concurrent_streams: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class LimitBucket(Base):
    """What was counted in one slice of a window, where PostgreSQL holds the limits. Unlogged: a crash starts at 0."""

    __tablename__ = "limit_bucket"
    __table_args__ = (Index("limit_bucket_expires_us_idx", "expires_us"), {"prefixes": ["unlogged"]})

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    bucket: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    expires_us: Mapped[int] = mapped_column(BigInteger)
    """Microseconds since 1970, as all times of the counters."""


class LimitLease(Base):
    """A stream that is running, where PostgreSQL holds the limits. Unlogged: processes renew what they hold."""

    __tablename__ = "limit_lease"
    __table_args__ = (Index("limit_lease_expires_us_idx", "expires_us"), {"prefixes": ["unlogged"]})

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    lease: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    expires_us: Mapped[int] = mapped_column(BigInteger)
