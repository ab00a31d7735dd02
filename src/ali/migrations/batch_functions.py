"""SQL functions of batches: what the process that runs one does with it, one round trip each.

All act with their owner's rights, for a runner serves every tenant; each but `take_batches` changes a batch only for
the process that holds it, so one that was taken over changes nothing any more.
"""

from typing import Final

# What nobody holds, or a dead process did, is given to one process; of each project the oldest first, in turns, and no
# more than eight, so that one whose batches all wait for its limits leaves room for others.
TAKE_BATCHES: Final = """
create function ali.take_batches(instance uuid, dead_after interval, at_most integer) returns setof ali.batch
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    return query
    with waiting as (
        select b.id, row_number() over (partition by b.project_id order by b.id) as turn from ali.batch b
        where b.status in ('validating', 'in_progress', 'finalizing', 'cancelling')
    ), chosen as (
        select b.id from ali.batch b join waiting w on w.id = b.id
        where b.status in ('validating', 'in_progress', 'finalizing', 'cancelling')
            and w.turn <= 8 and (b.resume_at is null or b.resume_at <= now())
            and (b.instance_id is null or (
                b.claimed_at < now() - dead_after and not exists (
                    select from ali.service_instance i
                    where i.id = b.instance_id and i.heartbeat_at >= now() - dead_after
                )
            ))
        order by w.turn, b.id limit at_most for update of b skip locked
    )
    update ali.batch b set instance_id = instance, claimed_at = now(), resume_at = null
    from chosen c where b.id = c.id returning b.*;
end $$
"""

RELEASE_BATCH: Final = """
create function ali.release_batch(batch uuid, instance uuid, pause interval) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.batch b set instance_id = null, claimed_at = null, resume_at = now() + pause
    where b.id = batch and b.instance_id = instance;
$$
"""

BATCH_STANDING: Final = """
create function ali.batch_standing(batch uuid, instance uuid) returns text
language sql stable security definer set search_path = pg_catalog, ali as $$
    select coalesce(
        (select b.status from ali.batch b where b.id = batch and b.instance_id = instance), 'taken_over'
    );
$$
"""

# The same lines again, after a crash in the middle of the input, change nothing.
ADD_BATCH_LINES: Final = """
create function ali.add_batch_lines(
    batch uuid, instance uuid, first_position integer, starts bigint[], sizes integer[]
) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    insert into ali.batch_line (batch_id, position, organization_id, project_id, start_byte, size_bytes)
    select b.id, first_position + i.place - 1, b.organization_id, b.project_id, i.start_byte, i.size_bytes
    from unnest(starts, sizes) with ordinality as i (start_byte, size_bytes, place)
    join ali.batch b on b.id = batch and b.instance_id = instance
    on conflict do nothing;
$$
"""

BEGIN_BATCH: Final = """
create function ali.begin_batch(batch uuid, instance uuid, total integer, model text) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare answer text;
begin
    update ali.batch b set
        status = case b.status when 'validating' then 'in_progress' else b.status end, in_progress_at = now(),
        total = begin_batch.total, model = begin_batch.model
    where b.id = batch and b.instance_id = instance returning b.status into answer;
    return coalesce(answer, 'taken_over');
end $$
"""

NEXT_BATCH_LINES: Final = """
create function ali.next_batch_lines(batch uuid, after integer, at_most integer) returns table (
    line integer, start_byte bigint, size_bytes integer
)
language sql stable security definer set search_path = pg_catalog, ali as $$
    select l.position, l.start_byte, l.size_bytes from ali.batch_line l
    where l.batch_id = batch and l.position > after and l.outcome is null order by l.position limit at_most;
$$
"""

SETTLE_BATCH_LINE: Final = """
create function ali.settle_batch_line(
    batch uuid, instance uuid, line integer, succeeded boolean, result bytea
) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare answer text;
begin
    update ali.batch b set
        completed = b.completed + case when succeeded then 1 else 0 end,
        failed = b.failed + case when succeeded then 0 else 1 end
    where b.id = batch and b.instance_id = instance
        and exists (select from ali.batch_line l where l.batch_id = batch and l.position = line and l.outcome is null)
    returning b.status into answer;
    if not found then
        return 'taken_over';
    end if;
    update ali.batch_line l set
        outcome = case when succeeded then 'completed' else 'failed' end, result = settle_batch_line.result
    where l.batch_id = batch and l.position = line;
    return answer;
end $$
"""

BEGIN_FINALIZING: Final = """
create function ali.begin_finalizing(batch uuid, instance uuid) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare answer text;
begin
    update ali.batch b set
        status = case b.status when 'in_progress' then 'finalizing' else b.status end, finalizing_at = now()
    where b.id = batch and b.instance_id = instance returning b.status into answer;
    return coalesce(answer, 'taken_over');
end $$
"""

BATCH_RESULTS: Final = """
create function ali.batch_results(batch uuid, after integer, at_most integer) returns table (
    line integer, start_byte bigint, size_bytes integer, outcome text, result bytea
)
language sql stable security definer set search_path = pg_catalog, ali as $$
    select l.position, l.start_byte, l.size_bytes, l.outcome, l.result from ali.batch_line l
    where l.batch_id = batch and l.position > after order by l.position limit at_most;
$$
"""

# The end of a batch: its files become visible, its input may go, and its lines are not needed any more; all or nothing.
END_BATCH: Final = """
create function ali.end_batch(
    batch uuid, instance uuid, status text, output uuid, refused uuid, errors bytea
) returns boolean
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare ended ali.batch;
begin
    update ali.batch b set
        status = end_batch.status, ended_at = now(), output_file_id = end_batch.output,
        error_file_id = end_batch.refused, errors = end_batch.errors, instance_id = null, claimed_at = null
    where b.id = batch and b.instance_id = instance returning * into ended;
    if not found then
        return false;
    end if;
    update ali.file f set state = 'ready' where f.id in (output, refused) and f.state = 'writing';
    update ali.file f set
        holds = greatest(f.holds - 1, 0), state = case ended.dialect when 'anthropic' then 'gone' else f.state end
    where f.id = ended.input_file_id;
    delete from ali.batch_line l where l.batch_id = batch;
    return true;
end $$
"""

# As `recognise_credential`, by the key's identifier: for what runs long after the secret was shown.
RECOGNISE_KEY: Final = """
create function ali.recognise_key(wanted uuid, wanted_project uuid)
returns table (
    id uuid, organization_id uuid, project_id uuid, role text, expires_at timestamptz, user_id uuid,
    service_account_id uuid, permissions text[], allowed_models text[], allowed_networks text[], bound_project uuid,
    user_role text, member_role text, account_role text, epoch bigint
)
language sql stable security definer set search_path = pg_catalog, ali as $$
    select c.* from ali.api_key k cross join lateral ali.recognise_credential(k.digest, wanted_project) c
    where k.id = wanted;
$$
"""

# As `recognise_session`, whichever session it was.
RECOGNISE_PERSON: Final = """
create function ali.recognise_person(person uuid, wanted_project uuid)
returns table (organization_id uuid, role text, project_id uuid, member_role text, epoch bigint)
language sql stable security definer set search_path = pg_catalog, ali as $$
    select u.organization_id, u.role, p.id, m.role, e.value
    from ali.access_epoch e
    join ali.user_account u on u.id = person and u.disabled_at is null
    left join ali.project p on p.id = wanted_project and p.organization_id = u.organization_id
        and p.archived_at is null
    left join ali.project_member m on m.project_id = p.id and m.user_id = u.id;
$$
"""

FUNCTIONS: Final = (
    *(TAKE_BATCHES, RELEASE_BATCH, BATCH_STANDING, ADD_BATCH_LINES, BEGIN_BATCH, NEXT_BATCH_LINES, SETTLE_BATCH_LINE),
    *(BEGIN_FINALIZING, BATCH_RESULTS, END_BATCH, RECOGNISE_KEY, RECOGNISE_PERSON),
)

SIGNATURES: Final = (
    "take_batches(uuid, interval, integer)",
    "release_batch(uuid, uuid, interval)",
    "batch_standing(uuid, uuid)",
    "add_batch_lines(uuid, uuid, integer, bigint[], integer[])",
    "begin_batch(uuid, uuid, integer, text)",
    "next_batch_lines(uuid, integer, integer)",
    "settle_batch_line(uuid, uuid, integer, boolean, bytea)",
    "begin_finalizing(uuid, uuid)",
    "batch_results(uuid, integer, integer)",
    "end_batch(uuid, uuid, text, uuid, uuid, bytea)",
    "recognise_key(uuid, uuid)",
    "recognise_person(uuid, uuid)",
)
