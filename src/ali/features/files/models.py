"""The table of files."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class StoredFile(Base):
    """A file. Its row is made before its object and outlives it, so no object is ever without one."""

    __tablename__ = "file"
    __table_args__ = (
        Index("file_project_id_id_idx", "project_id", "id"),
        Index("file_not_ready_idx", "id", postgresql_where="state <> 'ready'"),
        Index("file_expires_at_idx", "expires_at", postgresql_where="expires_at is not null"),
        UniqueConstraint("object_name", name="file_object_name_key"),
        CheckConstraint("state in ('writing', 'ready', 'gone')", name="state_known"),
        CheckConstraint("holds >= 0", name="holds_counted"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    purpose: Mapped[str] = mapped_column(Text)
    name: Mapped[bytes] = mapped_column(LargeBinary)
    """As the person who sent it named it: UTF-8."""
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    object_name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    """`writing` until its object is whole, then `ready`; `gone` from its deletion until its object is deleted."""
    holds: Mapped[int] = mapped_column(Integer, server_default="0")
    """By how many that still read it, it is kept: neither deleted nor expired."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
