"""The ledger's statements. Each takes a whole batch as one JSON parameter: one round trip, one commit.

They are calls of functions with their owner's rights (migrations): a batch holds records of many tenants.
"""

from typing import Final

WRITE: Final = b"select ali.settle_usage($1::jsonb)"
"""Opens and settles in one: a record is inserted as it stands, and one that is there is only ever closed, once."""

HEARTBEAT: Final = """
insert into ali.service_instance (id) values (%s)
on conflict (id) do update set heartbeat_at = now()
"""

CLOSE_ORPHANS: Final = "select ali.close_orphans(make_interval(secs => %s))"

FORGET_INSTANCES: Final = "delete from ali.service_instance where heartbeat_at < now() - interval '1 day'"

LIMIT_RULES: Final = """
select organization_id, scope, scope_id, model, requests_per_minute, tokens_per_minute, concurrent_streams
from ali.limit_rules()
"""
