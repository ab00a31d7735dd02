"""Vectors of chunks in pgvector's `halfvec`, what they are made by, and the embeddings that are kept for next time."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.embedding_functions import FUNCTIONS as EMBEDDING_FUNCTIONS
from ali.migrations.embedding_functions import SIGNATURES as EMBEDDING_SIGNATURES
from ali.migrations.tenancy import door, wall
from ali.migrations.vector_functions import FUNCTIONS, INNER_SIGNATURES, SIGNATURES

revision: str = "pre_0015_chunk_vectors"
down_revision: str | None = "pre_0014_uploads"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    extension = _pgvector()
    _spaces()
    _chunk_vector(extension)
    _store_vectors()
    _embedding()
    _embedding_task()
    op.add_column("store_document", sa.Column("embedded_by", sa.Integer()), schema=SCHEMA)
    for function in (*FUNCTIONS, *EMBEDDING_FUNCTIONS):
        op.execute(function.replace("EXTENSION", extension))
    for signature in (*SIGNATURES, *EMBEDDING_SIGNATURES):
        door(signature.replace("EXTENSION", extension))
    for signature in INNER_SIGNATURES:
        op.execute(f"revoke all on function ali.{signature} from public")
    op.execute(
        "create trigger forget_vectors after delete on ali.store_document"
        " for each row execute function ali.forget_document_vectors()"
    )
    op.execute(
        "create trigger forget_vectors_when_gone after update of state on ali.store_document"
        " for each row when (new.state = 'gone') execute function ali.forget_document_vectors()"
    )
    op.execute(
        "create trigger forget_vectors before delete on ali.vector_store"
        " for each row execute function ali.forget_store_vectors()"
    )


def _pgvector() -> str:
    """Make sure of the extension; the schema that it is in, as SQL writes it."""
    # Asked first: `create extension if not exists` wants the right to create one even where it is there.
    asked = "select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace"
    asked += " where e.extname = 'vector'"
    connection = op.get_bind()
    schema = connection.scalar(sa.text(asked))
    if schema is None:
        op.execute("create extension vector with schema public")
        schema = connection.scalar(sa.text(asked))
    return str(schema)


def _tenant() -> tuple[sa.Column[object], ...]:
    return sa.Column("organization_id", sa.Uuid(), nullable=False), sa.Column("project_id", sa.Uuid(), nullable=False)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _spaces() -> None:
    """Neither holds anything of a tenant's, so neither is walled; the service comes to them by functions alone."""
    op.create_table(
        "vector_space",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="vector_space_pkey"),
        sa.UniqueConstraint("model", name="vector_space_model_key"),
        schema=SCHEMA,
    )
    op.create_table(
        "vector_shelf",
        sa.Column("shelf", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("free", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("shelf", name="vector_shelf_pkey"),
        schema=SCHEMA,
    )


def _chunk_vector(extension: str) -> None:
    # Plain storage: a vector lies in its row, where a scan reads it six times as fast as from TOAST.
    op.execute(
        f"""
        create table ali.chunk_vector (
            shelf integer not null, vector_store_id uuid not null, space integer not null, number integer not null,
            organization_id uuid not null, project_id uuid not null, vector {extension}.halfvec storage plain not null,
            constraint chunk_vector_pkey primary key (shelf, vector_store_id, space, number)
        ) partition by list (shelf)
        """
    )
    op.execute("create table ali.chunk_vector_0 partition of ali.chunk_vector for values in (0)")
    wall("chunk_vector", rights="select, insert, delete", by_project=True)
    wall("chunk_vector_0", rights="select", by_project=True)


def _store_vectors() -> None:
    op.create_table(
        "store_vectors",
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        sa.Column("space", sa.Integer(), nullable=False),
        *_tenant(),
        sa.Column("shelf", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), server_default="shared", nullable=False),
        sa.PrimaryKeyConstraint("vector_store_id", "space", name="store_vectors_pkey"),
        sa.ForeignKeyConstraint(
            ["vector_store_id"], [f"{SCHEMA}.vector_store.id"], name="store_vectors_vector_store_id_fkey"
        ),
        sa.ForeignKeyConstraint(["space"], [f"{SCHEMA}.vector_space.id"], name="store_vectors_space_fkey"),
        sa.CheckConstraint("state in ('shared', 'moving', 'own')", name=op.f("store_vectors_state_known_check")),
        schema=SCHEMA,
    )
    wall("store_vectors", rights="select, insert", by_project=True)


def _embedding() -> None:
    op.create_table(
        "embedding",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        _now("used_at"),
        sa.PrimaryKeyConstraint("project_id", "digest", name="embedding_pkey"),
        schema=SCHEMA,
    )
    op.create_index("embedding_used_at_idx", "embedding", ["used_at"], schema=SCHEMA)
    wall("embedding", rights="select, delete", by_project=True)


def _embedding_task() -> None:
    op.create_table(
        "embedding_task",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("instance_id", sa.Uuid()),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.Column("resume_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("document_id", name="embedding_task_pkey"),
        sa.ForeignKeyConstraint(
            ["document_id"],
            [f"{SCHEMA}.store_document.id"],
            name="embedding_task_document_id_fkey",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    wall("embedding_task", rights="select, insert, update, delete", by_project=True)


def downgrade() -> None:
    op.execute("drop trigger forget_vectors_when_gone on ali.store_document")
    for table in ("store_document", "vector_store"):
        op.execute(f"drop trigger forget_vectors on ali.{table}")
    extension = _pgvector()
    for signature in (*SIGNATURES, *EMBEDDING_SIGNATURES, *INNER_SIGNATURES):
        op.execute(f"drop function ali.{signature.replace('EXTENSION', extension)}")
    op.drop_column("store_document", "embedded_by", schema=SCHEMA)
    for table in ("embedding_task", "embedding", "store_vectors", "chunk_vector", "vector_shelf", "vector_space"):
        op.drop_table(table, schema=SCHEMA)
