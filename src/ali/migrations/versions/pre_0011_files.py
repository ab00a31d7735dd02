"""Files of the projects: what the database knows of each, whose bytes are in object storage."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.tenancy import door, wall

revision: str = "pre_0011_files"
down_revision: str | None = "pre_0010_stored_completions"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    op.create_table(
        "file",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("object_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("holds", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="file_pkey"),
        sa.UniqueConstraint("object_name", name="file_object_name_key"),
        sa.CheckConstraint("state in ('writing', 'ready', 'gone')", name=op.f("file_state_known_check")),
        sa.CheckConstraint("holds >= 0", name=op.f("file_holds_counted_check")),
        schema=SCHEMA,
    )
    op.create_index("file_project_id_id_idx", "file", ["project_id", "id"], schema=SCHEMA)
    op.create_index("file_not_ready_idx", "file", ["id"], schema=SCHEMA, postgresql_where=sa.text("state <> 'ready'"))
    op.create_index(
        "file_expires_at_idx", "file", ["expires_at"], schema=SCHEMA, postgresql_where=sa.text("expires_at is not null")
    )
    wall("file", rights="select, insert, update", by_project=True)
    op.execute(SWEEP)
    op.execute(FORGET)
    for signature in SIGNATURES:
        door(signature)


# What has expired or was given up becomes `gone`, and stays so until its object is gone too: a crash between the two
# leaves a row that leads to the object, never an object that nothing leads to.
SWEEP = """
create function ali.sweep_files(abandoned_after interval, at_most integer) returns table (id uuid, object_name text)
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    return query
    with chosen as (
        select f.id from ali.file f
        where f.holds = 0 and (
            f.state = 'gone' or f.expires_at <= now()
            or (f.state = 'writing' and f.created_at < now() - abandoned_after)
        )
        order by f.id limit at_most for update skip locked
    )
    update ali.file f set state = 'gone' from chosen c where f.id = c.id returning f.id, f.object_name;
end $$
"""

FORGET = """
create function ali.forget_files(ids uuid[]) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    delete from ali.file f where f.id = any(ids) and f.state = 'gone';
$$
"""

SIGNATURES = ("sweep_files(interval, integer)", "forget_files(uuid[])")


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"drop function ali.{signature}")
    op.drop_table("file", schema=SCHEMA)
