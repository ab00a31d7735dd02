"""Organizations, projects, API keys, usage records and service instances."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "pre_0001_foundation"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _created("created_at"),
        sa.PrimaryKeyConstraint("id", name="organization_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _created("created_at"),
        sa.Column("archived_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="project_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"], [f"{SCHEMA}.organization.id"], name="project_organization_id_fkey"
        ),
        schema=SCHEMA,
    )
    op.create_index("project_organization_id_idx", "project", ["organization_id"], schema=SCHEMA)
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        _created("created_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="api_key_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"], [f"{SCHEMA}.organization.id"], name="api_key_organization_id_fkey"
        ),
        sa.ForeignKeyConstraint(["project_id"], [f"{SCHEMA}.project.id"], name="api_key_project_id_fkey"),
        sa.UniqueConstraint("digest", name="api_key_digest_key"),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("api_key_digest_is_sha256_check")),
        schema=SCHEMA,
    )
    op.create_index("api_key_organization_id_idx", "api_key", ["organization_id"], schema=SCHEMA)
    op.create_index("api_key_project_id_idx", "api_key", ["project_id"], schema=SCHEMA)
    _access_epoch()
    _usage_record()
    _service_instance()


def _access_epoch() -> None:
    op.create_table(
        "access_epoch",
        sa.Column("only", sa.Boolean(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("only", name="access_epoch_pkey"),
        sa.CheckConstraint('"only"', name=op.f("access_epoch_single_row_check")),
        schema=SCHEMA,
    )
    op.execute('insert into ali.access_epoch ("only", value) values (true, 0)')


def _usage_record() -> None:
    op.create_table(
        "usage_record",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid()),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text()),
        sa.Column("upstream_model", sa.Text()),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("error_code", sa.Text()),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("usage_reported", sa.Boolean(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("cached_input_tokens", sa.Integer(), nullable=False),
        sa.Column("cache_write_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("reasoning_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_microusd", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_token_ms", sa.Integer()),
        sa.Column("duration_ms", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="usage_record_pkey"),
        sa.CheckConstraint(
            "outcome in ('open','ok','error','cancelled','lost')", name=op.f("usage_record_outcome_known_check")
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "usage_record_project_id_started_at_idx", "usage_record", ["project_id", "started_at"], schema=SCHEMA
    )
    op.create_index(
        "usage_record_open_idx",
        "usage_record",
        ["instance_id"],
        postgresql_where=sa.text("outcome = 'open'"),
        schema=SCHEMA,
    )
    # Settling updates `outcome`, which the partial index depends on, so no such update can be heap-only and spare space
    # in a page would stay unused. Each row leaves one dead version behind: a fifth of a table that only grows is too
    # long to wait for a vacuum.
    op.execute(
        "alter table ali.usage_record set (autovacuum_vacuum_scale_factor = 0.02, "
        "autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05)"
    )


def _service_instance() -> None:
    op.create_table(
        "service_instance",
        sa.Column("id", sa.Uuid(), nullable=False),
        _created("started_at"),
        _created("heartbeat_at"),
        sa.PrimaryKeyConstraint("id", name="service_instance_pkey"),
        schema=SCHEMA,
    )
    # A few rows, each updated every few seconds in a column without index: with room in the page the update is
    # heap-only, and is pruned without a vacuum.
    op.execute("alter table ali.service_instance set (fillfactor = 20)")


def _created(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def downgrade() -> None:
    for table in ("service_instance", "usage_record", "access_epoch", "api_key", "project", "organization"):
        op.drop_table(table, schema=SCHEMA)
