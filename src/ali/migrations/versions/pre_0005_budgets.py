"""Budgets: what may be spent, what was, what is held for running calls, and whom to tell."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ali.migrations.budget_functions import DOORS, DROP, FUNCTIONS
from ali.migrations.tenancy import door, wall
from ali.migrations.usage_functions import SETTLE_USAGE

revision: str = "pre_0005_budgets"
down_revision: str | None = "pre_0004_limits"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    _budget()
    _budget_period()
    _budget_reservation()
    _budget_notice()
    wall("budget", rights="select, insert, update, delete", by_project=True)
    for table in ("budget_period", "budget_reservation", "budget_notice"):
        wall(table, rights="select")
    for function in FUNCTIONS:
        op.execute(function)
    op.execute("revoke all on function ali.charge_budgets(ali.usage_record[]) from public")
    for signature in DOORS:
        door(signature)


def _budget() -> None:
    op.create_table(
        "budget",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("scope_kind", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("limit_microusd", sa.BigInteger(), nullable=False),
        sa.Column("warn_percents", postgresql.ARRAY(sa.SmallInteger()), server_default="{}", nullable=False),
        sa.Column("webhook_url", sa.Text()),
        _now("created_at"),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("id", name="budget_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"], [f"{SCHEMA}.organization.id"], name="budget_organization_id_fkey", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("scope_id", "scope_kind", "period", "mode", name="budget_scope_key"),
        sa.CheckConstraint(
            "scope_kind in ('organization', 'project', 'key', 'user')", name=op.f("budget_scope_known_check")
        ),
        sa.CheckConstraint("period in ('day', 'month')", name=op.f("budget_period_known_check")),
        sa.CheckConstraint("mode in ('hard', 'soft')", name=op.f("budget_mode_known_check")),
        sa.CheckConstraint("limit_microusd > 0", name=op.f("budget_limit_is_positive_check")),
        schema=SCHEMA,
    )
    op.create_index("budget_organization_id_id_idx", "budget", ["organization_id", "id"], schema=SCHEMA)


def _budget_period() -> None:
    op.create_table(
        "budget_period",
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("spent_microusd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_microusd", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "period_start", name="budget_period_pkey"),
        sa.CheckConstraint(
            "spent_microusd >= 0 and reserved_microusd >= 0", name=op.f("budget_period_sums_are_sound_check")
        ),
        schema=SCHEMA,
        # Two updates a request, each within the page: PostgreSQL prunes them as it goes.
        postgresql_with={"fillfactor": 50},
    )


def _budget_reservation() -> None:
    op.create_table(
        "budget_reservation",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("amount_microusd", sa.BigInteger(), nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("request_id", "budget_id", name="budget_reservation_pkey"),
        schema=SCHEMA,
    )
    op.create_index("budget_reservation_budget_id_idx", "budget_reservation", ["budget_id"], schema=SCHEMA)


def _budget_notice() -> None:
    op.create_table(
        "budget_notice",
        sa.Column("budget_id", sa.Uuid(), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("percent", sa.SmallInteger(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("spent_microusd", sa.BigInteger(), nullable=False),
        sa.Column("limit_microusd", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        _now("created_at"),
        sa.PrimaryKeyConstraint("budget_id", "period_start", "percent", name="budget_notice_pkey"),
        schema=SCHEMA,
    )
    op.create_index(
        "budget_notice_due_at_idx",
        "budget_notice",
        ["due_at"],
        schema=SCHEMA,
        postgresql_where="due_at is not null",
    )


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def downgrade() -> None:
    op.execute(SETTLE_USAGE)
    op.execute(DROP)
    for table in ("budget_notice", "budget_reservation", "budget_period", "budget"):
        op.drop_table(table, schema=SCHEMA)
