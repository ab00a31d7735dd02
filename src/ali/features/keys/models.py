"""Tables of API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ali.features.identity.models import Organization, Project, ServiceAccount, User
from ali.kernel.db import Base


class ApiKey(Base):
    """One credential, of a project or of the whole organization. The secret itself is never here, only its HMAC."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey(Project.id), index=True)
    """None: a key of the whole organization, which names a project with each call to a model."""
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    """Whose key it is; it ends with them."""
    service_account_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(ServiceAccount.id, ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    permissions: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """Narrows what the role carries; None: all of it."""
    allowed_models: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    allowed_networks: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    hint: Mapped[str] = mapped_column(Text)
    """The last four characters, to tell keys apart in a list."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """To the minute."""


class AccessEpoch(Base):
    """One row, counted up by every change to who may do what: what replicas poll to drop what they remember of it."""

    __tablename__ = "access_epoch"
    __table_args__ = (CheckConstraint('"only"', name="single_row"),)

    only: Mapped[bool] = mapped_column(primary_key=True, default=True)
    value: Mapped[int] = mapped_column(BigInteger)
