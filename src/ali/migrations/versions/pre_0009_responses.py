"""Conversations and their items; responses that are kept, and the events of those in the background."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ali.migrations import conversation_functions
from ali.migrations.response_functions import FUNCTIONS, SIGNATURES
from ali.migrations.tenancy import door, wall

revision: str = "pre_0009_responses"
down_revision: str | None = "pre_0008_sessions"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    _conversation()
    _conversation_item()
    _response()
    _response_event()
    wall("conversation", rights="select, insert, update, delete", by_project=True)
    wall("conversation_item", rights="select, insert, delete", by_project=True)
    wall("response", rights="select, update, delete", by_project=True)
    wall("response_event", rights="select", by_project=True)
    for function in (*FUNCTIONS, *conversation_functions.FUNCTIONS):
        op.execute(function)
    for signature in (*SIGNATURES, *conversation_functions.SIGNATURES):
        door(signature)


def _tenant() -> tuple[sa.Column[object], ...]:
    return sa.Column("organization_id", sa.Uuid(), nullable=False), sa.Column("project_id", sa.Uuid(), nullable=False)


def _created() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _conversation() -> None:
    op.create_table(
        "conversation",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_tenant(),
        _created(),
        sa.Column("metadata", JSONB(), server_default="{}", nullable=False),
        sa.Column("next_position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("claimed_by", sa.Uuid()),
        sa.Column("claim_instance_id", sa.Uuid()),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="conversation_pkey"),
        schema=SCHEMA,
    )
    op.create_index("conversation_project_id_idx", "conversation", ["project_id"], schema=SCHEMA)


def _conversation_item() -> None:
    op.create_table(
        "conversation_item",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        *_tenant(),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("response_id", sa.Uuid()),
        _created(),
        sa.PrimaryKeyConstraint("conversation_id", "position", name="conversation_item_pkey"),
        sa.UniqueConstraint("conversation_id", "item_id", name="conversation_item_conversation_id_item_id_key"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            [f"{SCHEMA}.conversation.id"],
            name="conversation_item_conversation_id_fkey",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )


def _response() -> None:
    op.create_table(
        "response",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_tenant(),
        sa.Column("previous_id", sa.Uuid()),
        sa.Column("conversation_id", sa.Uuid()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("background", sa.Boolean(), nullable=False),
        sa.Column("cancelling", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("instance_id", sa.Uuid()),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        _created(),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.Column("output", sa.LargeBinary(), nullable=False),
        sa.Column("output_ids", ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("request", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="response_pkey"),
        sa.CheckConstraint(
            "status in ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')",
            name=op.f("response_status_known_check"),
        ),
        schema=SCHEMA,
    )
    op.create_index("response_project_id_id_idx", "response", ["project_id", "id"], schema=SCHEMA)
    op.create_index(
        "response_unfinished_idx",
        "response",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("status in ('queued', 'in_progress')"),
    )
    op.create_index("response_output_ids_idx", "response", ["output_ids"], schema=SCHEMA, postgresql_using="gin")
    op.create_index(
        "response_previous_id_idx",
        "response",
        ["previous_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("previous_id is not null"),
    )


def _response_event() -> None:
    op.create_table(
        "response_event",
        sa.Column("response_id", sa.Uuid(), nullable=False),
        sa.Column("first_number", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        *_tenant(),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("response_id", "first_number", name="response_event_pkey"),
        sa.ForeignKeyConstraint(
            ["response_id"], [f"{SCHEMA}.response.id"], name="response_event_response_id_fkey", ondelete="CASCADE"
        ),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for signature in (*SIGNATURES, *conversation_functions.SIGNATURES):
        op.execute(f"drop function ali.{signature}")
    for table in ("response_event", "response", "conversation_item", "conversation"):
        op.drop_table(table, schema=SCHEMA)
