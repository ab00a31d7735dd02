"""SQL functions over embeddings: those that are kept for next time, and the documents that are still to be embedded."""

from typing import Final

FIND_EMBEDDINGS: Final = """
create function ali.find_embeddings(p_organization uuid, p_project uuid, p_digests bytea[]) returns table (
    digest bytea, vector bytea
)
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    update ali.embedding e set used_at = now()
    where e.organization_id = p_organization and e.project_id = p_project and e.digest = any (p_digests)
        and e.used_at < now() - interval '1 day';
    return query select e.digest, e.vector from ali.embedding e
    where e.organization_id = p_organization and e.project_id = p_project and e.digest = any (p_digests);
end $$
"""

KEEP_EMBEDDINGS: Final = """
create function ali.keep_embeddings(p_organization uuid, p_project uuid, p_digests bytea[], p_vectors bytea[])
returns void
language sql security definer set search_path = pg_catalog, ali as $$
    insert into ali.embedding (project_id, digest, organization_id, vector)
    select p_project, n.digest, p_organization, n.vector from unnest(p_digests, p_vectors) as n (digest, vector)
    order by n.digest on conflict do nothing;
$$
"""

# At most 10,000 at once, so that it stays short; what is left is for the next time.
FORGET_EMBEDDINGS: Final = """
create function ali.forget_embeddings(p_most_per_project integer, p_unused interval) returns bigint
language sql security definer set search_path = pg_catalog, ali as $$
    with crowded as (
        select e.project_id from ali.embedding e group by e.project_id having count(*) > p_most_per_project
    ), chosen as (
        (select e.project_id, e.digest from ali.embedding e where e.used_at < now() - p_unused limit 10000)
        union
        (select o.project_id, o.digest from crowded c cross join lateral (
            select e.project_id, e.digest from ali.embedding e where e.project_id = c.project_id
            order by e.used_at desc, e.digest offset p_most_per_project limit 10000
        ) o limit 10000)
    ), gone as (
        delete from ali.embedding e using chosen c
        where e.project_id = c.project_id and e.digest = c.digest returning 1
    )
    select count(*) from gone;
$$
"""

PLAN_EMBEDDING: Final = """
create function ali.plan_embedding(p_space integer) returns bigint
language sql security definer set search_path = pg_catalog, ali as $$
    with planned as (
        insert into ali.embedding_task (document_id, vector_store_id, organization_id, project_id)
        select d.id, d.vector_store_id, d.organization_id, d.project_id from ali.store_document d
        where d.state = 'ready' and d.embedded_by is distinct from p_space
        on conflict do nothing returning 1
    )
    select count(*) from planned;
$$
"""

# As batches are taken: what nobody holds, or a dead process did; of each project the oldest first, in turns.
TAKE_EMBEDDING_TASKS: Final = """
create function ali.take_embedding_tasks(p_instance uuid, p_dead_after interval, p_at_most integer) returns table (
    document_id uuid, vector_store_id uuid, organization_id uuid, project_id uuid, first_number integer, chunks integer
)
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    return query
    with waiting as (
        select t.document_id, row_number() over (partition by t.project_id order by t.document_id) as turn
        from ali.embedding_task t
        where (t.resume_at is null or t.resume_at <= now())
            and (t.instance_id is null or (
                t.claimed_at < now() - p_dead_after and not exists (
                    select from ali.service_instance i
                    where i.id = t.instance_id and i.heartbeat_at >= now() - p_dead_after
                )
            ))
    ), chosen as (
        select t.document_id from ali.embedding_task t join waiting w on w.document_id = t.document_id
        order by w.turn, t.document_id limit p_at_most for update of t skip locked
    ), taken as (
        update ali.embedding_task t set instance_id = p_instance, claimed_at = now(), resume_at = null
        from chosen c where t.document_id = c.document_id returning t.document_id
    )
    select d.id, d.vector_store_id, d.organization_id, d.project_id, d.first_number, d.chunks
    from taken t join ali.store_document d on d.id = t.document_id;
end $$
"""

RELEASE_EMBEDDING_TASK: Final = """
create function ali.release_embedding_task(p_document uuid, p_instance uuid, p_pause interval) returns void
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.embedding_task t set instance_id = null, claimed_at = null, resume_at = now() + p_pause
    where t.document_id = p_document and t.instance_id = p_instance;
$$
"""

FUNCTIONS: Final = (
    FIND_EMBEDDINGS,
    KEEP_EMBEDDINGS,
    FORGET_EMBEDDINGS,
    PLAN_EMBEDDING,
    TAKE_EMBEDDING_TASKS,
    RELEASE_EMBEDDING_TASK,
)
SIGNATURES: Final = (
    "find_embeddings(uuid, uuid, bytea[])",
    "keep_embeddings(uuid, uuid, bytea[], bytea[])",
    "forget_embeddings(integer, interval)",
    "plan_embedding(integer)",
    "take_embedding_tasks(uuid, interval, integer)",
    "release_embedding_task(uuid, uuid, interval)",
)
"""What the service may call, as `door` takes it."""
