"""The SQL function with which callers add to a conversation. As `response_functions`: its owner's rights, the tenant as
arguments.
"""

from typing import Final

# By the rule of `claim_conversation`: while a response runs, nobody else adds. The row's lock makes others wait, so
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
    if found_row.claimed_by is not null and (
        found_row.claimed_at > now() - dead_after
        or exists (
            select from ali.service_instance i
            where i.id = found_row.claim_instance_id and i.heartbeat_at >= now() - dead_after
        )
        or exists (
            select from ali.response r where r.id = found_row.claimed_by and r.status in ('queued', 'in_progress')
        )
    ) then
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

FUNCTIONS: Final = (APPEND_ITEMS,)

SIGNATURES: Final = ("append_items(uuid, uuid, uuid, text[], text[], bytea[], interval)",)
