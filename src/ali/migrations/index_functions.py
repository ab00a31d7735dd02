"""The functions over the index of vector stores: which chunks a search looks at closer, and merging segments.

A store's index is a row of segments, each over a stretch of its chunks' numbers, in their order and without overlap. A
posting is the list of a segment's chunks that have one term. Nothing in a segment changes, and a list is ascending, so
`width_bucket`, which is PostgreSQL's binary search, counts and finds in it without unpacking it. What has been deleted
is known by its document's row (`gone`) until a merge has left it out.
"""

from typing import Final

# What of a list is in a multirange. Each range costs two binary searches. `numbers[:]` takes the list out of TOAST
# once.
COUNT_WITHIN: Final = """
create function ali.count_within(numbers integer[], ranges int4multirange) returns bigint
language sql stable parallel safe set search_path = pg_catalog, ali as $$
    select coalesce(sum(width_bucket(upper(r) - 1, l.numbers) - width_bucket(lower(r) - 1, l.numbers)), 0)
    from (select count_within.numbers[:] as numbers offset 0) l, unnest(ranges) r;
$$
"""

# The chunks that score highest by BM25, over all terms given, of which none must occur: at most `top`, the best first.
#
# `groups` says for each term which group of alternatives it belongs to, from 1 on; a chunk's score by a group is that
# of the best alternative. `allowed` has for each store the numbers that may be found (null: all), `barred` those that
# may not. Frequencies, chunks and words are those of the stores as a whole, whatever is allowed. Of the tenant that the
# transaction has entered, by the owner's rights: policies would be asked for each of thousands of postings.
#
# Unpacked and added up are the rarest groups, up to `enough` postings. Commoner ones, which tell little, then only add
# to the score of what those have found; unless that was too little, as under a filter, and all are unpacked after all.
# Up to `enough` postings the result is exact.
#
# `offset 0` keeps the planner from looking for a term through the segments of all stores, and from taking a list out of
# TOAST for each chunk that is looked up in it.
SEARCH_CANDIDATES: Final = """
create function ali.search_candidates(
    stores uuid[], allowed int4multirange[], barred int4multirange[], terms bigint[], groups integer[],
    weights double precision[], top integer, enough bigint
) returns table (
    vector_store_id uuid, number integer, bm25 double precision, words integer, signature bytea, document_id uuid,
    all_chunks bigint, all_words bigint, frequencies bigint[]
)
language plpgsql stable security definer rows 100 set search_path = pg_catalog, ali
set plan_cache_mode = force_generic_plan set jit = off set work_mem = '64MB' set max_parallel_workers_per_gather = 0
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
    organization constant uuid := current_setting('ali.organization')::uuid;
    project constant uuid := current_setting('ali.project')::uuid;
    number_of_groups constant integer := cardinality(weights);
    dead int4multirange[]; admitted int4multirange[]; several boolean[]; unpacked boolean[]; factors double precision[];
    flat constant double precision := 1.2 * (1 - 0.75); slope double precision;
    keys bigint[]; scores double precision[];
begin
    select array_agg(v.id order by s.place), sum(v.chunks), sum(v.words), array_agg(s.allowed order by s.place),
        array_agg(coalesce(s.barred, '{}') order by s.place),
        array_agg((
            select coalesce(range_agg(int4range(d.first_number, d.first_number + d.chunks)), '{}')
            from ali.store_document d where d.vector_store_id = v.id and d.state = 'gone'
        ) order by s.place)
    into stores, all_chunks, all_words, allowed, barred, dead
    from unnest(stores, allowed, barred) with ordinality as s (id, allowed, barred, place)
    join ali.vector_store v on v.id = s.id
    where v.organization_id = organization and v.project_id = project and v.state = 'ready';
    if all_chunks is null or all_chunks = 0 then
        return;
    end if;
    slope := 1.2 * 0.75 * all_chunks / greatest(all_words, 1);

    select array_agg(coalesce(f.frequency, 0) order by g), array_agg(coalesce(f.terms > 1, false) order by g)
    into frequencies, several
    from generate_series(1, number_of_groups) g
    left join (
        select t.group_number, count(distinct t.term) as terms,
            sum(p.chunks - case
                when dead[s.place] && i.stretch then ali.count_within(p.numbers, dead[s.place] * i.stretch) else 0
            end)::bigint as frequency
        from unnest(stores) with ordinality as s (id, place)
        cross join lateral (
            select o.id, int4multirange(int4range(o.first_number, o.end_number)) as stretch
            from ali.segment o where o.vector_store_id = s.id
        ) i
        cross join unnest(terms, groups) as t (term, group_number)
        cross join lateral (
            select o.chunks, o.numbers from ali.posting o where o.segment_id = i.id and o.term = t.term offset 0
        ) p
        group by t.group_number
    ) f on f.group_number = g;

    select array_agg(
            weights[g] * ln(1 + (all_chunks - f.frequency + 0.5) / (f.frequency + 0.5)) order by g
        ),
        array_agg(f.before < 10 * top or f.before + f.frequency <= enough order by g)
    into factors, unpacked
    from (
        select g, least(frequencies[g], all_chunks)::double precision as frequency,
            coalesce(sum(frequencies[g]) over (
                order by frequencies[g], g rows between unbounded preceding and 1 preceding
            ), 0) as before
        from generate_series(1, number_of_groups) g
    ) f;
    select array_agg(case
            when s.allowed is not null then s.allowed - s.dead - s.barred
            when s.dead <> '{}' or s.barred <> '{}' then '{(,)}'::int4multirange - s.dead - s.barred
        end order by s.place)
    into admitted
    from unnest(allowed, barred, dead) with ordinality as s (allowed, barred, dead, place);

    loop
        with list as materialized (
            select s.place << 32 as store, admitted[s.place] as admitted, t.group_number,
                several[t.group_number] as several, unpacked[t.group_number] as unpacked,
                factors[t.group_number] as factor, i.first_number, i.end_number, p.numbers, p.weights
            from unnest(stores) with ordinality as s (id, place)
            join ali.segment i on i.vector_store_id = s.id
            cross join unnest(terms, groups) as t (term, group_number)
            cross join lateral (
                select o.numbers, o.weights from ali.posting o where o.segment_id = i.id and o.term = t.term offset 0
            ) p
            where factors[t.group_number] > 0
                and (admitted[s.place] is null or admitted[s.place] && int4range(i.first_number, i.end_number))
        ), partial as (
            select h.key, sum(h.score) as score from (
                select h.store + h.number as key, h.factor * h.count / (h.count + flat + slope * h.length) as score
                from (
                    select o.store, o.number, o.factor, (o.weight & 15)::double precision as count,
                        o.weight >> 4 as length
                    from (
                        select l.store, l.admitted, l.factor, unnest(l.numbers) as number, unnest(l.weights) as weight
                        from list l where l.unpacked and not l.several
                    ) o where o.admitted is null or o.number <@ o.admitted
                ) h
                union all
                select h.store + h.number, max(h.factor * h.count / (h.count + flat + slope * h.length))
                from (
                    select o.store, o.number, o.group_number, o.factor, (o.weight & 15)::double precision as count,
                        o.weight >> 4 as length
                    from (
                        select l.store, l.admitted, l.factor, l.group_number, unnest(l.numbers) as number,
                            unnest(l.weights) as weight
                        from list l where l.unpacked and l.several
                    ) o where o.admitted is null or o.number <@ o.admitted
                ) h
                group by h.store + h.number, h.group_number
            ) h
            group by h.key
        ), best as materialized (
            select p.key, p.score, p.key & -4294967296 as store, (p.key & 4294967295)::integer as number from partial p
            order by p.score desc, p.key limit case when true = all(unpacked) then top else 10 * top end
        ), more as (
            select b.key, max(
                l.factor * (l.weights[a.at] & 15) / ((l.weights[a.at] & 15) + flat + slope * (l.weights[a.at] >> 4))
            ) as score
            from (
                select l.store, l.first_number, l.end_number, l.group_number, l.factor, l.numbers[:] as numbers,
                    l.weights[:] as weights
                from list l where not l.unpacked offset 0
            ) l
            cross join lateral (
                select o.key, o.number from best o
                where o.store = l.store and o.number >= l.first_number and o.number < l.end_number offset 0
            ) b
            cross join lateral (select width_bucket(b.number, l.numbers) as at offset 0) a
            where l.numbers[a.at] = b.number
            group by b.key, l.group_number
        ), chosen as (
            select s.key, sum(s.score) as score
            from (select b.key, b.score from best b union all select m.key, m.score from more m) s
            group by s.key order by 2 desc, 1 limit top
        )
        select array_agg(c.key order by c.score desc, c.key), array_agg(c.score order by c.score desc, c.key)
        into keys, scores from chosen c;
        exit when true = all(unpacked) or cardinality(keys) >= top;
        unpacked := array_fill(true, array[number_of_groups]);
    end loop;

    return query
    select c.vector_store_id, c.number, k.score, c.words, c.signature, c.document_id, all_chunks, all_words, frequencies
    from unnest(keys, scores) with ordinality as k (key, score, place)
    join ali.store_chunk c
        on c.vector_store_id = stores[(k.key >> 32)::integer] and c.number = (k.key & 4294967295)::integer
    order by k.place;
end $$
"""

# A document goes: no search finds it, it is out of its store's counts, so that frequencies and the mean length are
# exact at once, and its chunks are deleted. Its postings go with a merge, and with them its row, unless a file leads
# to it still. Locks the store's row. False where it is gone already. Cost: about 10 µs a chunk.
REMOVE_DOCUMENT: Final = """
create function ali.remove_document(document uuid) returns boolean
language plpgsql set search_path = pg_catalog, ali as $$
declare store uuid; gone record;
begin
    select d.vector_store_id into store from ali.store_document d where d.id = document;
    perform from ali.vector_store v where v.id = store for no key update;
    update ali.store_document d set state = 'gone', gone_at = now() where d.id = document and d.state <> 'gone'
    returning d.first_number, d.chunks, d.words into gone;
    if not found then
        return false;
    end if;
    update ali.vector_store v set chunks = v.chunks - gone.chunks, words = v.words - gone.words, merge_due = true
    where v.id = store;
    delete from ali.store_chunk c
    where c.vector_store_id = store and c.number >= gone.first_number and c.number < gone.first_number + gone.chunks;
    return true;
end $$
"""

# Which segments of a store should become one, in their order; null for none.
#
# Those of a deleted document first, when an eighth of a segment is of deleted ones, or a day has passed: what it said
# must not stay for ever. Then the first eight neighbours of which none has more than a quarter of what all have, so
# that a posting is written anew a few times in all. One of 32,768 chunks or more is large enough.
SEGMENTS_TO_MERGE: Final = """
create function ali.segments_to_merge(store uuid) returns bigint[]
language sql stable set search_path = pg_catalog, ali set plan_cache_mode = force_custom_plan as $$
    with segment as materialized (
        select i.id, i.first_number, i.end_number, i.end_number - i.first_number as chunks
        from ali.segment i where i.vector_store_id = store
    ), gone as materialized (
        select d.first_number, d.first_number + d.chunks as end_number, d.gone_at
        from ali.store_document d where d.vector_store_id = store and d.state = 'gone' and d.chunks > 0
    ), due as (
        select g.first_number, g.end_number from gone g
        join segment i on i.first_number < g.end_number and i.end_number > g.first_number
        where g.gone_at < now() - interval '1 day' or 8 * (
            select sum(least(o.end_number, i.end_number) - greatest(o.first_number, i.first_number)) from gone o
            where o.first_number < i.end_number and o.end_number > i.first_number
        ) >= i.chunks
        order by g.gone_at limit 1
    )
    select coalesce(
        (
            select array_agg(i.id order by i.first_number) from segment i
            join due d on i.first_number < d.end_number and i.end_number > d.first_number
        ),
        (
            select w.ids from (
                select i.first_number, array_agg(i.id) over eight as ids, sum(i.chunks) over eight as total,
                    max(i.chunks) over eight as largest, count(*) over eight as segments
                from segment i window eight as (order by i.first_number rows between current row and 7 following)
            ) w
            where w.segments = 8 and w.largest < 32768 and 4 * w.largest <= w.total order by w.first_number limit 1
        )
    );
$$
"""

# One merge in one store, in one transaction: the postings of some segments become those of one, without what has been
# deleted. Searches see the old ones or the new one. Writers and removals are not held up: what is removed meanwhile
# stays `gone` for the next merge. How many segments became one; 0 where nothing was to be done, or another is at it.
#
# Lists are taken apart and put together in the order of terms and segments, a group at a time; with `enable_hashagg`
# all would be in memory at once.
MERGE_SEGMENTS: Final = """
create function ali.merge_segments(store uuid) returns integer
language plpgsql security definer set search_path = pg_catalog, ali
set plan_cache_mode = force_custom_plan set jit = off set work_mem = '64MB' set max_parallel_workers_per_gather = 0
set enable_hashagg = off set enable_seqscan = off as $$
declare
    ids bigint[] := ali.segments_to_merge(store); old ali.segment; merged bigint; dead int4multirange; left_out uuid[];
    locked integer;
begin
    if ids is null then
        perform from ali.vector_store v where v.id = store for no key update skip locked;
        if found and ali.segments_to_merge(store) is null then
            update ali.vector_store v set merge_due = false where v.id = store and v.merge_due;
            delete from ali.store_document d
            where d.vector_store_id = store and d.state = 'gone' and d.chunks = 0
                and not exists (select from ali.store_file f where f.document_id = d.id);
        end if;
        return 0;
    end if;
    select count(*) into locked
    from (select from ali.segment i where i.id = any(ids) order by i.id for update skip locked) l;
    if locked < cardinality(ids) then
        return 0;
    end if;
    with deleted as (delete from ali.segment i where i.id = any(ids) returning i.*)
    select store, d.organization_id, d.project_id, min(d.first_number), max(d.end_number)
    into old.vector_store_id, old.organization_id, old.project_id, old.first_number, old.end_number
    from deleted d group by 2, 3;
    select coalesce(range_agg(int4range(d.first_number, d.first_number + d.chunks)), '{}'),
        array_agg(d.id) filter (
            where d.first_number >= old.first_number and d.first_number + d.chunks <= old.end_number
        )
    into dead, left_out
    from ali.store_document d
    where d.vector_store_id = store and d.state = 'gone' and d.first_number < old.end_number
        and d.first_number + d.chunks > old.first_number;
    insert into ali.segment (vector_store_id, organization_id, project_id, first_number, end_number)
    values (store, old.organization_id, old.project_id, old.first_number, old.end_number) returning id into merged;
    insert into ali.posting (segment_id, term, organization_id, project_id, chunks, numbers, weights)
    select merged, n.term, old.organization_id, old.project_id, count(*), array_agg(n.number), array_agg(n.weight)
    from (
        select p.term, unnest(p.numbers) as number, unnest(p.weights) as weight
        from (
            select p.term, p.numbers, p.weights from unnest(ids) with ordinality as i (id, place)
            join ali.posting p on p.segment_id = i.id order by p.term, i.place offset 0
        ) p
    ) n
    where dead = '{}' or not n.number <@ dead
    group by n.term;
    if not found then
        delete from ali.segment i where i.id = merged;
    end if;
    delete from ali.posting p where p.segment_id = any(ids);
    update ali.store_document d set chunks = 0 where d.id = any(left_out);
    return locked;
end $$
"""

# Stores in which a merge may be due: in turns, so that one which is always due leaves room for others.
STORES_TO_MERGE: Final = """
create function ali.stores_to_merge(after uuid, at_most integer) returns setof uuid
language sql stable security definer set search_path = pg_catalog, ali as $$
    select v.id from ali.vector_store v where v.merge_due and v.state = 'ready' and v.id > after
    union
    select d.vector_store_id from ali.store_document d
    join ali.vector_store v on v.id = d.vector_store_id and v.state = 'ready'
    where d.state = 'gone' and d.gone_at < now() - interval '1 day' and d.vector_store_id > after
    order by 1 limit at_most;
$$
"""

# Of a store that is gone or has expired: some of its chunks and postings. How many rows went; 0 when none is left. The
# store's documents are whoever's that deletes the store.
CLEAR_INDEX: Final = """
create function ali.clear_index(store uuid, at_most integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, ali as $$
declare cleared bigint; more bigint;
begin
    perform from ali.vector_store v where v.id = store and v.state in ('expiring', 'gone');
    if not found then
        return 0;
    end if;
    delete from ali.store_chunk c where c.vector_store_id = store and c.number in (
        select o.number from ali.store_chunk o where o.vector_store_id = store order by o.number limit at_most
    );
    get diagnostics cleared = row_count;
    delete from ali.posting p using (
        select o.segment_id, o.term from ali.segment i join ali.posting o on o.segment_id = i.id
        where i.vector_store_id = store limit at_most - cleared
    ) o
    where p.segment_id = o.segment_id and p.term = o.term;
    get diagnostics more = row_count;
    cleared := cleared + more;
    if cleared = 0 then
        delete from ali.segment i where i.vector_store_id = store;
    end if;
    return cleared;
end $$
"""

FUNCTIONS: Final[tuple[str, ...]] = (
    *(COUNT_WITHIN, SEARCH_CANDIDATES, REMOVE_DOCUMENT, SEGMENTS_TO_MERGE, MERGE_SEGMENTS, STORES_TO_MERGE),
    CLEAR_INDEX,
)
_SEARCH: Final = "uuid[], int4multirange[], int4multirange[], bigint[], integer[], double precision[], integer, bigint"
SIGNATURES: Final[tuple[str, ...]] = (
    f"search_candidates({_SEARCH})",
    "merge_segments(uuid)",
    "stores_to_merge(uuid, integer)",
)
"""What the service may call, as `door` takes it."""
INNER_SIGNATURES: Final[tuple[str, ...]] = (
    "count_within(integer[], int4multirange)",
    "remove_document(uuid)",
    "segments_to_merge(uuid)",
    "clear_index(uuid, integer)",
)
"""What only other functions call."""
