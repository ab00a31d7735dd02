"""Sessions of people, what they sign in with, and the keys of their access tokens."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.kernel.service_role import SERVICE_ROLE
from ali.migrations.tenancy import door, wall

revision: str = "pre_0008_sessions"
down_revision: str | None = "pre_0007_approvals"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"
CRUD = "select, insert, update, delete"


def upgrade() -> None:
    _session()
    _recovery_code()
    _password_reset()
    _openid_identity()
    for table in ("session", "recovery_code", "password_reset", "openid_identity"):
        wall(table, rights=CRUD)
    _of_no_tenant()
    op.execute(f"grant {CRUD} on ali.openid_attempt, ali.sign_in_failure to {SERVICE_ROLE}")
    op.execute(f"grant select on ali.signing_key to {SERVICE_ROLE}")
    for function in FUNCTIONS:
        op.execute(function)
    for signature in SIGNATURES:
        door(signature)


def _session() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_of_a_person(),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("current", sa.LargeBinary(), nullable=False),
        _time("created_at"),
        _time("last_used_at"),
        sa.Column("second_factor_at", sa.DateTime(timezone=True)),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("end_reason", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="session_pkey"),
        *_references("session"),
        sa.CheckConstraint("octet_length(current) = 32", name=op.f("session_current_is_sha256_check")),
        sa.CheckConstraint("(ended_at is null) = (end_reason is null)", name=op.f("session_end_has_its_reason_check")),
        schema=SCHEMA,
    )
    op.create_index("session_organization_id_idx", "session", ["organization_id"], schema=SCHEMA)
    op.create_index("session_user_id_idx", "session", ["user_id"], schema=SCHEMA)
    op.create_index("session_last_used_at_idx", "session", ["last_used_at"], schema=SCHEMA)


def _recovery_code() -> None:
    op.create_table(
        "recovery_code",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        *_of_a_person(),
        _time("created_at"),
        sa.PrimaryKeyConstraint("digest", name="recovery_code_pkey"),
        *_references("recovery_code"),
        schema=SCHEMA,
    )
    op.create_index("recovery_code_user_id_idx", "recovery_code", ["user_id"], schema=SCHEMA)


def _password_reset() -> None:
    op.create_table(
        "password_reset",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        *_of_a_person(),
        _time("created_at"),
        _time("expires_at", default=False),
        sa.PrimaryKeyConstraint("digest", name="password_reset_pkey"),
        *_references("password_reset"),
        schema=SCHEMA,
    )
    op.create_index("password_reset_user_id_idx", "password_reset", ["user_id"], schema=SCHEMA)
    op.create_index("password_reset_expires_at_idx", "password_reset", ["expires_at"], schema=SCHEMA)


def _openid_identity() -> None:
    op.create_table(
        "openid_identity",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        *_of_a_person(),
        _time("created_at"),
        sa.PrimaryKeyConstraint("issuer", "subject", name="openid_identity_pkey"),
        *_references("openid_identity"),
        schema=SCHEMA,
    )
    op.create_index("openid_identity_user_id_idx", "openid_identity", ["user_id"], schema=SCHEMA)


def _of_no_tenant() -> None:
    """What comes before a tenant is known, and the installation's own keys: keyed hashes and sealed values alone."""
    op.create_table(
        "openid_attempt",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _time("expires_at", default=False),
        sa.PrimaryKeyConstraint("digest", name="openid_attempt_pkey"),
        schema=SCHEMA,
    )
    op.create_index("openid_attempt_expires_at_idx", "openid_attempt", ["expires_at"], schema=SCHEMA)
    op.create_table(
        "sign_in_failure",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        _time("last_at", default=False),
        sa.PrimaryKeyConstraint("key", name="sign_in_failure_pkey"),
        schema=SCHEMA,
    )
    op.create_index("sign_in_failure_last_at_idx", "sign_in_failure", ["last_at"], schema=SCHEMA)
    op.create_table(
        "signing_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        _time("created_at"),
        sa.Column("retired_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("kid", name="signing_key_pkey"),
        schema=SCHEMA,
    )


# By e-mail address, which is known once in the installation: the one question that is asked before a password is.
ACCOUNT_OF_EMAIL = """
create function ali.account_of_email(wanted text)
returns table (id uuid, organization_id uuid, password_hash text, has_second_factor boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, u.organization_id, u.password_hash, u.totp_secret is not null
    from ali.user_account u where u.email = wanted and u.disabled_at is null
$$
"""

ACCOUNT_OF_ISSUER = """
create function ali.account_of_issuer(wanted_issuer text, wanted_subject text)
returns table (id uuid, organization_id uuid, enabled boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, u.organization_id, u.disabled_at is null
    from ali.openid_identity i join ali.user_account u on u.id = i.user_id
    where i.issuer = wanted_issuer and i.subject = wanted_subject
$$
"""

# What a one-time secret is of; it is used up in the tenant's own transaction.
ACCOUNT_OF_RESET = """
create function ali.account_of_reset(wanted bytea)
returns table (id uuid, organization_id uuid, email text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select u.id, u.organization_id, u.email
    from ali.password_reset r join ali.user_account u on u.id = r.user_id
    where r.digest = wanted and r.expires_at > now() and u.disabled_at is null
$$
"""

INVITE_OF_DIGEST = """
create function ali.invite_of_digest(wanted bytea)
returns table (id uuid, organization_id uuid, email text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select i.id, i.organization_id, i.email
    from ali.invite i where i.digest = wanted and i.accepted_at is null and i.expires_at > now()
$$
"""

ORGANIZATION_OF_SESSION = """
create function ali.organization_of_session(wanted uuid) returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.organization_id from ali.session s where s.id = wanted
$$
"""

ONLY_ORGANIZATION = """
create function ali.only_organization() returns uuid
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select (array_agg(o.id))[1] from (select id from ali.organization limit 2) o having count(*) = 1
$$
"""

# One row always: the session with what its person may be, or NULLs; and the epoch at which that was true.
RECOGNISE_SESSION = """
create function ali.recognise_session(wanted uuid, person uuid, wanted_project uuid)
returns table (organization_id uuid, role text, project_id uuid, member_role text, epoch bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select s.organization_id, u.role, p.id, m.role, e.value
    from ali.access_epoch e
    left join ali.user_account u on u.id = person and u.disabled_at is null
    left join ali.session s on s.id = wanted and s.user_id = u.id and s.ended_at is null
    left join ali.project p on p.organization_id = s.organization_id and p.archived_at is null
        and p.id = coalesce(wanted_project, ali.default_project(s.organization_id, u.id))
    left join ali.project_member m on m.project_id = p.id and m.user_id = u.id;
end $$
"""

# Rows that somebody else has locked are skipped. An ended session is kept for 30 days, for whoever looks into it; one
# that nobody used for 14 days has run out.
TIDY = """
create function ali.tidy_sign_in(most integer) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from ali.session where id in (
        select s.id from ali.session s where s.last_used_at < now() - interval '44 days'
        order by s.last_used_at limit most for update skip locked
    );
    delete from ali.password_reset where digest in (
        select r.digest from ali.password_reset r where r.expires_at < now() - interval '1 day'
        order by r.expires_at limit most for update skip locked
    );
    delete from ali.openid_attempt where digest in (
        select a.digest from ali.openid_attempt a where a.expires_at < now()
        order by a.expires_at limit most for update skip locked
    );
    delete from ali.sign_in_failure where key in (
        select f.key from ali.sign_in_failure f where f.last_at < now() - interval '1 day'
        order by f.last_at limit most for update skip locked
    );
    delete from ali.signing_key where retired_at < now() - interval '1 day'
$$
"""

# Over HTTP an organization's people reach this, and the keys are the installation's: where it has several
# organizations, none of them may. A key that signs is replaced in the same act.
DESTROY_SIGNING_KEY = """
create function ali.destroy_signing_key(doomed text, new_kid text, new_algorithm text, new_wrapped bytea)
returns table (allowed boolean, destroyed boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    allowed := ali.only_organization() is not null;
    destroyed := false;
    if allowed then
        lock table ali.signing_key in share row exclusive mode;
        delete from ali.signing_key k where k.kid = doomed returning true into destroyed;
        destroyed := coalesce(destroyed, false);
        if destroyed and not exists (select from ali.signing_key k where k.retired_at is null) then
            insert into ali.signing_key (kid, algorithm, wrapped) values (new_kid, new_algorithm, new_wrapped);
        end if;
    end if;
    return next;
end $$
"""

FUNCTIONS = (
    *(ACCOUNT_OF_EMAIL, ACCOUNT_OF_ISSUER, ACCOUNT_OF_RESET, INVITE_OF_DIGEST, ORGANIZATION_OF_SESSION),
    *(ONLY_ORGANIZATION, RECOGNISE_SESSION, TIDY, DESTROY_SIGNING_KEY),
)
SIGNATURES = (
    "account_of_email(text)",
    "account_of_issuer(text, text)",
    "account_of_reset(bytea)",
    "invite_of_digest(bytea)",
    "organization_of_session(uuid)",
    "only_organization()",
    "recognise_session(uuid, uuid, uuid)",
    "tidy_sign_in(integer)",
    "destroy_signing_key(text, text, text, bytea)",
)


def _of_a_person() -> tuple[sa.Column[object], sa.Column[object]]:
    return sa.Column("organization_id", sa.Uuid(), nullable=False), sa.Column("user_id", sa.Uuid(), nullable=False)


def _time(name: str, *, default: bool = True) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.func.now() if default else None, nullable=False
    )


def _references(table: str) -> tuple[sa.ForeignKeyConstraint, sa.ForeignKeyConstraint]:
    return (
        sa.ForeignKeyConstraint(
            ["organization_id"], [f"{SCHEMA}.organization.id"], name=f"{table}_organization_id_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], [f"{SCHEMA}.user_account.id"], name=f"{table}_user_id_fkey", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    for signature in reversed(SIGNATURES):
        op.execute(f"drop function ali.{signature}")
    for table in (
        *("signing_key", "sign_in_failure", "openid_attempt", "openid_identity", "password_reset", "recovery_code"),
        "session",
    ):
        op.drop_table(table, schema=SCHEMA)
