"""Rate limits: the rules that people set, and PostgreSQL's own counters for where Redis is absent or away."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.tenancy import door, wall

revision: str = "pre_0004_limits"
down_revision: str | None = "pre_0003_administration"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"

# Locks are advisory, by the first 8 bytes of the keys and in their order, so that checks of the same keys queue and
# never deadlock. They are held to the end of the transaction, which is the call; READ COMMITTED gives each statement in
# it a snapshot that is taken after the lock. A window has 121 buckets: 120, and the one that its beginning cuts.
LOCK = """
create function ali.limit_lock(keys bytea[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    lock bigint;
begin
    for lock in
        select distinct ('x' || encode(substr(k, 1, 8), 'hex'))::bit(64)::bigint from unnest(keys) as k order by 1
    loop
        perform pg_advisory_xact_lock(lock);
    end loop;
end
$$
"""

NOW = """
create function ali.limit_now() returns bigint
language sql volatile return (extract(epoch from clock_timestamp()) * 1000000)::bigint
"""

CHECK = """
create function ali.limit_check(
    keys bytea[], limits bigint[], widths bigint[], amounts bigint[], new_lease bytea, lease_us bigint, given_us bigint
) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    now_us bigint;
    used bigint;
    newest bigint;
    reset bigint;
    wait bigint;
    excess bigint;
    refusing int := 0;
    longest bigint := -1;
    standings bigint[] := '{}';
begin
    perform ali.limit_lock(keys);
    now_us := coalesce(given_us, ali.limit_now());
    for i in 1..cardinality(keys) loop
        if widths[i] = 0 then
            select count(*) into used from ali.limit_lease l where l.key = keys[i] and l.expires_us > now_us;
            reset := 0;
        else
            select coalesce(sum(b.amount), 0), max(b.bucket) into used, newest
            from ali.limit_bucket b where b.key = keys[i] and b.bucket >= now_us / widths[i] - 120;
            reset := case when used = 0 then 0 else (newest + 121) * widths[i] - now_us end;
        end if;
        excess := used + amounts[i] - limits[i];
        if excess > 0 then
            if widths[i] = 0 then
                wait := 1000000;
            else
                select coalesce(min((s.bucket + 121) * widths[i] - now_us) filter (where s.freed >= excess), reset)
                into wait
                from (
                    select b.bucket, sum(b.amount) over (order by b.bucket) as freed
                    from ali.limit_bucket b where b.key = keys[i] and b.bucket >= now_us / widths[i] - 120
                ) s;
            end if;
            if wait > longest then
                refusing := i;
                longest := wait;
            end if;
        end if;
        standings := standings || used || reset;
    end loop;
    if refusing = 0 then
        for i in 1..cardinality(keys) loop
            standings[2 * i - 1] := standings[2 * i - 1] + amounts[i];
            if widths[i] = 0 then
                insert into ali.limit_lease as l (key, lease, expires_us)
                values (keys[i], new_lease, now_us + lease_us)
                on conflict (key, lease) do update set expires_us = excluded.expires_us;
            else
                insert into ali.limit_bucket as b (key, bucket, amount, expires_us)
                values (keys[i], now_us / widths[i], amounts[i], now_us + 122 * widths[i])
                on conflict (key, bucket) do update set amount = b.amount + excluded.amount;
                standings[2 * i] := (now_us / widths[i] + 121) * widths[i] - now_us;
            end if;
        end loop;
    end if;
    return array[now_us, refusing, longest] || standings;
end
$$
"""

AMEND = """
create function ali.limit_amend(
    keys bytea[], widths bigint[], deltas bigint[], ats bigint[], given_us bigint
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    now_us bigint;
begin
    perform ali.limit_lock(keys);
    now_us := coalesce(given_us, ali.limit_now());
    for i in 1..cardinality(keys) loop
        if deltas[i] > 0 then
            insert into ali.limit_bucket as b (key, bucket, amount, expires_us)
            values (keys[i], now_us / widths[i], deltas[i], now_us + 122 * widths[i])
            on conflict (key, bucket) do update set amount = b.amount + excluded.amount;
        else
            update ali.limit_bucket b set amount = greatest(b.amount + deltas[i], 0)
            where b.key = keys[i] and b.bucket = ats[i] / widths[i];
        end if;
    end loop;
end
$$
"""

RENEW = """
create function ali.limit_renew(keys bytea[], leases bytea[], lease_us bigint, given_us bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform ali.limit_lock(keys);
    insert into ali.limit_lease (key, lease, expires_us)
    select u.key, u.lease, coalesce(given_us, ali.limit_now()) + lease_us
    from unnest(keys, leases) as u(key, lease)
    on conflict (key, lease) do update set expires_us = excluded.expires_us;
end
$$
"""

RELEASE = """
create function ali.limit_release(keys bytea[], leases bytea[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
begin
    perform ali.limit_lock(keys);
    delete from ali.limit_lease l using unnest(keys, leases) as u(key, lease)
    where l.key = u.key and l.lease = u.lease;
end
$$
"""

# Rows that somebody else has locked are skipped: they are being counted or cleaned.
TIDY = """
create function ali.limit_tidy(most int) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
    delete from ali.limit_bucket where ctid = any(array(
        select ctid from ali.limit_bucket where expires_us < ali.limit_now() limit most for update skip locked
    ));
    delete from ali.limit_lease where ctid = any(array(
        select ctid from ali.limit_lease where expires_us < ali.limit_now() limit most for update skip locked
    ));
$$
"""

RULES = """
create function ali.limit_rules() returns table (
    organization_id uuid, scope text, scope_id uuid, model text,
    requests_per_minute bigint, tokens_per_minute bigint, concurrent_streams bigint
)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select r.organization_id, r.scope, r.scope_id, r.model,
        r.requests_per_minute, r.tokens_per_minute, r.concurrent_streams
    from ali.rate_limit r order by r.id
$$
"""

DOORS = (
    "limit_rules()",
    "limit_tidy(int)",
    "limit_release(bytea[], bytea[])",
    "limit_renew(bytea[], bytea[], bigint, bigint)",
    "limit_amend(bytea[], bigint[], bigint[], bigint[], bigint)",
    "limit_check(bytea[], bigint[], bigint[], bigint[], bytea, bigint, bigint)",
)
INNER = ("limit_now()", "limit_lock(bytea[])")


def upgrade() -> None:
    _rate_limit()
    _counters()
    for function in (LOCK, NOW, CHECK, AMEND, RENEW, RELEASE, TIDY, RULES):
        op.execute(function)
    for signature in DOORS:
        door(signature)
    for signature in INNER:
        op.execute(f"revoke all on function ali.{signature} from public")
    wall("rate_limit", rights="select, insert, update, delete")


def _rate_limit() -> None:
    op.create_table(
        "rate_limit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Uuid()),
        sa.Column("model", sa.Text()),
        sa.Column("requests_per_minute", sa.BigInteger()),
        sa.Column("tokens_per_minute", sa.BigInteger()),
        sa.Column("concurrent_streams", sa.BigInteger()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="rate_limit_pkey"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            [f"{SCHEMA}.organization.id"],
            name="rate_limit_organization_id_fkey",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            *("organization_id", "scope", "scope_id", "model"),
            name="rate_limit_organization_id_scope_scope_id_model_key",
            postgresql_nulls_not_distinct=True,
        ),
        sa.CheckConstraint(
            "scope in ('organization','project','key','user')", name=op.f("rate_limit_scope_known_check")
        ),
        sa.CheckConstraint(
            "model is null or model ~ '^[^*]{0,200}[*]?$' and model <> ''", name=op.f("rate_limit_model_pattern_check")
        ),
        sa.CheckConstraint(
            "num_nonnulls(requests_per_minute, tokens_per_minute, concurrent_streams) > 0",
            name=op.f("rate_limit_limits_check"),
        ),
        *(
            sa.CheckConstraint(f"{column} between 0 and 1000000000000", name=op.f(f"rate_limit_{column}_range_check"))
            for column in ("requests_per_minute", "tokens_per_minute", "concurrent_streams")
        ),
        schema=SCHEMA,
    )


def _counters() -> None:
    op.create_table(
        "limit_bucket",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "bucket", name="limit_bucket_pkey"),
        schema=SCHEMA,
        prefixes=["unlogged"],
    )
    op.create_table(
        "limit_lease",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("lease", sa.LargeBinary(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "lease", name="limit_lease_pkey"),
        schema=SCHEMA,
        prefixes=["unlogged"],
    )
    op.create_index("limit_bucket_expires_us_idx", "limit_bucket", ["expires_us"], schema=SCHEMA)
    op.create_index("limit_lease_expires_us_idx", "limit_lease", ["expires_us"], schema=SCHEMA)
    # The newest bucket of a busy key is updated with each request, in a column without index: with room in the page
    # the update is heap-only, and is pruned without a vacuum.
    op.execute("alter table ali.limit_bucket set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)")
    op.execute("alter table ali.limit_lease set (autovacuum_vacuum_scale_factor = 0.02)")


def downgrade() -> None:
    for signature in (*DOORS, *INNER):
        op.execute(f"drop function ali.{signature}")
    for table in ("limit_lease", "limit_bucket", "rate_limit"):
        op.drop_table(table, schema=SCHEMA)
