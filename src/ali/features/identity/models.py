"""Tables of organizations, projects, people and what they are members of."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class Organization(Base):
    """A customer of the installation: the outer wall of tenancy."""

    __tablename__ = "organization"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    four_eyes: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether what cannot be undone needs a second person's signature (`approvals`)."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Project(Base):
    """Where an organization's keys, usage and data belong: the inner wall."""

    __tablename__ = "project"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    archived_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class User(Base):
    """A person, who belongs to one organization and signs in with an e-mail address known once in the installation."""

    __tablename__ = "user_account"
    __table_args__ = (CheckConstraint("email = lower(email)", name="email_is_lower_case"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text, server_default="")
    role: Mapped[str] = mapped_column(Text)
    """In the whole organization; a membership may add to it in one project."""
    password_hash: Mapped[str | None] = mapped_column(Text)
    """argon2id in PHC form; None for who signs in through OpenID Connect alone."""
    totp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Encrypted under the installation's secret."""
    totp_step: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The last time step whose code was used: a code works once."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ProjectMember(Base):
    """A person's part in one project."""

    __tablename__ = "project_member"

    project_id: Mapped[UUID] = mapped_column(ForeignKey(Project.id), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True, index=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id))
    role: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ServiceAccount(Base):
    """A program's identity in a project: it has keys, and no password."""

    __tablename__ = "service_account"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id))
    project_id: Mapped[UUID] = mapped_column(ForeignKey(Project.id), index=True)
    name: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Invite(Base):
    """An invitation by e-mail. The link's secret is never here, only its HMAC."""

    __tablename__ = "invite"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_is_lower_case"),
        Index("invite_open_email_key", "organization_id", "email", unique=True, postgresql_where="accepted_at is null"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    email: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    projects: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))
    """`[{"id": …, "role": …}]`: the memberships that acceptance brings."""
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    invited_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    accepted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Approval(Base):
    """A second signature: asked for by one person, given or refused by another, spent once."""

    __tablename__ = "approval"
    __table_args__ = (
        CheckConstraint("decision in ('approved', 'refused')", name="decision_known"),
        CheckConstraint("(decision is null) = (decided_at is null)", name="decision_has_its_time"),
        CheckConstraint("decided_by <> requested_by", name="two_people"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    verb: Mapped[str] = mapped_column(Text)
    target: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    requested_by: Mapped[UUID]
    """The person, or the key or service account where no person stands behind it."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[UUID | None]
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decision: Mapped[str | None] = mapped_column(Text)
    spent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Session(Base):
    """What began with one sign-in: a family of refresh tokens, of which the last one is good (`refresh`)."""

    __tablename__ = "session"
    __table_args__ = (
        CheckConstraint("octet_length(current) = 32", name="current_is_sha256"),
        CheckConstraint("(ended_at is null) = (end_reason is null)", name="end_has_its_reason"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    method: Mapped[str] = mapped_column(Text)
    """`password`, or `openid:` and the provider's name."""
    current: Mapped[bytes] = mapped_column(LargeBinary)
    """HMAC of the one refresh token that is good."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)
    """When its tokens were last refreshed."""
    second_factor_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    user_agent: Mapped[str] = mapped_column(Text, server_default="")
    address: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)


class RecoveryCode(Base):
    """A recovery code that was not used yet, as HMAC."""

    __tablename__ = "recovery_code"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id))
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class PasswordReset(Base):
    """A one-time link to a new password that was not used yet, as HMAC of its secret."""

    __tablename__ = "password_reset"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id))
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class OpenIdIdentity(Base):
    """Who somebody is at an issuer of OpenID Connect."""

    __tablename__ = "openid_identity"

    issuer: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey(Organization.id))
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class OpenIdAttempt(Base):
    """A sign-in that is under way at an issuer: HMAC of its state, the rest sealed. Of no tenant yet."""

    __tablename__ = "openid_attempt"

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class SignInFailure(Base):
    """Failures in a row of what the key, an HMAC, stands for (`turnstile`)."""

    __tablename__ = "sign_in_failure"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


class SigningKeyRow(Base):
    """A key of the installation that signs access tokens, its private half wrapped (`signing_keys`)."""

    __tablename__ = "signing_key"

    kid: Mapped[str] = mapped_column(Text, primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
