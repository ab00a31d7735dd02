"""The statement that writes usage records, and the function around it before there are budgets.

PL/pgSQL keeps the plan for the session, also where a pooler forbids prepared statements.
"""

from typing import Final

WRITE_RECORDS: Final = """
    insert into ali.usage_record as r (
        id, organization_id, project_id, api_key_id, user_id, instance_id, operation, model, provider, upstream_model,
        outcome, status, error_code, streamed, cached, attempts, usage_reported, input_tokens, cached_input_tokens,
        cache_write_tokens, output_tokens, reasoning_tokens, cost_microusd, started_at, first_token_ms, duration_ms
    )
    select b.* from jsonb_to_recordset(batch) as b(
        id uuid, organization_id uuid, project_id uuid, api_key_id uuid, user_id uuid, instance_id uuid,
        operation text, model text, provider text, upstream_model text, outcome text, status smallint, error_code text,
        streamed boolean, cached boolean, attempts smallint, usage_reported boolean, input_tokens integer,
        cached_input_tokens integer, cache_write_tokens integer, output_tokens integer, reasoning_tokens integer,
        cost_microusd bigint, started_at timestamptz, first_token_ms integer, duration_ms integer
    )
    on conflict (id) do update set
        model = excluded.model, provider = excluded.provider, upstream_model = excluded.upstream_model,
        outcome = excluded.outcome, status = excluded.status, error_code = excluded.error_code,
        streamed = excluded.streamed, cached = excluded.cached, attempts = excluded.attempts,
        usage_reported = excluded.usage_reported, input_tokens = excluded.input_tokens,
        cached_input_tokens = excluded.cached_input_tokens, cache_write_tokens = excluded.cache_write_tokens,
        output_tokens = excluded.output_tokens, reasoning_tokens = excluded.reasoning_tokens,
        cost_microusd = excluded.cost_microusd, first_token_ms = excluded.first_token_ms,
        duration_ms = excluded.duration_ms
    where r.outcome in ('open', 'lost') and excluded.outcome <> 'open'
"""

SETTLE_USAGE: Final = f"""
create or replace function ali.settle_usage(batch jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, ali as $$
begin
    {WRITE_RECORDS};
end $$
"""
