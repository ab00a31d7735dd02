"""The functions that revision `pre_0005_budgets` makes. Like a revision, never changed once released.

Each that takes several locks takes them in one order, so that none can wait for another in a circle: usage records,
then rows of `budget_period` by (budget_id, period_start), then reservations and notices. A reservation is only ever
written or deleted while its row of `budget_period` is locked. Rows of `budget` are read here, and never locked.
"""

from typing import Final

from ali.migrations.usage_functions import WRITE_RECORDS

RESERVE: Final = """
create function ali.reserve_budgets(request uuid, instance uuid, budgets uuid[], amount bigint, moment timestamptz)
returns table (budget_id uuid, hindrance text)
language plpgsql security definer set search_path = pg_catalog, ali as $$
#variable_conflict use_column
declare
    wanted bigint;
    taken bigint;
begin
    -- The next reservation waits for this commit; one that a crash of the database forgets is settled all the same.
    -- Whoever waits for long keeps a connection from others, whose budgets are free.
    perform set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '1s', true);
    with hard as materialized (
        select b.id, b.organization_id, b.limit_microusd,
            date_trunc(b.period, moment at time zone 'UTC')::date as period_start
        from ali.budget b where b.id = any(budgets) and b.mode = 'hard'
    ), counted as (
        insert into ali.budget_period as p (budget_id, period_start, organization_id, reserved_microusd)
        select h.id, h.period_start, h.organization_id, amount from hard h
        where amount <= h.limit_microusd order by h.id, h.period_start
        on conflict (budget_id, period_start) do update set reserved_microusd = p.reserved_microusd + amount
        where p.spent_microusd + p.reserved_microusd + amount
            <= (select h.limit_microusd from hard h where h.id = p.budget_id)
        returning p.budget_id, p.period_start, p.organization_id
    ), kept as (
        insert into ali.budget_reservation (
            request_id, budget_id, period_start, organization_id, instance_id, amount_microusd
        )
        select request, c.budget_id, c.period_start, c.organization_id, instance, amount from counted c
        returning budget_id
    )
    select (select count(*) from hard), (select count(*) from kept) into wanted, taken;
    if taken = wanted then
        return;
    end if;
    with gone as (
        delete from ali.budget_reservation r where r.request_id = request returning r.budget_id, r.period_start
    )
    update ali.budget_period p set reserved_microusd = p.reserved_microusd - amount
    from gone g where p.budget_id = g.budget_id and p.period_start = g.period_start;
    return query
    select b.id, case when coalesce(p.spent_microusd, 0) + amount > b.limit_microusd then 'spent' else 'reserved' end
    from ali.budget b left join ali.budget_period p
        on p.budget_id = b.id and p.period_start = date_trunc(b.period, moment at time zone 'UTC')::date
    where b.id = any(budgets) and b.mode = 'hard'
        and coalesce(p.spent_microusd + p.reserved_microusd, 0) + amount > b.limit_microusd;
    if not found then -- raised in this moment: the next try passes
        budget_id := budgets[1];
        hindrance := 'reserved';
        return next;
    end if;
end $$
"""

RELEASE: Final = """
create function ali.release_reservations(requests uuid[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare released bigint;
begin
    perform 1 from ali.budget_period p where (p.budget_id, p.period_start) in (
        select r.budget_id, r.period_start from ali.budget_reservation r where r.request_id = any(requests)
    ) order by p.budget_id, p.period_start for update;
    with gone as (
        delete from ali.budget_reservation r where r.request_id = any(requests)
        returning r.budget_id, r.period_start, r.amount_microusd
    ), sums as (
        select g.budget_id, g.period_start, sum(g.amount_microusd)::bigint as amount from gone g group by 1, 2
    ), lowered as (
        update ali.budget_period p set reserved_microusd = p.reserved_microusd - s.amount
        from sums s where p.budget_id = s.budget_id and p.period_start = s.period_start
    )
    select count(*) from gone into released;
    return released;
end $$
"""

# `greatest` passes over a missing heartbeat: what a process reserved before its first one is not taken from it.
RELEASE_ORPHANS: Final = """
create function ali.release_orphaned_reservations(dead_after interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare orphans uuid[];
begin
    select array_agg(o.request_id) into orphans from (
        select r.request_id from ali.budget_reservation r
        left join ali.service_instance i on i.id = r.instance_id
        where greatest(i.heartbeat_at, r.created_at) < now() - dead_after
        limit 1000
    ) o;
    if orphans is null then
        return 0;
    end if;
    return ali.release_reservations(orphans);
end $$
"""

# First the locks, by charging in order (a budget that is owed nothing gets 0); then what was held is let go.
CHARGE: Final = """
create function ali.charge_budgets(closed ali.usage_record[]) returns void
language plpgsql set search_path = pg_catalog, ali as $$
declare
    requests uuid[] := array(select r.id from unnest(closed) r);
    organizations uuid[] := array(select distinct r.organization_id from unnest(closed) r);
begin
    if not exists (select from ali.budget b where b.organization_id = any(organizations))
        and not exists (select from ali.budget_reservation r where r.request_id = any(requests)) then
        return;
    end if;
    with spent as (
        select r.organization_id, r.started_at, r.cost_microusd, s.kind, s.id
        from unnest(closed) r cross join lateral (values
            ('organization', r.organization_id), ('project', r.project_id), ('key', r.api_key_id), ('user', r.user_id)
        ) s(kind, id)
        where r.cost_microusd > 0 and s.id is not null
    ), due as (
        select b.id as budget_id, date_trunc(b.period, s.started_at at time zone 'UTC')::date as period_start,
            b.organization_id, s.cost_microusd
        from spent s join ali.budget b
            on b.scope_id = s.id and b.scope_kind = s.kind and b.organization_id = s.organization_id
        union all
        select r.budget_id, r.period_start, r.organization_id, 0
        from ali.budget_reservation r where r.request_id = any(requests)
    ), charged as (
        insert into ali.budget_period as p (budget_id, period_start, organization_id, spent_microusd)
        select d.budget_id, d.period_start, d.organization_id, sum(d.cost_microusd)::bigint
        from due d group by 1, 2, 3 order by 1, 2
        on conflict (budget_id, period_start) do update
        set spent_microusd = p.spent_microusd + excluded.spent_microusd
        returning p.budget_id, p.period_start, p.organization_id, p.spent_microusd
    )
    insert into ali.budget_notice (
        budget_id, period_start, percent, organization_id, spent_microusd, limit_microusd
    )
    select c.budget_id, c.period_start, w.percent, c.organization_id, c.spent_microusd, b.limit_microusd
    from charged c join ali.budget b on b.id = c.budget_id cross join lateral unnest(b.warn_percents) w(percent)
    where c.spent_microusd >= b.limit_microusd::numeric * w.percent / 100
    order by 1, 2, 3
    on conflict do nothing;
    with gone as (
        delete from ali.budget_reservation r where r.request_id = any(requests)
        returning r.budget_id, r.period_start, r.amount_microusd
    )
    update ali.budget_period p set reserved_microusd = p.reserved_microusd - s.amount
    from (select g.budget_id, g.period_start, sum(g.amount_microusd)::bigint as amount from gone g group by 1, 2) s
    where p.budget_id = s.budget_id and p.period_start = s.period_start;
end $$
"""

# A new budget starts from what was recorded: the lock keeps a record from being committed after it was added up, and
# charged before the budget is there. Settlements share it, `open_budget` takes it alone.
SETTLE: Final = f"""
create or replace function ali.settle_usage(batch jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare closed ali.usage_record[];
begin
    perform pg_advisory_xact_lock_shared(418430648325);
    if not exists (select from ali.budget) then
        {WRITE_RECORDS};
        return;
    end if;
    with written as ({WRITE_RECORDS} returning r as record)
    select array_agg(w.record) into closed from written w where (w.record).outcome <> 'open';
    if closed is not null then
        perform ali.charge_budgets(closed);
    end if;
end $$
"""  # noqa: S608 - put together from this file's own constants

OPEN: Final = """
create function ali.open_budget(budget uuid, moment timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    perform pg_advisory_xact_lock(418430648325);
    with opened as (
        select b.*, date_trunc(b.period, moment at time zone 'UTC') as since,
            date_trunc(b.period, moment at time zone 'UTC') + ('1 ' || b.period)::interval as until
        from ali.budget b where b.id = budget
    )
    insert into ali.budget_period (budget_id, period_start, organization_id, spent_microusd)
    select o.id, o.since::date, o.organization_id, coalesce((
        select sum(r.cost_microusd) from ali.usage_record r
        where r.project_id in (select p.id from ali.project p where p.organization_id = o.organization_id)
            and r.started_at >= o.since at time zone 'UTC' and r.started_at < o.until at time zone 'UTC'
            and o.scope_id = case o.scope_kind
                when 'organization' then r.organization_id when 'project' then r.project_id
                when 'key' then r.api_key_id else r.user_id end
    ), 0)::bigint
    from opened o
    on conflict do nothing;
end $$
"""

REARM: Final = """
create function ali.rearm_budget(budget uuid, moment timestamptz) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    delete from ali.budget_notice n using ali.budget b, ali.budget_period p
    where n.budget_id = budget and b.id = n.budget_id and p.budget_id = n.budget_id
        and p.period_start = n.period_start
        and n.period_start = date_trunc(b.period, moment at time zone 'UTC')::date
        and p.spent_microusd < b.limit_microusd::numeric * n.percent / 100
$$
"""

# Only of a budget that is there no more, so that the door leads to nobody's living budget.
CLEAR: Final = """
create function ali.clear_budget(budget uuid) returns void
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    if exists (select from ali.budget b where b.id = budget) then
        return;
    end if;
    perform 1 from ali.budget_period p where p.budget_id = budget order by p.period_start for update;
    delete from ali.budget_reservation r where r.budget_id = budget;
    delete from ali.budget_notice n where n.budget_id = budget;
    delete from ali.budget_period p where p.budget_id = budget;
end $$
"""

LIST: Final = """
create function ali.list_budgets()
returns table (id uuid, organization_id uuid, scope_kind text, scope_id uuid, period text, mode text)
language sql stable security definer set search_path = pg_catalog, ali as $$
    select b.id, b.organization_id, b.scope_kind, b.scope_id, b.period, b.mode from ali.budget b order by b.id
$$
"""

CLAIM_NOTICES: Final = """
create function ali.claim_budget_notices(most integer)
returns table (
    budget_id uuid, period_start date, percent smallint, organization_id uuid, scope_kind text, scope_id uuid,
    period text, mode text, spent_microusd bigint, limit_microusd bigint, webhook_url text, attempts smallint,
    created_at timestamptz
)
language sql security definer set search_path = pg_catalog, ali as $$
    with due as (
        select n.budget_id, n.period_start, n.percent from ali.budget_notice n
        where n.due_at <= now() order by n.due_at limit most for update skip locked
    )
    update ali.budget_notice n set attempts = n.attempts + 1,
        due_at = now() + least(interval '20 seconds' * power(2, least(n.attempts, 10)), interval '1 hour')
    from due d, ali.budget b
    where n.budget_id = d.budget_id and n.period_start = d.period_start and n.percent = d.percent
        and b.id = n.budget_id
    returning n.budget_id, n.period_start, n.percent, n.organization_id, b.scope_kind, b.scope_id, b.period, b.mode,
        n.spent_microusd, n.limit_microusd, b.webhook_url, n.attempts, n.created_at
$$
"""

FINISH_NOTICE: Final = """
create function ali.finish_budget_notice(budget uuid, since date, crossed smallint) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.budget_notice n set due_at = null
    where n.budget_id = budget and n.period_start = since and n.percent = crossed
$$
"""

FORGET: Final = """
create function ali.forget_budget_periods(keep interval) returns bigint
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare forgotten bigint;
begin
    with old as (
        select p.budget_id, p.period_start from ali.budget_period p
        where p.reserved_microusd = 0 and (
            p.period_start < (now() - keep)::date
            or not exists (select from ali.budget b where b.id = p.budget_id)
        )
        limit 1000 for update skip locked
    ), notices as (
        delete from ali.budget_notice n using old o
        where n.budget_id = o.budget_id and n.period_start = o.period_start
    )
    delete from ali.budget_period p using old o
    where p.budget_id = o.budget_id and p.period_start = o.period_start;
    get diagnostics forgotten = row_count;
    return forgotten;
end $$
"""

FUNCTIONS: Final = (
    RESERVE, RELEASE, RELEASE_ORPHANS, CHARGE, SETTLE, OPEN, REARM, CLEAR, LIST, CLAIM_NOTICES, FINISH_NOTICE, FORGET,
)  # fmt: skip

DOORS: Final = (
    "reserve_budgets(uuid, uuid, uuid[], bigint, timestamptz)",
    "release_reservations(uuid[])",
    "release_orphaned_reservations(interval)",
    "open_budget(uuid, timestamptz)",
    "rearm_budget(uuid, timestamptz)",
    "clear_budget(uuid)",
    "list_budgets()",
    "claim_budget_notices(integer)",
    "finish_budget_notice(uuid, date, smallint)",
    "forget_budget_periods(interval)",
)
"""What the service's role may call. `charge_budgets` is for the others of these alone."""

DROP: Final = """
drop function ali.reserve_budgets(uuid, uuid, uuid[], bigint, timestamptz), ali.release_orphaned_reservations(interval),
    ali.release_reservations(uuid[]), ali.open_budget(uuid, timestamptz), ali.rearm_budget(uuid, timestamptz),
    ali.clear_budget(uuid), ali.list_budgets(), ali.claim_budget_notices(integer),
    ali.finish_budget_notice(uuid, date, smallint), ali.forget_budget_periods(interval),
    ali.charge_budgets(ali.usage_record[])
"""
