"""Tables of batches, and of their lines while they run."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base

_UNFINISHED = "status in ('validating', 'in_progress', 'finalizing', 'cancelling')"


class Batch(Base):
    """A batch, its states in OpenAI's words whatever its dialect. Its requests are lines of `input_object`."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("batch_project_id_id_idx", "project_id", "id"),
        Index("batch_unfinished_idx", "id", postgresql_where=_UNFINISHED),
        CheckConstraint("dialect in ('openai', 'anthropic')", name="dialect_known"),
        CheckConstraint(
            "status in ('validating', 'in_progress', 'finalizing', 'cancelling', 'completed', 'failed', 'expired',"
            " 'cancelled')",
            name="status_known",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    api_key_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    """Whoever handed it in, as whom each line runs: a key, or a person who had signed in."""
    dialect: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    endpoint: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    anthropic_version: Mapped[str | None] = mapped_column(Text)
    anthropic_beta: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, str] | None] = mapped_column("metadata", JSONB)
    input_file_id: Mapped[UUID]
    input_object: Mapped[str] = mapped_column(Text)
    output_file_id: Mapped[UUID | None]
    error_file_id: Mapped[UUID | None]
    output_ttl_s: Mapped[int] = mapped_column(Integer)
    errors: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Why it failed: JSON, a list of objects as OpenAI's `errors.data` has them."""
    total: Mapped[int] = mapped_column(Integer, server_default="0")
    completed: Mapped[int] = mapped_column(Integer, server_default="0")
    failed: Mapped[int] = mapped_column(Integer, server_default="0")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    in_progress_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finalizing_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancelling_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    instance_id: Mapped[UUID | None]
    """The process that runs it."""
    claimed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resume_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Not to be taken before: it went wrong for a reason that may pass."""


class BatchLine(Base):
    """One request of a running batch: where it stands in the input, and its line of output once it has run."""

    __tablename__ = "batch_line"
    __table_args__ = (CheckConstraint("outcome in ('completed', 'failed')", name="outcome_known"),)

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("ali.batch.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    start_byte: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str | None] = mapped_column(Text)
    result: Mapped[bytes | None] = mapped_column(LargeBinary)
