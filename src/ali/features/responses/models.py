"""Tables of responses, and of the events of those that run in the background."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class StoredResponse(Base):
    """A response that is kept: created with `store`.

    `head`, `input` and `output` are JSON: the response object without its output, the items of its own request, and
    the items that came out. What a chain of responses said is read from link to link, newest first.
    """

    __tablename__ = "response"
    __table_args__ = (
        Index("response_project_id_id_idx", "project_id", "id"),
        Index("response_unfinished_idx", "id", postgresql_where="status in ('queued', 'in_progress')"),
        Index("response_output_ids_idx", "output_ids", postgresql_using="gin"),
        Index("response_previous_id_idx", "previous_id", postgresql_where="previous_id is not null"),
        CheckConstraint(
            "status in ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')",
            name="status_known",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    previous_id: Mapped[UUID | None]
    """No foreign key: a link that was deleted is missed when the chain is read, and said so."""
    conversation_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(Text)
    background: Mapped[bool]
    cancelling: Mapped[bool] = mapped_column(server_default="false")
    """Asked to be cancelled; whoever runs it stops at the next event."""
    instance_id: Mapped[UUID | None]
    """The process that runs it, or ran it last."""
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """How often a process has begun to run it."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    head: Mapped[bytes] = mapped_column(LargeBinary)
    input: Mapped[bytes] = mapped_column(LargeBinary)
    output: Mapped[bytes] = mapped_column(LargeBinary)
    output_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    """What the items that came out are called, so that an `item_reference` finds them."""
    request: Mapped[bytes | None] = mapped_column(LargeBinary)
    """What another process needs to run it; gone once it has ended."""


class ResponseEvent(Base):
    """Some events of a background response, as they were sent: server-sent events `first_number` to `last_number`."""

    __tablename__ = "response_event"

    response_id: Mapped[UUID] = mapped_column(ForeignKey("ali.response.id", ondelete="CASCADE"), primary_key=True)
    first_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    last_number: Mapped[int] = mapped_column(Integer)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    body: Mapped[bytes] = mapped_column(LargeBinary)
