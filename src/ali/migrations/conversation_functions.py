"""SQL functions of conversations: who may add to one, adding, and a page of its items. As `response_functions`: their
owner's rights, the tenant as arguments.
"""

from typing import Final

# A response that is kept holds its conversation until it has ended, whoever runs it. One that is not kept is known to
# its process alone: the claim stands while that lives, and for an hour at most, lest one whose release was lost in an
# outage stand for as long as the process does.
CLAIM_STANDS: Final = """
create function ali.claim_stands(
    claimer uuid, instance uuid, since timestamp with time zone, dead_after interval
) returns boolean
language sql stable security definer set search_path = pg_catalog, ali as $$
    select claimer is not null and (
        since > now() - dead_after
        or since > now() - interval '1 hour' and exists (
            select from ali.service_instance i where i.id = instance and i.heartbeat_at >= now() - dead_after
        )
        or exists (select from ali.response r where r.id = claimer and r.status in ('queued', 'in_progress'))
    );
$$
"""

# While a response runs, nobody else adds. The row's lock makes others wait, so
# that what is added at once stays together.
APPEND_ITEMS: Final = """
create function ali.append_items(
    organization uuid, project uuid, conversation uuid, item_ids text[], kinds text[], bodies bytea[],
    dead_after interval
) returns text
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare found_row ali.conversation;
begin
    select * into found_row from ali.conversation c
    where c.id = conversation and c.organization_id = organization and c.project_id = project for update;
    if not found then
        return 'not_found';
    end if;
    if ali.claim_stands(found_row.claimed_by, found_row.claim_instance_id, found_row.claimed_at, dead_after) then
        return 'busy';
    end if;
    if exists (
        select from ali.conversation_item i where i.conversation_id = conversation and i.item_id = any(item_ids)
    ) then
        return 'duplicate';
    end if;
    insert into ali.conversation_item (conversation_id, position, organization_id, project_id, item_id, kind, body)
    select conversation, found_row.next_position + i.place - 1, organization, project, i.item_id, i.kind, i.body
    from unnest(item_ids, kinds, bodies) with ordinality as i (item_id, kind, body, place);
    update ali.conversation c set next_position = c.next_position + cardinality(item_ids) where c.id = conversation;
    return 'ok';
end $$
"""

# One page, nearest to the cursor first. By the owner's rights: under the policies of row-level security the planner
# expects hardly a row, and sorts a whole conversation for each page (50 ms for 50,000 items; so, under 1 ms).
LIST_ITEMS: Final = """
create function ali.list_items(
    organization uuid, project uuid, conversation uuid, after_item text, before_item text, descending boolean,
    backwards boolean, most integer, most_bytes bigint
) returns table (verdict text, body bytea)
language plpgsql stable security definer set search_path = pg_catalog, ali as $$
declare
    lowest bigint := -1; highest bigint := 9223372036854775807; place bigint; total bigint := 0; number integer := 0;
    found_row record; pages refcursor;
begin
    if not exists (
        select from ali.conversation c
        where c.id = conversation and c.organization_id = organization and c.project_id = project
    ) then
        return query select 'not_found'::text, null::bytea;
        return;
    end if;
    if after_item is not null then
        select i.position into place from ali.conversation_item i
        where i.conversation_id = conversation and i.item_id = after_item;
        if not found then
            return query select 'after_unknown'::text, null::bytea;
            return;
        end if;
        if descending then highest := place; else lowest := place; end if;
    end if;
    if before_item is not null then
        select i.position into place from ali.conversation_item i
        where i.conversation_id = conversation and i.item_id = before_item;
        if not found then
            return query select 'before_unknown'::text, null::bytea;
            return;
        end if;
        if descending then lowest := place; else highest := place; end if;
    end if;
    if descending <> backwards then
        open pages for select i.body as content from ali.conversation_item i
        where i.conversation_id = conversation and i.position > lowest and i.position < highest
        order by i.position desc limit most + 1;
    else
        open pages for select i.body as content from ali.conversation_item i
        where i.conversation_id = conversation and i.position > lowest and i.position < highest
        order by i.position limit most + 1;
    end if;
    loop
        fetch pages into found_row;
        exit when not found;
        if number >= most or (number > 0 and total >= most_bytes) then
            return query select 'more'::text, null::bytea;
            exit;
        end if;
        number := number + 1;
        total := total + octet_length(found_row.content);
        return query select 'item'::text, found_row.content;
    end loop;
    close pages;
end $$
"""

FUNCTIONS: Final = (CLAIM_STANDS, APPEND_ITEMS, LIST_ITEMS)

SIGNATURES: Final = (
    "append_items(uuid, uuid, uuid, text[], text[], bytea[], interval)",
    "list_items(uuid, uuid, uuid, text, text, boolean, boolean, integer, bigint)",
    "claim_stands(uuid, uuid, timestamp with time zone, interval)",
)
