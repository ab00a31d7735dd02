"""SQL functions over vectors: searching them, giving a large store a partition and an index of its own, and taking
them away. Why it is done so: docs/adr/0022-vectors.md.

`EXTENSION` stands for the schema that pgvector is in, which the migration puts in its place.
"""

from typing import Final

VECTOR_SPACE: Final = """
create function ali.vector_space(p_model text) returns ali.vector_space
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare found_space ali.vector_space;
begin
    select * into found_space from ali.vector_space s where s.model = p_model;
    if not found then
        insert into ali.vector_space (model) values (p_model) on conflict do nothing;
        select * into found_space from ali.vector_space s where s.model = p_model;
    end if;
    return found_space;
end $$
"""

# The first who writes a vector of a space says how long its vectors are.
SPACE_DIMENSIONS: Final = """
create function ali.space_dimensions(p_space integer, p_dimensions integer) returns integer
language sql security definer set search_path = pg_catalog, ali as $$
    update ali.vector_space set dimensions = p_dimensions where id = p_space and dimensions is null;
    select dimensions from ali.vector_space where id = p_space;
$$
"""

# Of each store of the tenant that the transaction has entered, the vectors that are nearest, and those of the chunks
# that are asked for anyway (`wanted_stores`, `wanted_numbers`): how near each is, and how near and how far apart chunks
# of that store are to this question on the whole, by 64 of them spread over it. `allowed` has for each store the
# numbers that may be found (null: all), `barred` those that may not.
#
# By the store's index where it has one and more than `exact_up_to` numbers may be found; where that finds too few, and
# everywhere else, by looking at each vector that may be found. So nothing is ever missed for a filter. Vectors have
# unit length, so that the inner product is the cosine. The statements name the shelf as a literal: PostgreSQL plans for
# that partition alone and locks no other.
SEARCH_VECTORS: Final = """
create function ali.search_vectors(
    stores uuid[], allowed int4multirange[], barred int4multirange[], wanted_stores uuid[], wanted_numbers integer[],
    space integer, query EXTENSION.halfvec, at_most integer, exact_up_to integer
) returns table (vector_store_id uuid, number integer, similarity real, mean real, deviation real)
language plpgsql security definer rows 100 set search_path = pg_catalog, ali set jit = off
set max_parallel_workers_per_gather = 0 as $$
declare
    organization constant uuid := current_setting('ali.organization')::uuid;
    project constant uuid := current_setting('ali.project')::uuid;
    place record;
    shelves text;
    admitted int4multirange;
    candidates bigint;
    numbers integer[];
    similarities real[];
    others integer[];
    other_similarities real[];
    average real;
    spread real;
begin
    for place in
        select v.vector_store_id as store, v.shelf, v.state, o.next_number, s.allowed,
            coalesce(s.barred, '{}') as barred,
            array(
                select w.number from unnest(wanted_stores, wanted_numbers) as w (store, number) where w.store = s.id
            ) as wanted
        from unnest(stores, allowed, barred) with ordinality as s (id, allowed, barred, turn)
        join ali.vector_store o on o.id = s.id
        join ali.store_vectors v on v.vector_store_id = s.id and v.space = search_vectors.space
        join ali.vector_space p on p.id = v.space and p.dimensions = EXTENSION.vector_dims(query)
        where o.organization_id = organization and o.project_id = project and o.state = 'ready'
        order by s.turn
    loop
        numbers := null;
        shelves := case place.state when 'moving' then '0, ' || place.shelf else place.shelf::text end;
        admitted := coalesce(place.allowed, '{(,)}') - place.barred;
        continue when isempty(admitted);
        select sum(upper(r)::bigint - lower(r)) into candidates from unnest(admitted) r
        having not bool_or(lower_inf(r) or upper_inf(r));
        if place.state = 'own' and (candidates is null or candidates > exact_up_to) then
            perform set_config('hnsw.iterative_scan', 'strict_order', true),
                set_config('hnsw.ef_search', least(greatest(2 * at_most, 200), 1000)::text, true),
                set_config('hnsw.max_scan_tuples', '40000', true);
            execute format($query$
                select array_agg(n.number order by n.distance), array_agg(-n.distance::real order by n.distance) from (
                    select c.number, (c.vector::EXTENSION.halfvec(%1$s)) operator(EXTENSION.<#>) $1 as distance
                    from ali.chunk_vector c
                    where c.shelf = %2$s and c.vector_store_id = $2 and c.space = $3 and ($4 is null or c.number <@ $4)
                    order by (c.vector::EXTENSION.halfvec(%1$s)) operator(EXTENSION.<#>) $1 limit $5
                ) n
            $query$, EXTENSION.vector_dims(query), place.shelf)
            into numbers, similarities
            using query, place.store, space, nullif(admitted, '{(,)}'), at_most;
        end if;
        if coalesce(cardinality(numbers), 0) < at_most then
            -- `offset 0`: for each range of numbers its vectors, by the primary key.
            execute format($query$
                select array_agg(n.number order by n.distance, n.number),
                    array_agg(-n.distance::real order by n.distance, n.number)
                from (
                    select m.number, m.distance from unnest($4) r cross join lateral (
                        select c.number, c.vector operator(EXTENSION.<#>) $1 as distance from ali.chunk_vector c
                        where c.shelf in (%s) and c.vector_store_id = $2 and c.space = $3
                            and c.number >= coalesce(lower(r), 0) and c.number < coalesce(upper(r), 2147483647)
                        offset 0
                    ) m
                    order by m.distance, m.number limit $5
                ) n
            $query$, shelves)
            into numbers, similarities using query, place.store, space, admitted, at_most;
        end if;
        others := null;
        other_similarities := null;
        place.wanted := array(select unnest(place.wanted) except select unnest(numbers));
        if cardinality(place.wanted) > 0 then
            execute format($query$
                select array_agg(c.number), array_agg(-(c.vector operator(EXTENSION.<#>) $1)::real)
                from ali.chunk_vector c
                where c.shelf in (%s) and c.vector_store_id = $2 and c.space = $3 and c.number = any($4)
            $query$, shelves)
            into others, other_similarities using query, place.store, space, place.wanted;
        end if;
        execute format($query$
            select avg(m.similarity), stddev_pop(m.similarity) from generate_series(0, 63) k cross join lateral (
                select -(c.vector operator(EXTENSION.<#>) $1) as similarity from ali.chunk_vector c
                where c.shelf in (%s) and c.vector_store_id = $2 and c.space = $3 and c.number >= (k * $4 / 64)::integer
                order by c.number limit 1
            ) m
        $query$, shelves)
        into average, spread using query, place.store, space, place.next_number::bigint;
        return query
        select place.store, n.number, n.similarity, average, spread
        from unnest(numbers || others, similarities || other_similarities) as n (number, similarity);
    end loop;
end $$
"""

# A shelf is a partition of its own with an index over its vectors. It is made whole before it is attached, which needs
# no lock that a reader or writer would wait for; one that its store has left goes to the next.
TAKE_SHELF: Final = """
create function ali.take_shelf(p_dimensions integer) returns integer
language plpgsql security definer set search_path = pg_catalog, ali set lock_timeout = '2s' as $$
declare taken integer; name text;
begin
    select s.shelf into taken from ali.vector_shelf s
    where s.free and s.dimensions = p_dimensions order by s.shelf limit 1 for update skip locked;
    if found then
        update ali.vector_shelf s set free = false where s.shelf = taken;
        return taken;
    end if;
    insert into ali.vector_shelf (dimensions) values (p_dimensions) returning shelf into taken;
    name := 'chunk_vector_' || taken;
    execute format(
        'create table ali.%I (like ali.chunk_vector including storage, constraint shelf check (shelf = %s))',
        name, taken
    );
    execute format('alter table ali.%I enable row level security, force row level security', name);
    execute format('create policy owner on ali.%I to current_user using (true) with check (true)', name);
    execute format(
        'create index on ali.%I using hnsw ((vector::EXTENSION.halfvec(%s)) EXTENSION.halfvec_ip_ops)',
        name, p_dimensions
    );
    execute format('alter table ali.chunk_vector attach partition ali.%I for values in (%s)', name, taken);
    return taken;
end $$
"""

# One step, short, so that nobody waits long for it: a shelf is taken, or some vectors go there. Vectors are moved under
# the lock on the store that all who write into it take. NULL: nothing is to be done.
SHELVE_VECTORS: Final = """
create function ali.shelve_vectors(p_exact_up_to integer, p_at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare place ali.store_vectors; moved integer;
begin
    select v.* into place from ali.store_vectors v
        join ali.vector_store s on s.id = v.vector_store_id
        join ali.vector_space p on p.id = v.space
    where s.state = 'ready' and p.dimensions is not null and (
        v.state = 'moving' or (
            v.state = 'shared' and s.next_number > p_exact_up_to and p_exact_up_to < (
                select count(*) from (
                    select from ali.chunk_vector c
                    where c.shelf = 0 and c.vector_store_id = v.vector_store_id and c.space = v.space
                    limit p_exact_up_to + 1
                ) n
            )
        )
    )
    order by v.state, v.vector_store_id limit 1 for no key update of s skip locked;
    if not found then
        return null;
    end if;
    select * into place from ali.store_vectors v
    where v.vector_store_id = place.vector_store_id and v.space = place.space for update;
    if place.state = 'shared' then
        update ali.store_vectors v
        set state = 'moving', shelf = ali.take_shelf(
            (select p.dimensions from ali.vector_space p where p.id = place.space)
        )
        where v.vector_store_id = place.vector_store_id and v.space = place.space;
        return 0;
    end if;
    with next as (
        select c.number from ali.chunk_vector c
        where c.shelf = 0 and c.vector_store_id = place.vector_store_id and c.space = place.space
        order by c.number limit p_at_most
    )
    update ali.chunk_vector c set shelf = place.shelf from next n
    where c.shelf = 0 and c.vector_store_id = place.vector_store_id and c.space = place.space and c.number = n.number;
    get diagnostics moved = row_count;
    if moved = 0 then
        update ali.store_vectors v set state = 'own'
        where v.vector_store_id = place.vector_store_id and v.space = place.space;
    end if;
    return moved;
end $$
"""

# With a document go its vectors, with a store its shelves; whoever deletes those need not know of these.
FORGET_DOCUMENT_VECTORS: Final = """
create function ali.forget_document_vectors() returns trigger
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare place ali.store_vectors;
begin
    for place in select * from ali.store_vectors v where v.vector_store_id = old.vector_store_id loop
        execute format(
            'delete from ali.chunk_vector c where c.shelf in (0, %s) and c.vector_store_id = $1 and c.space = $2'
            ' and c.number >= $3 and c.number < $4', place.shelf
        ) using old.vector_store_id, place.space, old.first_number, old.first_number + old.chunks;
    end loop;
    delete from ali.embedding_task t where t.document_id = old.id;
    return null;
end $$
"""

FORGET_STORE_VECTORS: Final = """
create function ali.forget_store_vectors() returns trigger
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    update ali.vector_shelf s set free = true from ali.store_vectors v
    where v.vector_store_id = old.id and v.shelf = s.shelf;
    delete from ali.store_vectors v where v.vector_store_id = old.id;
    return old;
end $$
"""

# Vectors of another model are of use until the last document of their store has those of the present one.
FORGET_STALE_VECTORS: Final = """
create function ali.forget_stale_vectors(p_space integer, p_at_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare place ali.store_vectors; gone integer;
begin
    select v.* into place from ali.store_vectors v join ali.vector_store s on s.id = v.vector_store_id
    where v.space <> p_space and not exists (
        select from ali.store_document d where d.vector_store_id = v.vector_store_id and d.state = 'ready'
            and d.embedded_by is distinct from p_space
    )
    limit 1 for no key update of s skip locked;
    if not found then
        return null;
    end if;
    execute format($query$
        delete from ali.chunk_vector c where c.shelf in (0, %1$s) and c.vector_store_id = $1 and c.space = $2
            and c.number in (
                select o.number from ali.chunk_vector o
                where o.shelf in (0, %1$s) and o.vector_store_id = $1 and o.space = $2 limit $3
            )
    $query$, place.shelf) using place.vector_store_id, place.space, p_at_most;
    get diagnostics gone = row_count;
    if gone = 0 then
        update ali.vector_shelf s set free = true where s.shelf = place.shelf;
        delete from ali.store_vectors v where v.vector_store_id = place.vector_store_id and v.space = place.space;
    end if;
    return gone;
end $$
"""

_SEARCH_SIGNATURE: Final = (
    "search_vectors(uuid[], int4multirange[], int4multirange[], uuid[], integer[], integer, EXTENSION.halfvec,"
    " integer, integer)"
)
FUNCTIONS: Final = (
    VECTOR_SPACE,
    SPACE_DIMENSIONS,
    SEARCH_VECTORS,
    TAKE_SHELF,
    SHELVE_VECTORS,
    FORGET_DOCUMENT_VECTORS,
    FORGET_STORE_VECTORS,
    FORGET_STALE_VECTORS,
)
SIGNATURES: Final = (
    "vector_space(text)",
    "space_dimensions(integer, integer)",
    _SEARCH_SIGNATURE,
    "shelve_vectors(integer, integer)",
    "forget_stale_vectors(integer, integer)",
)
"""What the service may call, as `door` takes it."""
INNER_SIGNATURES: Final = ("take_shelf(integer)", "forget_document_vectors()", "forget_store_vectors()")
"""What only these functions and triggers call."""
