"""Tables of API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from ali.features.identity.models import Organization, Project
from ali.kernel.db import Base


class ApiKey(Base):
    """One credential of a project. The secret itself is never here, only its HMAC."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey(Project.id), index=True)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    hint: Mapped[str] = mapped_column(Text)
    """The last four characters, to tell keys apart in a list."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class KeyEpoch(Base):
    """One row, counted up by every change to a key: what replicas poll to drop what they remember of keys."""

    __tablename__ = "key_epoch"
    __table_args__ = (CheckConstraint('"only"', name="single_row"),)

    only: Mapped[bool] = mapped_column(primary_key=True, default=True)
    value: Mapped[int] = mapped_column(BigInteger)
