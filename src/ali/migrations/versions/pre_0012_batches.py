"""Batches of requests, and their lines while they run."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from ali.migrations.batch_functions import FUNCTIONS, SIGNATURES
from ali.migrations.tenancy import door, wall

revision: str = "pre_0012_batches"
down_revision: str | None = "pre_0011_files"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    _batch()
    _batch_line()
    wall("batch", rights="select, insert, update, delete", by_project=True)
    wall("batch_line", rights="select", by_project=True)
    for function in FUNCTIONS:
        op.execute(function)
    for signature in SIGNATURES:
        door(signature)


def _tenant() -> tuple[sa.Column[object], ...]:
    return sa.Column("organization_id", sa.Uuid(), nullable=False), sa.Column("project_id", sa.Uuid(), nullable=False)


def _moments(*names: str) -> tuple[sa.Column[object], ...]:
    return tuple(sa.Column(name, sa.DateTime(timezone=True)) for name in names)


def _counts(*names: str) -> tuple[sa.Column[object], ...]:
    return tuple(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in names)


def _batch() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("api_key_id", sa.Uuid()),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("anthropic_version", sa.Text()),
        sa.Column("anthropic_beta", sa.Text()),
        sa.Column("metadata", JSONB()),
        sa.Column("input_file_id", sa.Uuid(), nullable=False),
        sa.Column("input_object", sa.Text(), nullable=False),
        sa.Column("output_file_id", sa.Uuid()),
        sa.Column("error_file_id", sa.Uuid()),
        sa.Column("output_ttl_s", sa.Integer(), nullable=False),
        sa.Column("errors", sa.LargeBinary()),
        *_counts("total", "completed", "failed"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        *_moments("in_progress_at", "finalizing_at", "cancelling_at", "ended_at"),
        sa.Column("instance_id", sa.Uuid()),
        *_moments("claimed_at", "resume_at"),
        sa.PrimaryKeyConstraint("id", name="batch_pkey"),
        sa.CheckConstraint("dialect in ('openai', 'anthropic')", name=op.f("batch_dialect_known_check")),
        sa.CheckConstraint(
            "status in ('validating', 'in_progress', 'finalizing', 'cancelling', 'completed', 'failed', 'expired',"
            " 'cancelled')",
            name=op.f("batch_status_known_check"),
        ),
        schema=SCHEMA,
    )
    op.create_index("batch_project_id_id_idx", "batch", ["project_id", "id"], schema=SCHEMA)
    op.create_index(
        "batch_unfinished_idx",
        "batch",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status in ('validating', 'in_progress', 'finalizing', 'cancelling')"),
    )


def _batch_line() -> None:
    op.create_table(
        "batch_line",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *_tenant(),
        sa.Column("start_byte", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("result", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("batch_id", "position", name="batch_line_pkey"),
        sa.ForeignKeyConstraint(
            ["batch_id"], [f"{SCHEMA}.batch.id"], name="batch_line_batch_id_fkey", ondelete="CASCADE"
        ),
        sa.CheckConstraint("outcome in ('completed', 'failed')", name=op.f("batch_line_outcome_known_check")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"drop function ali.{signature}")
    for table in ("batch_line", "batch"):
        op.drop_table(table, schema=SCHEMA)
