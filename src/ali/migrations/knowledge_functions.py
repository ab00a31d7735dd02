"""The functions over vector stores and their files that reach across tenants: claims of work, and tidying up.

All act with their owner's rights. Whoever locks several rows takes files of stores first, then documents, each kind in
the order of their identifiers, so that no two wait for each other.
"""

from typing import Final

# Files that nobody reads, or a dead process did. Of each project the oldest, and the projects in turns, from the one
# behind `behind` on: what one has under way already counts as its first turns, so that a thousand files of one leave
# room for another's.
# The projects are stepped through by the index: the cost is that of the projects that wait, not of their files.
TAKE_STORE_FILES: Final = """
create function ali.take_store_files(instance uuid, dead_after interval, at_most integer, behind uuid) returns table (
    id uuid, vector_store_id uuid, organization_id uuid, project_id uuid, file_id uuid, chunking text, attempts integer
)
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    return query
    with recursive waiting as (
        (select f.project_id from ali.store_file f where f.status = 'in_progress' order by f.project_id limit 1)
        union all
        select (
            select f.project_id from ali.store_file f
            where f.status = 'in_progress' and f.project_id > w.project_id order by f.project_id limit 1
        )
        from waiting w where w.project_id is not null
    ), running as (
        select w.project_id, (
            select count(*) from ali.store_file f
            where f.project_id = w.project_id and f.status = 'in_progress' and f.instance_id is not null
        ) as files
        from waiting w where w.project_id is not null
    ), chosen as (
        select one.id, r.project_id, r.files + row_number() over (partition by r.project_id order by one.id) as turn
        from running r cross join lateral (
            select f.id from ali.store_file f
            where f.project_id = r.project_id and f.status = 'in_progress'
                and (f.resume_at is null or f.resume_at <= now())
                and (f.instance_id is null or (
                    f.claimed_at < now() - dead_after and not exists (
                        select from ali.service_instance i
                        where i.id = f.instance_id and i.heartbeat_at >= now() - dead_after
                    )
                ))
                and (select s.state from ali.vector_store s where s.id = f.vector_store_id) = 'ready'
            order by f.id limit at_most
        ) one
        order by turn, r.project_id <= behind, r.project_id limit at_most
    ), locked as (
        select f.id from ali.store_file f join chosen c on c.id = f.id
        where f.status = 'in_progress' and (f.instance_id is null or f.claimed_at < now() - dead_after)
        for update of f skip locked
    )
    update ali.store_file f set
        instance_id = instance, claimed_at = now(), resume_at = null, attempts = f.attempts + 1, pages_done = 0
    from locked l where f.id = l.id
    returning f.id, f.vector_store_id, f.organization_id, f.project_id, f.file_id, f.chunking, f.attempts;
end $$
"""

# How far each file is; what comes back is still this process's to read.
REPORT_STORE_FILES: Final = """
create function ali.report_store_files(instance uuid, files uuid[], done integer[], totals integer[]) returns setof uuid
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    update ali.store_file f set pages_done = r.pages_done, pages = r.pages
    from unnest(files, done, totals) as r (id, pages_done, pages)
    where f.id = r.id and f.instance_id = instance and f.status = 'in_progress'
        and (f.pages_done, f.pages) is distinct from (r.pages_done, r.pages);
    return query
    select f.id from ali.store_file f join ali.vector_store s on s.id = f.vector_store_id
    where f.id = any(files) and f.instance_id = instance and f.status = 'in_progress' and s.state = 'ready';
end $$
"""

# `counted` false: it was no fault of the file's that it was not read.
RELEASE_STORE_FILE: Final = """
create function ali.release_store_file(file uuid, instance uuid, pause interval, counted boolean) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.store_file f set
        instance_id = null, claimed_at = null, resume_at = now() + pause,
        attempts = f.attempts - case when counted then 0 else 1 end
    where f.id = file and f.instance_id = instance and f.status = 'in_progress';
$$
"""

FAIL_STORE_FILE: Final = """
create function ali.fail_store_file(file uuid, instance uuid, code text, message bytea) returns boolean
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    update ali.store_file f set
        status = 'failed', error_code = code, error_message = message, ended_at = now(), instance_id = null,
        claimed_at = null
    where f.id = file and f.instance_id = instance and f.status = 'in_progress';
    return found;
end $$
"""

# A store that somebody writes into is left alone: its next use is noted, and a search waits for nobody.
TOUCH_VECTOR_STORES: Final = """
create function ali.touch_vector_stores(project uuid, stores uuid[], exact_to interval) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.vector_store s set
        last_active_at = now(), expires_at = now() + make_interval(days => s.expires_after_days)
    where s.id in (
        select t.id from ali.vector_store t
        where t.id = any(stores) and t.project_id = project and t.state = 'ready'
            and (t.expires_at is null or t.expires_at > now()) and t.last_active_at <= now() - exact_to
        for no key update skip locked
    );
$$
"""

EXPIRE_VECTOR_STORES: Final = """
create function ali.expire_vector_stores(at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare expired integer;
begin
    update ali.vector_store s set state = 'expiring'
    where s.id in (
        select e.id from ali.vector_store e
        where e.state = 'ready' and e.expires_at <= now() limit at_most for no key update skip locked
    );
    get diagnostics expired = row_count;
    return expired;
end $$
"""

# Stores that are to be empty.
LEAVING_VECTOR_STORES: Final = """
create function ali.leaving_vector_stores(at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, ali as $$
    select s.id from ali.vector_store s where s.state in ('expiring', 'gone') order by s.id limit at_most;
$$
"""

# Of a store that is to be empty: some of what it holds, and in the end its row, or its state `expired`. False when
# nothing is left to do, or others are at it.
EMPTY_VECTOR_STORE: Final = """
create function ali.empty_vector_store(store uuid, at_most integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare left_by uuid[];
begin
    perform from ali.vector_store s
    where s.id = store and s.state in ('expiring', 'gone') for no key update skip locked;
    if not found then
        return false;
    end if;
    select array_agg(f.id) into left_by
    from (
        select g.id from ali.store_file g where g.vector_store_id = store order by g.id limit at_most for update
    ) f;
    if left_by is not null then
        perform from ali.store_document d
        where d.id in (select f.document_id from ali.store_file f where f.id = any(left_by))
        order by d.id for no key update;
        delete from ali.store_file f where f.id = any(left_by);
        return true;
    end if;
    if ali.clear_index(store, at_most) > 0 then
        return true;
    end if;
    delete from ali.store_document d where d.id in (
        select o.id from ali.store_document o where o.vector_store_id = store limit at_most
    );
    if found then
        return true;
    end if;
    delete from ali.store_file_batch b where b.id in (
        select o.id from ali.store_file_batch o where o.vector_store_id = store limit at_most
    );
    if found then
        return true;
    end if;
    update ali.vector_store s set state = 'expired', chunks = 0, words = 0, merge_due = false
    where s.id = store and s.state = 'expiring';
    delete from ali.vector_store s where s.id = store and s.state = 'gone';
    return false;
end $$
"""

# Documents that nothing leads to any more, of stores that stay.
LEFT_DOCUMENTS: Final = """
create function ali.left_documents(at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, ali as $$
    select d.id from ali.store_document d join ali.vector_store s on s.id = d.vector_store_id
    where d.state = 'left' and s.state = 'ready' limit at_most;
$$
"""

# The store is locked before the document is looked at again: one that a file of the same content leads to since stays.
REMOVE_LEFT_DOCUMENT: Final = """
create function ali.remove_left_document(document uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    perform from ali.vector_store s
    where s.id = (select d.vector_store_id from ali.store_document d where d.id = document)
    for no key update skip locked;
    if not found then
        return false;
    end if;
    perform from ali.store_document d where d.id = document and d.state = 'left';
    return found and ali.remove_document(document);
end $$
"""

# A document that no file leads to any more is `left`. Its row is locked first: of two files that leave it at once, the
# second sees that the first has left.
_LEAVE_DOCUMENT: Final = """
create function ali.leave_store_document() returns trigger
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    perform from ali.store_document d where d.id = old.document_id for no key update;
    update ali.store_document d set state = 'left'
    where d.id = old.document_id and d.state = 'ready'
        and not exists (select from ali.store_file f where f.document_id = old.document_id);
    return null;
end $$
"""
_ON_LEAVING: Final = """
create trigger leave_store_document after delete or update of document_id on ali.store_file
for each row when (old.document_id is not null) execute function ali.leave_store_document()
"""

# A file that is deleted, or has expired, leaves its stores in the same transaction.
_LEAVE_STORES: Final = """
create function ali.leave_vector_stores() returns trigger
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    perform from ali.store_file f where f.file_id = new.id order by f.id for update;
    perform from ali.store_document d
    where d.id in (select f.document_id from ali.store_file f where f.file_id = new.id)
    order by d.id for no key update;
    delete from ali.store_file f where f.file_id = new.id;
    return null;
end $$
"""
_ON_FILE_GONE: Final = """
create trigger leave_vector_stores after update of state on ali.file
for each row when (new.state = 'gone' and old.state <> 'gone') execute function ali.leave_vector_stores()
"""

TRIGGERS: Final = {
    "leave_store_document": (_LEAVE_DOCUMENT, _ON_LEAVING),
    "leave_vector_stores": (_LEAVE_STORES, _ON_FILE_GONE),
}
"""By their function: that function, and the trigger."""

FUNCTIONS: Final[tuple[str, ...]] = (
    *(TAKE_STORE_FILES, REPORT_STORE_FILES, RELEASE_STORE_FILE, FAIL_STORE_FILE, TOUCH_VECTOR_STORES),
    *(EXPIRE_VECTOR_STORES, LEAVING_VECTOR_STORES, EMPTY_VECTOR_STORE, LEFT_DOCUMENTS, REMOVE_LEFT_DOCUMENT),
)
SIGNATURES: Final[tuple[str, ...]] = (
    "take_store_files(uuid, interval, integer, uuid)",
    "report_store_files(uuid, uuid[], integer[], integer[])",
    "release_store_file(uuid, uuid, interval, boolean)",
    "fail_store_file(uuid, uuid, text, bytea)",
    "touch_vector_stores(uuid, uuid[], interval)",
    "expire_vector_stores(integer)",
    "leaving_vector_stores(integer)",
    "empty_vector_store(uuid, integer)",
    "left_documents(integer)",
    "remove_left_document(uuid)",
)
"""What the service may call, as `door` takes it."""
