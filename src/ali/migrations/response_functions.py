"""SQL functions of responses and conversations: what the hot path does with them, one round trip each.

All act with their owner's rights and take the tenant as arguments; row-level security walls every other way in.

Locks, so that no two of them wait for each other: a row of `response` comes before its `conversation` (settle, discard,
and the deletion of a response). Where the conversation comes first (begin, with its claim), the response's row is new,
and nobody else can wait for it. Take, checkpoint, requeue and cancel lock one response's row alone, append and the
deletion of a conversation the conversation's alone; take skips rows that are locked. Foreign keys lock rows that the
same statement's transaction holds already. Whether another's claim still counts is read without a lock.
"""

from typing import Final

# Newest first: the caller turns it round. A link is read whole or not at all; reading stops once `most_bytes` are
# there, so a chain or conversation of any length costs what fits the model's context.
READ_CHAIN: Final = """
create function ali.read_chain(
    organization uuid, project uuid, newest uuid, most_bytes bigint
) returns table (verdict text, link uuid, input bytea, output bytea)
language plpgsql stable security definer set search_path = pg_catalog, ali as $$
declare found_row record; next_id uuid := newest; total bigint := 0;
begin
    while next_id is not null loop
        select r.id, r.previous_id, r.conversation_id, r.status, r.input, r.output into found_row
        from ali.response r
        where r.id = next_id and r.organization_id = organization and r.project_id = project;
        if not found then
            return query select case when next_id = newest then 'not_found' else 'broken' end, next_id, null::bytea,
                null::bytea;
            return;
        end if;
        if found_row.status in ('queued', 'in_progress') then
            return query select 'unfinished'::text, next_id, null::bytea, null::bytea;
            return;
        end if;
        if found_row.conversation_id is not null then
            return query select 'in_conversation'::text, found_row.conversation_id, null::bytea, null::bytea;
            return;
        end if;
        total := total + octet_length(found_row.input) + octet_length(found_row.output);
        if total > most_bytes then
            return query select 'cut'::text, next_id, null::bytea, null::bytea;
            return;
        end if;
        return query select 'ok'::text, next_id, found_row.input, found_row.output;
        next_id := found_row.previous_id;
    end loop;
end $$
"""

READ_CONVERSATION: Final = """
create function ali.read_conversation(
    organization uuid, project uuid, conversation uuid, most_bytes bigint
) returns table (verdict text, body bytea)
language plpgsql stable security definer set search_path = pg_catalog, ali as $$
declare found_row record; total bigint := 0;
begin
    for found_row in
        select i.body from ali.conversation_item i
        where i.conversation_id = conversation and i.organization_id = organization and i.project_id = project
        order by i.position desc
    loop
        total := total + octet_length(found_row.body);
        if total > most_bytes then
            return query select 'cut'::text, null::bytea;
            return;
        end if;
        return query select 'ok'::text, found_row.body;
    end loop;
end $$
"""

# A claim ends with its response; that of a process that died is given to the next who asks.
CLAIM_CONVERSATION: Final = """
create function ali.claim_conversation(
    organization uuid, project uuid, conversation uuid, claimer uuid, instance uuid, dead_after interval
) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare found_row ali.conversation;
begin
    select * into found_row from ali.conversation c
    where c.id = conversation and c.organization_id = organization and c.project_id = project for update;
    if not found then
        return 'not_found';
    end if;
    if found_row.claimed_by <> claimer
        and ali.claim_stands(found_row.claimed_by, found_row.claim_instance_id, found_row.claimed_at, dead_after)
    then
        return 'busy';
    end if;
    update ali.conversation c set claimed_by = claimer, claim_instance_id = instance, claimed_at = now()
    where c.id = conversation;
    return 'ok';
end $$
"""

# A response that came to nothing before anybody was told of it: as if it had never been asked for.
DISCARD_RESPONSE: Final = """
create function ali.discard_response(organization uuid, project uuid, response uuid, conversation uuid) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    delete from ali.response r
    where r.id = response and r.organization_id = organization and r.project_id = project;
    update ali.conversation c set claimed_by = null, claim_instance_id = null, claimed_at = null
    where c.id = conversation and c.organization_id = organization and c.project_id = project
        and c.claimed_by = response;
$$
"""

# `kept` false: nothing is written, only the context read and the conversation claimed.
BEGIN_RESPONSE: Final = """
create function ali.begin_response(
    organization uuid, project uuid, response uuid, instance uuid, previous uuid, conversation uuid, status text,
    background boolean, kept boolean, head bytea, input bytea, request bytea, events bytea, most_bytes bigint,
    dead_after interval
) returns table (verdict text, first bytea, second bytea)
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare answer text := 'ok'; link record;
begin
    if conversation is not null then
        answer := ali.claim_conversation(organization, project, conversation, response, instance, dead_after);
        if answer <> 'ok' then
            return query select 'conversation_' || answer, null::bytea, null::bytea;
            return;
        end if;
        return query select case c.verdict when 'ok' then 'item' else c.verdict end, c.body, null::bytea
        from ali.read_conversation(organization, project, conversation, most_bytes) c;
    elsif previous is not null then
        for link in select * from ali.read_chain(organization, project, previous, most_bytes) loop
            if link.verdict not in ('ok', 'cut') then
                return query select 'previous_' || link.verdict, convert_to(link.link::text, 'UTF8'), null::bytea;
                return;
            end if;
            return query select case link.verdict when 'ok' then 'link' else 'cut' end, link.input, link.output;
        end loop;
    end if;
    if kept then
        insert into ali.response (
            id, organization_id, project_id, previous_id, conversation_id, status, background, instance_id, attempts,
            head, input, output, request
        ) values (
            response, organization, project, previous, conversation, begin_response.status,
            begin_response.background, case when begin_response.status = 'queued' then null else instance end,
            case when begin_response.status = 'queued' then 0 else 1 end, begin_response.head, begin_response.input,
            '[]', begin_response.request
        );
    end if;
    if kept and events is not null then  -- created, and queued
        insert into ali.response_event (
            response_id, first_number, last_number, organization_id, project_id, body
        ) values (response, 0, 1, organization, project, events);
    end if;
    return query select 'ok'::text, null::bytea, null::bytea;
end $$
"""

# What came out, the conversation's new items and the end of its claim: all or nothing. By the process that runs the
# response alone: one that was taken over changes nothing any more. A response that was deleted while it ran stays so.
SETTLE_RESPONSE: Final = """
create function ali.settle_response(
    organization uuid, project uuid, response uuid, instance uuid, conversation uuid, kept boolean, status text,
    head bytea, output bytea, output_ids text[], item_ids text[], kinds text[], bodies bytea[], first_number integer,
    last_number integer, events bytea
) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare base bigint; written boolean;
begin
    if kept then
        update ali.response r set
            status = settle_response.status, head = settle_response.head, output = settle_response.output,
            output_ids = settle_response.output_ids, request = null
        where r.id = response and r.organization_id = organization and r.project_id = project
            and r.instance_id = instance and r.status in ('queued', 'in_progress');
        written := found;
        if not written and exists (select from ali.response r where r.id = response) then
            return 'taken_over';
        end if;
        if written and events is not null then
            insert into ali.response_event (
                response_id, first_number, last_number, organization_id, project_id, body
            ) values (
                response, settle_response.first_number, settle_response.last_number, organization, project, events
            ) on conflict on constraint response_event_pkey do update set last_number = excluded.last_number,
                body = excluded.body;
        end if;
    end if;
    if conversation is not null then
        update ali.conversation c set
            next_position = c.next_position + cardinality(item_ids), claimed_by = null, claim_instance_id = null,
            claimed_at = null
        where c.id = conversation and c.organization_id = organization and c.project_id = project
            and c.claimed_by = response
        returning c.next_position - cardinality(item_ids) into base;
        if not found then
            return 'conversation_gone';
        end if;
        insert into ali.conversation_item (
            conversation_id, position, organization_id, project_id, item_id, kind, body, response_id
        )
        select conversation, base + i.place - 1, organization, project, i.item_id, i.kind, i.body, response
        from unnest(item_ids, kinds, bodies) with ordinality as i (item_id, kind, body, place)
        on conflict do nothing;
    end if;
    return 'ok';
end $$
"""

# Long answers leave what they have so far, so that a crash loses at most the last moment. A batch of events that was
# committed without its writer hearing of it comes again, perhaps with more at its end: it takes the first one's place.
CHECKPOINT_RESPONSE: Final = """
create function ali.checkpoint_response(
    organization uuid, project uuid, response uuid, instance uuid, output bytea, first_number integer,
    last_number integer, events bytea
) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare asked_to_stop boolean;
begin
    update ali.response r set output = coalesce(checkpoint_response.output, r.output)
    where r.id = response and r.organization_id = organization and r.project_id = project
        and r.instance_id = instance and r.status = 'in_progress'
    returning r.cancelling into asked_to_stop;
    if not found then
        return 'gone';
    end if;
    if events is not null then
        insert into ali.response_event (
            response_id, first_number, last_number, organization_id, project_id, body
        ) values (
            response, checkpoint_response.first_number, checkpoint_response.last_number, organization, project, events
        ) on conflict on constraint response_event_pkey do update set last_number = excluded.last_number,
            body = excluded.body;
    end if;
    return case when asked_to_stop then 'cancel' else 'ok' end;
end $$
"""

# What waits to be run, and what a dead process left: given to one process, its row locked only for the moment.
# `only_ends`: for a process without room, what is to be ended or was left by a dead process. The number of the next
# event is read by a statement of its own, after the row is taken: only then can nobody add to the log any more.
TAKE_RESPONSES: Final = """
create function ali.take_responses(
    instance uuid, only_ends boolean, dead_after interval, at_most integer
) returns table (
    id uuid, organization_id uuid, project_id uuid, conversation_id uuid, previous_id uuid, background boolean,
    cancelling boolean, was text, attempts smallint, head bytea, output bytea, request bytea,
    next_number integer
)
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare each record;
begin
    for each in
    with chosen as (
        select r.id, r.status from ali.response r
        where r.status in ('queued', 'in_progress') and case r.status
            when 'queued' then r.cancelling or not only_ends
            else r.created_at < now() - dead_after and not exists (
                select from ali.service_instance i
                where i.id = r.instance_id and i.heartbeat_at >= now() - dead_after
            ) end
        order by r.id limit at_most for update skip locked
    ), taken as (
        update ali.response r set
            status = 'in_progress', instance_id = instance, attempts = r.attempts + 1
        from chosen c where r.id = c.id
        returning r.id, r.organization_id, r.project_id, r.conversation_id, r.previous_id, r.background,
            r.cancelling, c.status as was, r.attempts, r.head, r.output, r.request
    )
    select * from taken
    loop
        return query select each.id, each.organization_id, each.project_id, each.conversation_id, each.previous_id,
            each.background, each.cancelling, each.was, each.attempts, each.head, each.output, each.request, (
                select coalesce(max(e.last_number) + 1, 0)::integer from ali.response_event e
                where e.response_id = each.id
            );
    end loop;
end $$
"""

CANCEL_RESPONSE: Final = """
create function ali.cancel_response(organization uuid, project uuid, response uuid) returns table (
    verdict text, instance_id uuid
)
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare found_row record;
begin
    select r.status, r.background, r.instance_id into found_row from ali.response r
    where r.id = response and r.organization_id = organization and r.project_id = project for update;
    if not found then
        return query select 'not_found'::text, null::uuid;
    elsif not found_row.background then
        return query select 'foreground'::text, null::uuid;
    elsif found_row.status not in ('queued', 'in_progress') then
        return query select 'ended'::text, null::uuid;
    else
        update ali.response r set cancelling = true where r.id = response;
        return query select found_row.status, found_row.instance_id;
    end if;
end $$
"""

# A process that stops gives back what it has not begun to answer; that it took it does not count as an attempt.
REQUEUE_RESPONSE: Final = """
create function ali.requeue_response(organization uuid, project uuid, response uuid, instance uuid) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.response r set status = 'queued', instance_id = null, attempts = greatest(r.attempts - 1, 0)
    where r.id = response and r.organization_id = organization and r.project_id = project
        and r.instance_id = instance and r.status = 'in_progress';
$$
"""

# The links whose output holds items of these names: for `item_reference`.
FIND_ITEMS: Final = """
create function ali.find_items(organization uuid, project uuid, names text[], at_most integer) returns setof bytea
language sql stable security definer set search_path = pg_catalog, ali as $$
    select r.output from ali.response r
    where r.organization_id = organization and r.project_id = project and r.output_ids && names limit at_most;
$$
"""

FUNCTIONS: Final = (
    READ_CHAIN,
    READ_CONVERSATION,
    CLAIM_CONVERSATION,
    DISCARD_RESPONSE,
    BEGIN_RESPONSE,
    SETTLE_RESPONSE,
    CHECKPOINT_RESPONSE,
    TAKE_RESPONSES,
    CANCEL_RESPONSE,
    FIND_ITEMS,
    REQUEUE_RESPONSE,
)

SIGNATURES: Final = (
    "read_chain(uuid, uuid, uuid, bigint)",
    "read_conversation(uuid, uuid, uuid, bigint)",
    "claim_conversation(uuid, uuid, uuid, uuid, uuid, interval)",
    "discard_response(uuid, uuid, uuid, uuid)",
    (
        "begin_response(uuid, uuid, uuid, uuid, uuid, uuid, text, boolean, boolean, bytea, bytea, bytea, bytea, "
        "bigint, interval)"
    ),
    (
        "settle_response(uuid, uuid, uuid, uuid, uuid, boolean, text, bytea, bytea, text[], text[], text[], bytea[], "
        "integer, integer, bytea)"
    ),
    "checkpoint_response(uuid, uuid, uuid, uuid, bytea, integer, integer, bytea)",
    "take_responses(uuid, boolean, interval, integer)",
    "cancel_response(uuid, uuid, uuid)",
    "find_items(uuid, uuid, text[], integer)",
    "requeue_response(uuid, uuid, uuid, uuid)",
)
