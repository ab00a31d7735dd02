"""One open invitation for each e-mail address of an organization."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "pre_0003_administration"
down_revision: str | None = "pre_0002_tenancy"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    op.create_index(
        "invite_open_email_key",
        "invite",
        ["organization_id", "email"],
        unique=True,
        postgresql_where=sa.text("accepted_at is null"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_index("invite_open_email_key", "invite", schema=SCHEMA)
