"""The table of chat completions that are kept."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Index, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class ChatCompletion(Base):
    """A completion with the messages that it answers. Rows are written by `ali.settle_completion` alone."""

    __tablename__ = "chat_completion"
    __table_args__ = (
        UniqueConstraint("project_id", "public_id"),
        Index("chat_completion_project_id_id_idx", "project_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    """The request's, as its usage record has it; so the order is that of time."""
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    public_id: Mapped[str] = mapped_column(Text)
    """As the answer named itself: the provider's own identifier where the answer was passed through."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    model: Mapped[str] = mapped_column(Text)
    """As the request named it."""
    answering_model: Mapped[str] = mapped_column(Text)
    """As the answer names it."""
    # `metadata` is SQLAlchemy's own name.
    tags: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    messages: Mapped[bytes] = mapped_column(LargeBinary)
    """The request's messages, a JSON array."""
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    """The completion as a JSON object, without its metadata."""
