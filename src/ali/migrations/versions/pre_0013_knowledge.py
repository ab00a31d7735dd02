"""Vector stores: their files, the chunks of these, and the index over the chunks."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ali.migrations.index_functions import FUNCTIONS as INDEX_FUNCTIONS
from ali.migrations.index_functions import INNER_SIGNATURES
from ali.migrations.index_functions import SIGNATURES as INDEX_SIGNATURES
from ali.migrations.knowledge_functions import FUNCTIONS, SIGNATURES, TRIGGERS
from ali.migrations.tenancy import door, wall

revision: str = "pre_0013_knowledge"
down_revision: str | None = "pre_0012_batches"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"
_TABLES = (
    "vector_store",
    "store_file_batch",
    "store_document",
    "store_file",
    "store_chunk",
    "segment",
    "posting",
)


def upgrade() -> None:
    _vector_store()
    _store_file_batch()
    _store_document()
    _store_file()
    _store_chunk()
    _index()
    for table in _TABLES:
        wall(table, rights="select, insert, update, delete", by_project=True)
    for function in (*FUNCTIONS, *INDEX_FUNCTIONS):
        op.execute(function)
    for signature in (*SIGNATURES, *INDEX_SIGNATURES):
        door(signature)
    for signature in INNER_SIGNATURES:
        op.execute(f"revoke all on function ali.{signature} from public")
    for name, (function, trigger) in TRIGGERS.items():
        op.execute(function)
        op.execute(f"revoke all on function ali.{name}() from public")
        op.execute(trigger)


def _tenant() -> tuple[sa.Column[object], ...]:
    return sa.Column("organization_id", sa.Uuid(), nullable=False), sa.Column("project_id", sa.Uuid(), nullable=False)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _of_store(table: str, *, column: str = "vector_store_id") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{SCHEMA}.vector_store.id"], name=f"{table}_{column}_fkey")


def _vector_store() -> None:
    op.create_table(
        "vector_store",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("description", sa.LargeBinary()),
        sa.Column("metadata", JSONB(), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), server_default="ready", nullable=False),
        sa.Column("expires_after_days", sa.Integer()),
        _now("created_at"),
        _now("last_active_at"),
        _moment("expires_at"),
        sa.Column("next_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chunks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("words", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("merge_due", sa.Boolean(), server_default="false", nullable=False),
        sa.PrimaryKeyConstraint("id", name="vector_store_pkey"),
        sa.CheckConstraint(
            "state in ('ready', 'expiring', 'expired', 'gone')", name=op.f("vector_store_state_known_check")
        ),
        schema=SCHEMA,
    )
    op.create_index("vector_store_project_id_id_idx", "vector_store", ["project_id", "id"], schema=SCHEMA)
    op.create_index(
        "vector_store_expires_at_idx",
        "vector_store",
        ["expires_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("expires_at is not null and state = 'ready'"),
    )
    op.create_index(
        "vector_store_leaving_idx",
        "vector_store",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state in ('expiring', 'gone')"),
    )
    op.create_index(
        "vector_store_merge_due_idx", "vector_store", ["id"], schema=SCHEMA, postgresql_where=sa.text("merge_due")
    )


def _store_file_batch() -> None:
    op.create_table(
        "store_file_batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        *_tenant(),
        _now("created_at"),
        _moment("cancelled_at"),
        sa.PrimaryKeyConstraint("id", name="store_file_batch_pkey"),
        _of_store("store_file_batch"),
        schema=SCHEMA,
    )
    op.create_index("store_file_batch_vector_store_id_idx", "store_file_batch", ["vector_store_id"], schema=SCHEMA)


def _store_document() -> None:
    op.create_table(
        "store_document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="ready", nullable=False),
        sa.Column("first_number", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("words", sa.BigInteger(), nullable=False),
        sa.Column("pages", sa.Integer()),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        _now("created_at"),
        _moment("gone_at"),
        sa.PrimaryKeyConstraint("id", name="store_document_pkey"),
        _of_store("store_document"),
        sa.CheckConstraint("state in ('ready', 'left', 'gone')", name=op.f("store_document_state_known_check")),
        schema=SCHEMA,
    )
    op.create_index(
        "store_document_content_key",
        "store_document",
        ["vector_store_id", "digest", "chunking"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state <> 'gone'"),
    )
    op.create_index(
        "store_document_gone_idx",
        "store_document",
        ["vector_store_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'gone'"),
    )
    op.create_index(
        "store_document_left_idx",
        "store_document",
        ["vector_store_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'left'"),
    )


def _store_file() -> None:
    op.create_table(
        "store_file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("document_id", sa.Uuid()),
        sa.Column("batch_id", sa.Uuid()),
        sa.Column("attributes", JSONB(), server_default="{}", nullable=False),
        sa.Column("chunking", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="in_progress", nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.LargeBinary()),
        sa.Column("pages_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pages", sa.Integer()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("instance_id", sa.Uuid()),
        _moment("claimed_at"),
        _moment("resume_at"),
        _now("created_at"),
        _moment("ended_at"),
        sa.PrimaryKeyConstraint("id", name="store_file_pkey"),
        sa.UniqueConstraint("vector_store_id", "file_id", name="store_file_vector_store_id_file_id_key"),
        _of_store("store_file"),
        sa.ForeignKeyConstraint(["document_id"], [f"{SCHEMA}.store_document.id"], name="store_file_document_id_fkey"),
        sa.ForeignKeyConstraint(["batch_id"], [f"{SCHEMA}.store_file_batch.id"], name="store_file_batch_id_fkey"),
        sa.CheckConstraint(
            "status in ('in_progress', 'completed', 'cancelled', 'failed')", name=op.f("store_file_status_known_check")
        ),
        schema=SCHEMA,
    )
    op.create_index("store_file_vector_store_id_id_idx", "store_file", ["vector_store_id", "id"], schema=SCHEMA)
    op.create_index(
        "store_file_vector_store_id_status_id_idx", "store_file", ["vector_store_id", "status", "id"], schema=SCHEMA
    )
    op.create_index("store_file_file_id_idx", "store_file", ["file_id"], schema=SCHEMA)
    op.create_index("store_file_document_id_idx", "store_file", ["document_id"], schema=SCHEMA)
    op.create_index(
        "store_file_batch_id_idx",
        "store_file",
        ["batch_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("batch_id is not null"),
    )
    op.create_index(
        "store_file_claimed_idx",
        "store_file",
        ["project_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'in_progress' and instance_id is not null"),
    )
    op.create_index(
        "store_file_unfinished_idx",
        "store_file",
        ["project_id", "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status = 'in_progress'"),
    )


def _store_chunk() -> None:
    op.create_table(
        "store_chunk",
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        *_tenant(),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.LargeBinary(), nullable=False),
        sa.Column("words", sa.Integer(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("vector_store_id", "number", name="store_chunk_pkey"),
        _of_store("store_chunk"),
        sa.ForeignKeyConstraint(["document_id"], [f"{SCHEMA}.store_document.id"], name="store_chunk_document_id_fkey"),
        schema=SCHEMA,
    )


def _index() -> None:
    op.create_table(
        "segment",
        # By a sequence of its own, so that a merge need not lock the store to name what it makes.
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("vector_store_id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("first_number", sa.Integer(), nullable=False),
        sa.Column("end_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="segment_pkey"),
        sa.UniqueConstraint("vector_store_id", "first_number", name="segment_vector_store_id_first_number_key"),
        _of_store("segment"),
        sa.CheckConstraint("first_number < end_number", name=op.f("segment_not_empty_check")),
        schema=SCHEMA,
    )
    op.create_table(
        "posting",
        sa.Column("segment_id", sa.BigInteger(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        *_tenant(),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("numbers", ARRAY(sa.Integer()), nullable=False),
        sa.Column("weights", ARRAY(sa.SmallInteger()), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "term", name="posting_pkey"),
        schema=SCHEMA,
    )
    # Uncompressed: hashes of chunks' words hardly shrink, and a search reads whole lists.
    for column in ("numbers", "weights"):
        op.execute(f"alter table ali.posting alter column {column} set storage external")
    # A merge deletes as much as it writes: the room must be free again soon, however large the table.
    for prefix in ("", "toast."):
        op.execute(
            f"alter table ali.posting set ({prefix}autovacuum_vacuum_scale_factor = 0.02,"
            f" {prefix}autovacuum_vacuum_cost_delay = 0)"
        )


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"drop function ali.{name}() cascade")
    for signature in (*SIGNATURES, *INDEX_SIGNATURES, *INNER_SIGNATURES):
        op.execute(f"drop function ali.{signature}")
    for table in reversed(_TABLES):
        op.drop_table(table, schema=SCHEMA)
