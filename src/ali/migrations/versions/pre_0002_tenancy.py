"""People, memberships, invitations, service accounts and the audit record; the wall between tenants."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ali.kernel.service_role import SERVICE_ROLE
from ali.migrations.tenancy import door, wall
from ali.migrations.usage_functions import SETTLE_USAGE

revision: str = "pre_0002_tenancy"
down_revision: str | None = "pre_0001_foundation"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"
CRUD = "select, insert, update, delete"


def upgrade() -> None:
    op.execute(f"grant usage on schema ali to {SERVICE_ROLE}")
    op.execute(f"grant select on ali.alembic_version, ali.access_epoch to {SERVICE_ROLE}")
    op.execute(f"grant {CRUD} on ali.service_instance to {SERVICE_ROLE}")
    _user_account()
    _project_member()
    _service_account()
    _invite()
    _api_key()
    _audit_event()
    wall("organization", rights="select, update", organization_column="id")
    wall("project", rights="select, insert, update")
    wall("user_account", rights=CRUD)
    wall("project_member", rights=CRUD, by_project=True)
    wall("service_account", rights=CRUD, by_project=True)
    wall("invite", rights=CRUD)
    wall("api_key", rights=CRUD)
    wall("usage_record", rights="select", by_project=True)
    wall("audit_event", rights="select, insert")
    _functions()


def _user_account() -> None:
    op.create_table(
        "user_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        _organization(),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("totp_secret", sa.LargeBinary()),
        sa.Column("totp_step", sa.BigInteger(), server_default="0", nullable=False),
        _created(),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="user_account_pkey"),
        _references("user_account", "organization_id", "organization"),
        sa.CheckConstraint("email = lower(email)", name=op.f("user_account_email_is_lower_case_check")),
        sa.UniqueConstraint("email", name="user_account_email_key"),
        schema=SCHEMA,
    )
    op.create_index("user_account_organization_id_idx", "user_account", ["organization_id"], schema=SCHEMA)


def _project_member() -> None:
    op.create_table(
        "project_member",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _organization(),
        sa.Column("role", sa.Text(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("project_id", "user_id", name="project_member_pkey"),
        _references("project_member", "organization_id", "organization"),
        _references("project_member", "project_id", "project"),
        _references("project_member", "user_id", "user_account", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_index("project_member_user_id_idx", "project_member", ["user_id"], schema=SCHEMA)


def _service_account() -> None:
    op.create_table(
        "service_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        _organization(),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        _created(),
        sa.PrimaryKeyConstraint("id", name="service_account_pkey"),
        _references("service_account", "organization_id", "organization"),
        _references("service_account", "project_id", "project"),
        schema=SCHEMA,
    )
    op.create_index("service_account_project_id_idx", "service_account", ["project_id"], schema=SCHEMA)


def _invite() -> None:
    op.create_table(
        "invite",
        sa.Column("id", sa.Uuid(), nullable=False),
        _organization(),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("projects", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Uuid()),
        _created(),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="invite_pkey"),
        _references("invite", "organization_id", "organization"),
        sa.UniqueConstraint("digest", name="invite_digest_key"),
        sa.CheckConstraint("email = lower(email)", name=op.f("invite_email_is_lower_case_check")),
        schema=SCHEMA,
    )
    op.create_index("invite_organization_id_idx", "invite", ["organization_id"], schema=SCHEMA)


def _api_key() -> None:
    op.add_column("api_key", sa.Column("user_id", sa.Uuid()), schema=SCHEMA)
    op.add_column("api_key", sa.Column("service_account_id", sa.Uuid()), schema=SCHEMA)
    op.add_column("api_key", sa.Column("permissions", postgresql.ARRAY(sa.Text())), schema=SCHEMA)
    op.add_column("api_key", sa.Column("allowed_models", postgresql.ARRAY(sa.Text())), schema=SCHEMA)
    op.add_column("api_key", sa.Column("allowed_networks", postgresql.ARRAY(sa.Text())), schema=SCHEMA)
    op.add_column("api_key", sa.Column("last_used_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    for column, table in (("user_id", "user_account"), ("service_account_id", "service_account")):
        op.create_foreign_key(
            f"api_key_{column}_fkey",
            *("api_key", table, [column], ["id"]),
            source_schema=SCHEMA,
            referent_schema=SCHEMA,
            ondelete="CASCADE",
        )
        op.create_index(f"api_key_{column}_idx", "api_key", [column], schema=SCHEMA)


def _audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        _created("occurred_at"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("address", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("target_kind", sa.Text()),
        sa.Column("target_id", sa.Text()),
        sa.Column("detail", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_event_pkey"),
        sa.CheckConstraint(
            "actor_kind in ('user', 'api_key', 'operator', 'service')", name=op.f("audit_event_actor_known_check")
        ),
        schema=SCHEMA,
    )
    op.create_index("audit_event_organization_id_id_idx", "audit_event", ["organization_id", "id"], schema=SCHEMA)


def _functions() -> None:
    op.execute(DEFAULT_PROJECT)
    op.execute("revoke all on function ali.default_project(uuid, uuid) from public")
    op.execute(RECOGNISE_CREDENTIAL)
    op.execute(MARK_KEYS_USED)
    op.execute(ADVANCE_EPOCH)
    op.execute(SETTLE_USAGE)
    op.execute(CLOSE_ORPHANS)
    for signature in SIGNATURES:
        door(signature)


# The present roles of the key's person or service account come along: they bound what the key may do. A credential of
# the whole organization that names no project acts in the first one of its person's, else in the organization's oldest.
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
    left join ali.project p on p.organization_id = k.organization_id and p.archived_at is null
        and p.id = coalesce(k.project_id, wanted_project, ali.default_project(k.organization_id, k.user_id))
    left join ali.user_account u on u.id = k.user_id
    left join ali.project_member m on m.user_id = k.user_id and m.project_id = p.id
    left join ali.service_account s on s.id = k.service_account_id;
end $$
"""

DEFAULT_PROJECT = """
create function ali.default_project(organization uuid, person uuid) returns uuid
language sql stable set search_path = pg_catalog, ali as $$
    select p.id from ali.project p
    left join ali.project_member m on m.project_id = p.id and m.user_id = person
    where p.organization_id = organization and p.archived_at is null
    order by m.user_id is null, p.id limit 1
$$
"""

MARK_KEYS_USED = """
create function ali.mark_keys_used(ids uuid[]) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.api_key set last_used_at = now()
    where id = any(ids) and (last_used_at is null or last_used_at < now() - interval '1 minute')
$$
"""

ADVANCE_EPOCH = """
create function ali.advance_access_epoch() returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.access_epoch set value = value + 1
$$
"""

CLOSE_ORPHANS = """
create function ali.close_orphans(dead_after interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare closed bigint;
begin
    update ali.usage_record set outcome = 'lost', error_code = 'process_died'
    where id in (
        select r.id from ali.usage_record r
        left join ali.service_instance i on i.id = r.instance_id
        where r.outcome = 'open' and (i.id is null or i.heartbeat_at < now() - dead_after)
        limit 1000 for update of r skip locked
    );
    get diagnostics closed = row_count;
    return closed;
end $$
"""

SIGNATURES = (
    "recognise_credential(bytea, uuid)",
    "mark_keys_used(uuid[])",
    "advance_access_epoch()",
    "settle_usage(jsonb)",
    "close_orphans(interval)",
)


def _organization() -> sa.Column[object]:
    return sa.Column("organization_id", sa.Uuid(), nullable=False)


def _created(name: str = "created_at") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _references(table: str, column: str, target: str, *, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{SCHEMA}.{target}.id"], name=f"{table}_{column}_fkey", ondelete=ondelete
    )


def downgrade() -> None:
    for signature in SIGNATURES:
        op.execute(f"drop function ali.{signature}")
    op.execute("drop function ali.default_project(uuid, uuid)")
    for table in ("organization", "project", "usage_record", "api_key"):
        op.execute(f"drop policy tenant on ali.{table}")
        op.execute(f"drop policy owner on ali.{table}")
        op.execute(f"alter table ali.{table} disable row level security")
        op.execute(f"alter table ali.{table} no force row level security")
    for column in (
        "user_id",
        "service_account_id",
        "permissions",
        "allowed_models",
        "allowed_networks",
        "last_used_at",
    ):
        op.drop_column("api_key", column, schema=SCHEMA)
    for table in ("audit_event", "invite", "service_account", "project_member", "user_account"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"revoke all on all tables in schema ali from {SERVICE_ROLE}")
    op.execute(f"revoke usage on schema ali from {SERVICE_ROLE}")
