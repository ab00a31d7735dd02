"""Table of the requests that came with an idempotency key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, LargeBinary, SmallInteger, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class IdempotentRequest(Base):
    """One key of one credential, from its claim until it expires.

    No foreign keys: a row lives a day and outlives the key that it names without harm. Written and read through SQL
    functions alone, one round trip each (`queries`).
    """

    __tablename__ = "idempotent_request"
    __table_args__ = (CheckConstraint("state in ('claimed', 'done')", name="state_known"),)

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    """The API key, or the person, that sent it: another's equal key is another key."""
    key_digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """HMAC of the idempotency key, which is itself never written down."""
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of what was asked."""
    state: Mapped[str] = mapped_column(Text)
    """`claimed`: being executed. `done`: executed, and its answer is here, or could not be kept."""
    claim_id: Mapped[UUID]
    """Of this execution: one that was taken over can no longer settle the row."""
    instance_id: Mapped[UUID]
    """The process that executes or executed it."""
    claimed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Headers and body, encrypted under a key that no row of the database gives."""
