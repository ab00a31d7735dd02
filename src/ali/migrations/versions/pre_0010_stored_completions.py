"""Chat completions that are kept, written together with the usage of their request."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from ali.migrations.tenancy import door, wall

revision: str = "pre_0010_stored_completions"
down_revision: str | None = "pre_0009_responses"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"

# The completion before the usage, whose locks others wait for. A server that gives an identifier again replaces what
# it gave it to before: callers know the newer one by it.
SETTLE: Final = """
create function ali.settle_completion(
    batch jsonb, completion uuid, organization uuid, project uuid, named text, asked_model text, used_model text,
    tags jsonb, asked bytea, answered bytea
) returns void
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    insert into ali.chat_completion (
        id, organization_id, project_id, public_id, model, answering_model, metadata, messages, answer
    ) values (completion, organization, project, named, asked_model, used_model, tags, asked, answered)
    on conflict (project_id, public_id) do update set
        id = excluded.id, organization_id = excluded.organization_id, created_at = excluded.created_at,
        model = excluded.model, answering_model = excluded.answering_model, metadata = excluded.metadata,
        messages = excluded.messages, answer = excluded.answer;
    perform ali.settle_usage(batch);
end $$
"""
SIGNATURE: Final = "settle_completion(jsonb, uuid, uuid, uuid, text, text, text, jsonb, bytea, bytea)"


def upgrade() -> None:
    op.create_table(
        "chat_completion",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("answering_model", sa.Text(), nullable=False),
        sa.Column("metadata", JSONB(), server_default="{}", nullable=False),
        sa.Column("messages", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="chat_completion_pkey"),
        sa.UniqueConstraint("project_id", "public_id", name="chat_completion_project_id_public_id_key"),
        schema=SCHEMA,
    )
    op.create_index("chat_completion_project_id_id_idx", "chat_completion", ["project_id", "id"], schema=SCHEMA)
    wall("chat_completion", rights="select, update, delete", by_project=True)
    op.execute(SETTLE)
    door(SIGNATURE)


def downgrade() -> None:
    op.execute(f"drop function ali.{SIGNATURE}")
    op.drop_table("chat_completion", schema=SCHEMA)
