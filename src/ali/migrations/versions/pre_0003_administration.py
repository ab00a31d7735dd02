"""Keys that never outgrow whoever they belong to, and one open invitation for each e-mail address."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.tenancy import door

revision: str = "pre_0003_administration"
down_revision: str | None = "pre_0002_tenancy"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"
SIGNATURE = "recognise_credential(bytea, uuid)"


def upgrade() -> None:
    op.create_index(
        "invite_open_email_key",
        "invite",
        ["organization_id", "email"],
        unique=True,
        postgresql_where=sa.text("accepted_at is null"),
        schema=SCHEMA,
    )
    op.execute(RECOGNISE_CREDENTIAL)
    door(SIGNATURE)


# Beside `recognise_key`, which the previous release still calls: the same, and the present roles of the key's person
# or service account, which bound what the key may do.
RECOGNISE_CREDENTIAL = """
create function ali.recognise_credential(digest bytea, wanted_project uuid)
returns table (
    id uuid, organization_id uuid, project_id uuid, role text, expires_at timestamptz, user_id uuid,
    service_account_id uuid, permissions text[], allowed_models text[], allowed_networks text[], bound_project uuid,
    user_role text, member_role text, account_role text, epoch bigint
)
language plpgsql stable security definer set search_path = pg_catalog, ali as $$
begin
    return query
    select k.id, k.organization_id, p.id, k.role, k.expires_at, k.user_id, k.service_account_id, k.permissions,
        k.allowed_models, k.allowed_networks, k.project_id, u.role, m.role, s.role, e.value
    from ali.access_epoch e
    left join ali.api_key k on k.digest = recognise_credential.digest and k.revoked_at is null
        and not exists (select from ali.user_account d where d.id = k.user_id and d.disabled_at is not null)
        and not exists (select from ali.project a where a.id = k.project_id and a.archived_at is not null)
    left join ali.project p on p.id = coalesce(k.project_id, wanted_project)
        and p.organization_id = k.organization_id and p.archived_at is null
    left join ali.user_account u on u.id = k.user_id
    left join ali.project_member m on m.user_id = k.user_id and m.project_id = p.id
    left join ali.service_account s on s.id = k.service_account_id;
end $$
"""


def downgrade() -> None:
    op.execute(f"drop function ali.{SIGNATURE}")
    op.drop_index("invite_open_email_key", "invite", schema=SCHEMA)
