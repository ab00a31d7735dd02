"""Tables of vectors: of chunks, by which model, where they lie; kept embeddings; and what is still to be embedded."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    false,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from ali.kernel.db import Base


class Halfvec(UserDefinedType[bytes]):
    """Pgvector's vector of 16-bit floats, of any length. Statements over it are written in SQL."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own signature
        """Its name in SQL."""
        return "halfvec"


class VectorSpace(Base):
    """What makes vectors that may be compared: a model, the dimensions asked of it, the prefix of passages."""

    __tablename__ = "vector_space"
    __table_args__ = (UniqueConstraint("model", name="vector_space_model_key"),)

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    """`EmbeddingModel.identity`."""
    dimensions: Mapped[int | None] = mapped_column(Integer)
    """NULL until the first vector was written."""


class VectorShelf(Base):
    """A partition of `chunk_vector` for one large store, and its index. Shelf 0, without an index, is all others'."""

    __tablename__ = "vector_shelf"

    shelf: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    dimensions: Mapped[int] = mapped_column(Integer)
    free: Mapped[bool] = mapped_column(Boolean, server_default=false())


class StoreVectors(Base):
    """Where a store's vectors of a space lie: `shared` on shelf 0, `own` on `shelf`, `moving` on both.

    New ones go to `shelf`.
    """

    __tablename__ = "store_vectors"
    __table_args__ = (CheckConstraint("state in ('shared', 'moving', 'own')", name="state_known"),)

    vector_store_id: Mapped[UUID] = mapped_column(ForeignKey("ali.vector_store.id"), primary_key=True)
    space: Mapped[int] = mapped_column(ForeignKey("ali.vector_space.id"), primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    shelf: Mapped[int] = mapped_column(Integer, server_default="0")
    state: Mapped[str] = mapped_column(Text, server_default="shared")


class ChunkVector(Base):
    """A chunk's vector, of unit length. A trigger takes it away with its document."""

    __tablename__ = "chunk_vector"
    __table_args__ = ({"postgresql_partition_by": "LIST (shelf)"},)

    shelf: Mapped[int] = mapped_column(Integer, primary_key=True)
    vector_store_id: Mapped[UUID] = mapped_column(primary_key=True)
    space: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    vector: Mapped[bytes] = mapped_column(Halfvec)


class Embedding(Base):
    """A vector that was made for a text of the project, by a keyed hash of text and model."""

    __tablename__ = "embedding"

    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    organization_id: Mapped[UUID]
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    """`vector.Vector`."""
    used_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)
    """To the day."""


class EmbeddingTask(Base):
    """A document whose chunks have no vectors of the present space yet, or not all."""

    __tablename__ = "embedding_task"

    document_id: Mapped[UUID] = mapped_column(ForeignKey("ali.store_document.id", ondelete="CASCADE"), primary_key=True)
    vector_store_id: Mapped[UUID]
    organization_id: Mapped[UUID]
    project_id: Mapped[UUID]
    instance_id: Mapped[UUID | None]
    claimed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    resume_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
