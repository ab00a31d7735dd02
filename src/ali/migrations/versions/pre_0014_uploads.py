"""What files hold, so that equal bytes are stored once, and uploads of files in parts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.file_functions import FORGET_UPLOADS, SIGNATURES, SWEEP, SWEEP_BEFORE
from ali.migrations.tenancy import door, wall

revision: str = "pre_0014_uploads"
down_revision: str | None = "pre_0013_knowledge"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.Text()),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("ttl_s", sa.Integer()),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("file_id", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="upload_pkey"),
        sa.CheckConstraint("status in ('pending', 'completed', 'cancelled')", name=op.f("upload_status_known_check")),
        schema=SCHEMA,
    )
    op.create_index("upload_expires_at_idx", "upload", ["expires_at"], schema=SCHEMA)
    op.create_index("upload_project_id_idx", "upload", ["project_id"], schema=SCHEMA)
    wall("upload", rights="select, insert, update", by_project=True)
    op.add_column("file", sa.Column("digest", sa.LargeBinary()), schema=SCHEMA)
    op.add_column("file", sa.Column("media_type", sa.Text()), schema=SCHEMA)
    op.add_column("file", sa.Column("upload_id", sa.Uuid()), schema=SCHEMA)
    op.drop_constraint("file_object_name_key", "file", schema=SCHEMA)
    op.create_index("file_object_name_idx", "file", ["object_name"], schema=SCHEMA)
    op.create_index(
        "file_content_idx",
        "file",
        ["project_id", "digest"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'ready' and digest is not null"),
    )
    op.create_index(
        "file_upload_id_idx", "file", ["upload_id"], schema=SCHEMA, postgresql_where=sa.text("upload_id is not null")
    )
    op.execute(SWEEP)
    op.execute(FORGET_UPLOADS)
    for signature in SIGNATURES:
        door(signature)


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"drop function ali.{signature}")
    op.execute(SWEEP_BEFORE)
    op.drop_index("file_upload_id_idx", "file", schema=SCHEMA)
    op.drop_index("file_content_idx", "file", schema=SCHEMA)
    op.drop_index("file_object_name_idx", "file", schema=SCHEMA)
    op.create_unique_constraint("file_object_name_key", "file", ["object_name"], schema=SCHEMA)
    for column in ("upload_id", "media_type", "digest"):
        op.drop_column("file", column, schema=SCHEMA)
    op.drop_table("upload", schema=SCHEMA)
