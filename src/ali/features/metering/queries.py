"""The ledger's statements. Each takes a whole batch as one JSON parameter: one round trip, one commit."""

from typing import Final

_COLUMNS: Final = {
    "id": "uuid",
    "organization_id": "uuid",
    "project_id": "uuid",
    "api_key_id": "uuid",
    "instance_id": "uuid",
    "operation": "text",
    "model": "text",
    "provider": "text",
    "upstream_model": "text",
    "outcome": "text",
    "status": "smallint",
    "error_code": "text",
    "streamed": "boolean",
    "cached": "boolean",
    "attempts": "smallint",
    "usage_reported": "boolean",
    "input_tokens": "integer",
    "cached_input_tokens": "integer",
    "cache_write_tokens": "integer",
    "output_tokens": "integer",
    "reasoning_tokens": "integer",
    "cost_microusd": "bigint",
    "started_at": "timestamptz",
    "first_token_ms": "integer",
    "duration_ms": "integer",
}
_SETTLED: Final = tuple(
    name
    for name in _COLUMNS
    if name not in {"id", "organization_id", "project_id", "api_key_id", "instance_id", "operation", "started_at"}
)

WRITE: Final = (
    "insert into ali.usage_record as r ("  # noqa: S608 - built of the constants above alone
    + ", ".join(_COLUMNS)
    + ") select "
    + ", ".join(_COLUMNS)
    + " from jsonb_to_recordset($1::jsonb) as b("
    + ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    + ") on conflict (id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in _SETTLED)
    + " where r.outcome in ('open', 'lost') and excluded.outcome <> 'open'"
).encode()
"""Opens and settles in one: a record is inserted as it stands, and one that is there is only ever closed, once."""

HEARTBEAT: Final = """
insert into ali.service_instance (id) values (%s)
on conflict (id) do update set heartbeat_at = now()
"""

CLOSE_ORPHANS: Final = """
update ali.usage_record set outcome = 'lost', error_code = 'process_died'
where id in (
    select r.id from ali.usage_record r
    left join ali.service_instance i on i.id = r.instance_id
    where r.outcome = 'open' and (i.id is null or i.heartbeat_at < now() - make_interval(secs => %s))
    limit 1000 for update of r skip locked
)
"""

FORGET_INSTANCES: Final = "delete from ali.service_instance where heartbeat_at < now() - interval '1 day'"

LIMIT_RULES: Final = """
select organization_id, scope, scope_id, model, requests_per_minute, tokens_per_minute, concurrent_streams
from ali.limit_rules()
"""
