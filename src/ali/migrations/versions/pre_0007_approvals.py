"""Second signatures, and the organization's choice to ask for them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.tenancy import wall

revision: str = "pre_0007_approvals"
down_revision: str | None = "pre_0006_idempotency"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    op.add_column(
        "organization",
        sa.Column("four_eyes", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        schema=SCHEMA,
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Uuid()),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decision", sa.Text()),
        sa.Column("spent_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="approval_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"], [f"{SCHEMA}.organization.id"], name="approval_organization_id_fkey"
        ),
        sa.CheckConstraint("decision in ('approved', 'refused')", name=op.f("approval_decision_known_check")),
        sa.CheckConstraint(
            "(decision is null) = (decided_at is null)", name=op.f("approval_decision_has_its_time_check")
        ),
        sa.CheckConstraint("decided_by <> requested_by", name=op.f("approval_two_people_check")),
        schema=SCHEMA,
    )
    op.create_index("approval_organization_id_idx", "approval", ["organization_id"], schema=SCHEMA)
    wall("approval", rights="select, insert, update")


def downgrade() -> None:
    op.drop_table("approval", schema=SCHEMA)
    op.drop_column("organization", "four_eyes", schema=SCHEMA)
