"""The tables of files, and of uploads that become files."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class StoredFile(Base):
    """A file. Its row is made before its object and outlives it, so no object is ever without one.

    Several files of one project share an object where they hold the same bytes. It goes with the last of them.
    """

    __tablename__ = "file"
    __table_args__ = (
        Index("file_project_id_id_idx", "project_id", "id"),
        Index("file_not_ready_idx", "id", postgresql_where="state <> 'ready'"),
        Index("file_expires_at_idx", "expires_at", postgresql_where="expires_at is not null"),
        Index("file_object_name_idx", "object_name"),
        Index("file_content_idx", "project_id", "digest", postgresql_where="state = 'ready' and digest is not null"),
        Index("file_upload_id_idx", "upload_id", postgresql_where="upload_id is not null"),
        CheckConstraint("state in ('writing', 'ready', 'gone')", name="state_known"),
        CheckConstraint("holds >= 0", name="holds_counted"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    purpose: Mapped[str] = mapped_column(Text)
    name: Mapped[bytes] = mapped_column(LargeBinary)
    """As the person who sent it named it: UTF-8."""
    media_type: Mapped[str | None] = mapped_column(Text)
    """As its sender said, where they did."""
    size_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    """SHA-256 of its bytes; None for a file from before digests were taken, and until all of it is written."""
    upload_id: Mapped[UUID | None]
    """Of a part: the upload that it is of."""
    object_name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    """`writing` until its object is whole, then `ready`; `gone` from its deletion until its object is deleted."""
    holds: Mapped[int] = mapped_column(Integer, server_default="0")
    """By how many that still read it, it is kept: neither deleted nor expired."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Upload(Base):
    """A file that is being sent in parts. Its parts are files that nobody sees; in the end they become one."""

    __tablename__ = "upload"
    __table_args__ = (
        Index("upload_expires_at_idx", "expires_at"),
        Index("upload_project_id_idx", "project_id"),
        CheckConstraint("status in ('pending', 'completed', 'cancelled')", name="status_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    purpose: Mapped[str] = mapped_column(Text)
    name: Mapped[bytes] = mapped_column(LargeBinary)
    """The file's name to be: UTF-8."""
    media_type: Mapped[str | None] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """What its sender says that the whole file will have."""
    ttl_s: Mapped[int | None] = mapped_column(Integer)
    """How long the file is to be kept."""
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    file_id: Mapped[UUID | None]
    """The file that came of it, once it is `completed`."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """From then on no part is taken, and it cannot be completed."""
