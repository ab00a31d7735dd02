"""Tables of conversations and their items."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, ForeignKey, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class Conversation(Base):
    """A conversation: a place to which responses and callers add items, in one order.

    A response claims the conversation while it runs, so that the items of two never mix.
    """

    __tablename__ = "conversation"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # `metadata` is SQLAlchemy's own name.
    tags: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    next_position: Mapped[int] = mapped_column(BigInteger, server_default="0")
    claimed_by: Mapped[UUID | None]
    """The response that runs in it."""
    claim_instance_id: Mapped[UUID | None]
    claimed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ConversationItem(Base):
    """One item, as the Responses API has it. `position` is its place in the conversation's order, with gaps."""

    __tablename__ = "conversation_item"
    __table_args__ = (UniqueConstraint("conversation_id", "item_id"),)

    conversation_id: Mapped[UUID] = mapped_column(
        ForeignKey("ali.conversation.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    item_id: Mapped[str] = mapped_column(Text)
    """As callers name it; a text, since items may come from elsewhere with an identifier of their own."""
    kind: Mapped[str] = mapped_column(Text)
    """The item's `type`."""
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """The item as JSON, its identifier included."""
    response_id: Mapped[UUID | None]
    """The response that added it."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
