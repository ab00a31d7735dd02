"""Tables of vector stores: their files, what those hold, and the index over it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from ali.kernel.db import Base


class VectorStore(Base):
    """A vector store. Its chunks are numbered by it, so whoever writes into its index locks its row."""

    __tablename__ = "vector_store"
    __table_args__ = (
        Index("vector_store_project_id_id_idx", "project_id", "id"),
        Index(
            "vector_store_expires_at_idx",
            "expires_at",
            postgresql_where="expires_at is not null and state = 'ready'",
        ),
        Index("vector_store_leaving_idx", "id", postgresql_where="state in ('expiring', 'gone')"),
        Index("vector_store_merge_due_idx", "id", postgresql_where="merge_due"),
        CheckConstraint("state in ('ready', 'expiring', 'expired', 'gone')", name="state_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    name: Mapped[bytes] = mapped_column(LargeBinary)
    """UTF-8."""
    description: Mapped[bytes | None] = mapped_column(LargeBinary)
    # `metadata` is SQLAlchemy's own name.
    tags: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    state: Mapped[str] = mapped_column(Text, server_default="ready")
    """`gone` from its deletion until all that it holds is deleted; `expiring` from its expiry until then, and from then
    on `expired`: an empty store that is still shown.
    """
    expires_after_days: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_active_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    next_number: Mapped[int] = mapped_column(Integer, server_default="0")
    chunks: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Of all its documents that are `ready`, as are `words`: what their mean length is computed from."""
    words: Mapped[int] = mapped_column(BigInteger, server_default="0")
    merge_due: Mapped[bool] = mapped_column(Boolean, server_default="false")
    """Whether its index has changed since a merge found nothing to do."""


class StoreDocument(Base):
    """What one content, cut in one way, has become in a store: however many of its files have that content.

    Its chunks have consecutive numbers from `first_number` on. One that is `gone` has no chunks any more; its row stays
    until no segment has postings of it, and tells searches which numbers to pass over.
    """

    __tablename__ = "store_document"
    __table_args__ = (
        Index(
            "store_document_content_key",
            "vector_store_id",
            "digest",
            "chunking",
            unique=True,
            postgresql_where="state <> 'gone'",
        ),
        Index("store_document_gone_idx", "vector_store_id", postgresql_where="state = 'gone'"),
        Index("store_document_left_idx", "vector_store_id", postgresql_where="state = 'left'"),
        CheckConstraint("state in ('ready', 'left', 'gone')", name="state_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    vector_store_id: Mapped[UUID] = mapped_column(ForeignKey("ali.vector_store.id"))
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the file's bytes."""
    chunking: Mapped[str] = mapped_column(Text)
    """How it was cut: `auto`, or the characters or tokens of a chunk and their overlap."""
    state: Mapped[str] = mapped_column(Text, server_default="ready")
    """`left` from when no file of the store leads to it any more, and no search finds it, until its chunks are deleted:
    a file of the same content makes it `ready` again. Then `gone`.
    """
    first_number: Mapped[int] = mapped_column(Integer)
    chunks: Mapped[int] = mapped_column(Integer)
    words: Mapped[int] = mapped_column(BigInteger)
    pages: Mapped[int | None] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """What it takes in the store: chunks, index and vectors."""
    embedded_by: Mapped[int | None] = mapped_column(Integer)
    """The space in which each of its chunks has a vector; NULL: in none."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StoreFile(Base):
    """A file of a store, and how far it is. While it is `in_progress`, the process that claims it works on it."""

    __tablename__ = "store_file"
    __table_args__ = (
        UniqueConstraint("vector_store_id", "file_id", name="store_file_vector_store_id_file_id_key"),
        Index("store_file_vector_store_id_id_idx", "vector_store_id", "id"),
        Index("store_file_vector_store_id_status_id_idx", "vector_store_id", "status", "id"),
        Index("store_file_file_id_idx", "file_id"),
        Index("store_file_document_id_idx", "document_id"),
        Index("store_file_batch_id_idx", "batch_id", postgresql_where="batch_id is not null"),
        Index(
            "store_file_claimed_idx",
            "project_id",
            postgresql_where="status = 'in_progress' and instance_id is not null",
        ),
        Index("store_file_unfinished_idx", "project_id", "id", postgresql_where="status = 'in_progress'"),
        CheckConstraint("status in ('in_progress', 'completed', 'cancelled', 'failed')", name="status_known"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    vector_store_id: Mapped[UUID] = mapped_column(ForeignKey("ali.vector_store.id"))
    file_id: Mapped[UUID]
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("ali.store_document.id"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("ali.store_file_batch.id"))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    chunking: Mapped[str] = mapped_column(Text)
    """As of the document."""
    status: Mapped[str] = mapped_column(Text, server_default="in_progress")
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[bytes | None] = mapped_column(LargeBinary)
    pages_done: Mapped[int] = mapped_column(Integer, server_default="0")
    pages: Mapped[int | None] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often its reading was begun and did not come to an end of its own: a process or its reader died."""
    instance_id: Mapped[UUID | None]
    claimed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resume_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StoreFileBatch(Base):
    """Files that were added to a store together."""

    __tablename__ = "store_file_batch"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    vector_store_id: Mapped[UUID] = mapped_column(ForeignKey("ali.vector_store.id"), index=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    cancelled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StoreChunk(Base):
    """A chunk of a document. `number` is its own in the store, never used again."""

    __tablename__ = "store_chunk"

    vector_store_id: Mapped[UUID] = mapped_column(ForeignKey("ali.vector_store.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    document_id: Mapped[UUID] = mapped_column(ForeignKey("ali.store_document.id"))
    position: Mapped[int] = mapped_column(Integer)
    text: Mapped[bytes] = mapped_column(LargeBinary)
    """UTF-8."""
    place: Mapped[bytes] = mapped_column(LargeBinary)
    """The rest of the chunk as JSON: spans, headings, law, articles, table, language."""
    words: Mapped[int] = mapped_column(Integer)
    signature: Mapped[bytes] = mapped_column(LargeBinary)


class Segment(Base):
    """A part of a store's index, over its chunks from `first_number` up to `end_number`, which is the next one's first.

    Written at once and not changed. Neighbours are merged into larger ones.
    """

    __tablename__ = "segment"
    __table_args__ = (
        UniqueConstraint("vector_store_id", "first_number", name="segment_vector_store_id_first_number_key"),
        CheckConstraint("first_number < end_number", name="not_empty"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=False), primary_key=True)
    vector_store_id: Mapped[UUID] = mapped_column(ForeignKey("ali.vector_store.id"))
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    first_number: Mapped[int] = mapped_column(Integer)
    end_number: Mapped[int] = mapped_column(Integer)


class Posting(Base):
    """Which chunks of a segment have a term. `weights` says for each how often, and how long the chunk is."""

    __tablename__ = "posting"

    segment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    term: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """A keyed hash of the term."""
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    chunks: Mapped[int] = mapped_column(Integer)
    """How many: known without reading the list."""
    numbers: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    """Ascending."""
    weights: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    """The count (1 to 15) in the lowest four bits, above them the chunk's words (at most 2047)."""
