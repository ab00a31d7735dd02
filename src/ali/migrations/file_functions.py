"""The functions over files and uploads that reach across tenants: what the service's chores may do."""

from typing import Final

# What has expired or was given up becomes `gone`, and stays so until its object is gone too: a crash between the two
# leaves a row that leads to the object, never an object that nothing leads to. Whether others share the object is asked
# in a statement of its own, after the rows are locked: whoever came to share it before has committed, and is seen, and
# nobody comes to share the object of a row that is gone. A row whose object others need is simply deleted. The name and
# the result are those of pre_0011, whose code runs until it is replaced and may delete what it is told.
SWEEP: Final = """
create or replace function ali.sweep_files(abandoned_after interval, at_most integer)
returns table (id uuid, object_name text)
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare chosen uuid[];
begin
    loop
        with due as (
            select f.id from ali.file f
            where f.holds = 0 and (
                f.state = 'gone' or f.expires_at <= now()
                or (f.state = 'writing' and f.created_at < now() - abandoned_after)
            )
            order by f.id limit at_most for update skip locked
        ), marked as (
            update ali.file f set state = 'gone' from due d where f.id = d.id returning f.id
        )
        select array_agg(m.id) into chosen from marked m;
        exit when chosen is null;
        delete from ali.file f where f.id = any(chosen) and exists (
            select from ali.file o where o.object_name = f.object_name and o.state <> 'gone'
        );
        return query select f.id, f.object_name from ali.file f where f.id = any(chosen);
        exit when found;
    end loop;
end $$
"""

SWEEP_BEFORE: Final = """
create or replace function ali.sweep_files(abandoned_after interval, at_most integer)
returns table (id uuid, object_name text)
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    return query
    with chosen as (
        select f.id from ali.file f
        where f.holds = 0 and (
            f.state = 'gone' or f.expires_at <= now()
            or (f.state = 'writing' and f.created_at < now() - abandoned_after)
        )
        order by f.id limit at_most for update skip locked
    )
    update ali.file f set state = 'gone' from chosen c where f.id = c.id returning f.id, f.object_name;
end $$
"""
"""As pre_0011 made it."""

FORGET_UPLOADS: Final = """
create function ali.forget_uploads(expired_for interval) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    delete from ali.upload u where u.expires_at < now() - expired_for;
$$
"""

SIGNATURES: Final = ("forget_uploads(interval)",)
"""What the service may call from pre_0014 on, as `door` takes it."""
