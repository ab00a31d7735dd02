"""What was asked for with an idempotency key: claimed by one process, then kept with its answer until it expires."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from ali.migrations.tenancy import door, wall

revision: str = "pre_0006_idempotency"
down_revision: str | None = "pre_0005_budgets"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SCHEMA = "ali"


def upgrade() -> None:
    op.create_table(
        "idempotent_request",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claim_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("answer", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("organization_id", "subject_id", "key_digest", name="idempotent_request_pkey"),
        sa.CheckConstraint("state in ('claimed', 'done')", name=op.f("idempotent_request_state_known_check")),
        schema=SCHEMA,
    )
    op.create_index("idempotent_request_expires_at_idx", "idempotent_request", ["expires_at"], schema=SCHEMA)
    # Ciphertext does not compress; PostgreSQL would try.
    op.execute("alter table ali.idempotent_request alter column answer set storage external")
    wall("idempotent_request", rights="select")
    op.execute(CLAIM)
    op.execute(SETTLE)
    op.execute(RELEASE)
    op.execute(FORGET)
    for signature in SIGNATURES:
        door(signature)


# A row that says all there is to say is only read, so that neither a replay nor a poll writes. Two processes that find
# nothing meet at the primary key: one inserts, the other finds the row in the next round. A claim younger than
# `dead_after` is never taken over, since its process may not have shown its first sign of life yet.
CLAIM = """
create function ali.claim_request(
    organization uuid, subject uuid, digest bytea, wanted bytea, claim uuid, instance uuid, kept interval,
    dead_after interval
) returns table (outcome text, status smallint, answer bytea)
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare found_row ali.idempotent_request; dead boolean; verdict text := 'claimed';
begin
    loop
        select * into found_row from ali.idempotent_request r
        where r.organization_id = organization and r.subject_id = subject and r.key_digest = digest;
        if not found then
            insert into ali.idempotent_request (
                organization_id, subject_id, key_digest, fingerprint, state, claim_id, instance_id, expires_at
            ) values (organization, subject, digest, wanted, 'claimed', claim, instance, now() + kept)
            on conflict do nothing;
        else
            dead := found_row.state = 'claimed' and found_row.claimed_at < now() - dead_after and not exists (
                select from ali.service_instance i
                where i.id = found_row.instance_id and i.heartbeat_at >= now() - dead_after
            );
            if found_row.expires_at > now() and not (dead and found_row.fingerprint = wanted) then
                return query select
                    case when found_row.fingerprint <> wanted then 'reused' when found_row.state = 'claimed'
                    then 'running' else 'done' end,
                    case when found_row.fingerprint = wanted then found_row.status end,
                    case when found_row.fingerprint = wanted then found_row.answer end;
                return;
            end if;
            verdict := case when dead then 'taken_over' else 'claimed' end;
            update ali.idempotent_request r set
                fingerprint = wanted, state = 'claimed', claim_id = claim, instance_id = instance, claimed_at = now(),
                expires_at = now() + kept, status = null, answer = null
            where r.organization_id = organization and r.subject_id = subject and r.key_digest = digest
                and r.claim_id = found_row.claim_id and r.state = found_row.state;
        end if;
        if found then
            return query select verdict, null::smallint, null::bytea;
            return;
        end if;
    end loop;
end $$
"""

# By the claim's own id: whoever was taken over settles and releases nothing any more.
SETTLE = """
create function ali.settle_request(
    organization uuid, subject uuid, digest bytea, claim uuid, final_status smallint, sealed bytea
) returns boolean
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    update ali.idempotent_request r set state = 'done', status = final_status, answer = sealed
    where r.organization_id = organization and r.subject_id = subject and r.key_digest = digest
        and r.claim_id = claim and r.state = 'claimed';
    return found;
end $$
"""

RELEASE = """
create function ali.release_request(organization uuid, subject uuid, digest bytea, claim uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    delete from ali.idempotent_request r
    where r.organization_id = organization and r.subject_id = subject and r.key_digest = digest
        and r.claim_id = claim and r.state = 'claimed';
    return found;
end $$
"""

FORGET = """
create function ali.forget_requests(at_most integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare forgotten bigint;
begin
    delete from ali.idempotent_request r using (
        select e.organization_id, e.subject_id, e.key_digest from ali.idempotent_request e
        where e.expires_at <= now() order by e.expires_at limit at_most for update skip locked
    ) as expired
    where r.organization_id = expired.organization_id and r.subject_id = expired.subject_id
        and r.key_digest = expired.key_digest;
    get diagnostics forgotten = row_count;
    return forgotten;
end $$
"""

SIGNATURES = (
    "claim_request(uuid, uuid, bytea, bytea, uuid, uuid, interval, interval)",
    "settle_request(uuid, uuid, bytea, uuid, smallint, bytea)",
    "release_request(uuid, uuid, bytea, uuid)",
    "forget_requests(integer)",
)


def downgrade() -> None:
    op.execute("drop function ali.claim_request, ali.settle_request, ali.release_request, ali.forget_requests")
    op.drop_table("idempotent_request", schema=SCHEMA)
