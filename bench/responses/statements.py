"""What responses ask of PostgreSQL, counted on the wire: round trips, rows and bytes; long histories; the event log."""

import asyncio
import json
import secrets
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from ali.features.identity.naming import Kind, named
from ali.kernel.ids import uuid7
from bench.database import migrated
from bench.gateway.contestants import Contestant, Stage, ali
from bench.responses.measures import CHUNKS, Bench, asked, cost_of, made
from bench.responses.ways import ANTHROPIC_STORED, ANTHROPIC_UNSTORED, COMPATIBLE, PASS_THROUGH, TERMINAL, Way
from bench.responses.wire import OPENING, Counts, counted

ITEM_BYTES: Final = 8_192
"""Of each item of a long conversation: about 195 are read, and 75 shown."""
_OF_THE_SERVICE: Final = frozenset(
    {"access_epoch", "close_orphans", "idempotency", "limit_rules", "service_instance", "take_responses"}
)
"""What the service asks by itself: its heartbeat, its queue."""
_NAMED: Final = frozenset({"begin_response", "settle_response", "settle_usage", OPENING})
_TRIES: Final = 20
_FILL: Final = """
with text as (
    select string_agg(md5((%(seed)s::integer + n)::text), ' ') as body from generate_series(1, %(bytes)s / 33) n
)
insert into ali.conversation_item (conversation_id, position, organization_id, project_id, item_id, kind, body)
select %(id)s, n, %(organization)s, %(project)s, 'msg_' || n, 'message', convert_to(json_build_object(
    'id', 'msg_' || n, 'type', 'message', 'role', case when n %% 2 = 0 then 'user' else 'assistant' end,
    'status', 'completed', 'content', json_build_array(json_build_object(
        'type', case when n %% 2 = 0 then 'input_text' else 'output_text' end, 'text', text.body))
)::text, 'UTF8')
from generate_series(0, %(items)s - 1) n, text
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Ali before a database of its own, every message between the two counted."""

    contestant: Contestant
    counts: Counts
    owner_dsn: str


@asynccontextmanager
async def counted_service(stage: Stage, *, folder: Path) -> AsyncIterator[Counted]:
    """Start it, in a home of its own; the database runs where this process does."""
    counts = Counts()
    with migrated() as server, counted(server.service_dsn, counts) as dsn:
        settings = {
            **stage.settings,
            "DATABASE_URL": dsn,
            "ALI_DATABASE_OWNER_URL": server.dsn,
            "ALI_API_KEY_HMAC_SECRET": secrets.token_hex(32),
            "ALI_LIMITER_STORE": "process",  # as with an embedded database
        }
        contestant = await ali(replace(stage, folder=folder, settings=settings))
        try:
            yield Counted(contestant=contestant, counts=counts, owner_dsn=server.dsn)
        finally:
            if contestant.child is not None:
                await stage.children.stop(contestant.child)


async def round_trips(bench: Bench, service: Counted) -> None:
    """One request after the other, in each way: its round trips, by the function that each calls."""
    previous = (await made(service.contestant, ANTHROPIC_STORED))["id"]
    conversation = _conversation(service.owner_dsn, items=10)
    cases: list[tuple[str, Way, dict[str, object]]] = [
        ("chat, passed through", PASS_THROUGH, {}),
        ("a response, store: false", ANTHROPIC_UNSTORED, {}),
        ("a response, store: true", ANTHROPIC_STORED, {}),
        ("continued by previous_response_id", ANTHROPIC_STORED, {"previous_response_id": previous}),
        ("continued in a conversation", ANTHROPIC_STORED, {"conversation": conversation}),
    ]
    for name, way, fields in cases:
        for _ in range(_TRIES):
            service.counts.reset()
            await asked(service.contestant, way, way.body(chunks=CHUNKS, more=fields))
            told = _told(service.counts)
            for function, trips in told.items():
                bench.add(f"trips {function}", name, trips)
            bench.add("trips", name, told.total() - told[OPENING])


def _told(counts: Counts) -> Counter[str]:
    """The trips of a request."""
    told: Counter[str] = Counter()
    for function, trips in counts.asked.items():
        if function not in _OF_THE_SERVICE:
            told[function if function in _NAMED else "other"] += trips
    return told


async def histories(bench: Bench, service: Counted) -> None:
    """Conversations of many items, each gone on with by one response after the other."""
    way = Way(name="truncated", fields={"model": COMPATIBLE, "truncation": "auto"})
    for items in bench.plan.history:
        conversation = _conversation(service.owner_dsn, items=items)
        name = f"{items:,} items"
        body = way.body(chunks=CHUNKS, more={"conversation": conversation})
        await asked(service.contestant, way, body)
        taken: list[float] = []
        with cost_of(bench, service.contestant) as cost:
            for _ in range(bench.plan.continued):
                service.counts.reset()
                began = time.monotonic()
                await asked(service.contestant, way, body)
                taken.append((time.monotonic() - began) * 1000)
                bench.add("history_rows", name, service.counts.rows)
                bench.add("history_bytes", name, service.counts.row_bytes)
        for value in taken:
            bench.add("history_ms", name, value)
        bench.add("history_cpu_ms", name, cost.service_s / bench.plan.continued * 1000)
        print(f"· history of {name}: {statistics.median(taken):.1f} ms", file=sys.stderr, flush=True)


async def background(bench: Bench, service: Counted) -> None:
    """Responses in the background, each followed by its caller from the beginning."""
    plan = bench.plan
    way = Way(name="background", fields={"model": ANTHROPIC_STORED.fields["model"], "background": True})
    service.counts.reset()
    began = time.monotonic()
    with cost_of(bench, service.contestant) as cost:
        answers = await asyncio.gather(
            *(
                asked(service.contestant, way, way.body(chunks=plan.background_chunks, interval_ms=5))
                for _ in range(plan.background)
            )
        )
    taken_s = time.monotonic() - began
    events = sum(answer.count(b'"sequence_number":') for answer in answers)
    whole = sum(answer.count(TERMINAL) > 0 for answer in answers)
    asked_for = service.counts.asked
    written = sum(asked_for[name] for name in ("begin_response", "checkpoint_response", "settle_response"))
    bench.add("background_events_per_s", "Ali", events / taken_s)
    bench.add("background_events", "Ali", events / plan.background)
    bench.add("background_commits", "Ali", written / plan.background)
    reads = sum(asked_for[name] for name in ("response", "response_event", "other"))
    bench.add("background_reads", "Ali", reads / plan.background)
    bench.add("background_cpu_us", "Ali", cost.service_s / events * 1e6)
    bench.add("background_whole_percent", "Ali", whole / plan.background * 100)


def _conversation(dsn: str, *, items: int) -> str:
    """A conversation of the owner's project with so many items, as its name."""
    conversation_id = uuid7()
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute("select organization_id, id from ali.project order by created_at limit 1").fetchone()
        assert found is not None  # noqa: S101 - the service made it
        organization, project = found
        connection.execute(
            "insert into ali.conversation (id, organization_id, project_id, next_position) values (%s, %s, %s, %s)",
            (conversation_id, organization, project, items),
        )
        connection.execute(
            _FILL,
            {
                "id": conversation_id,
                "organization": organization,
                "project": project,
                "items": items,
                "bytes": ITEM_BYTES,
                "seed": items * 1000,
            },
        )
        connection.execute("analyze ali.conversation_item")
    return named(Kind.CONVERSATION, UUID(str(conversation_id)))


def settings(upstream: int) -> dict[str, str]:
    """Ali's environment beyond that of the gateway's benchmark: a server that speaks chat completions alone."""
    server = {"name": "compatible", "base_url": f"http://127.0.0.1:{upstream}/v1", "models": [], "api_key": "sk-bench"}
    return {"ALI_COMPATIBLE_PROVIDERS": json.dumps([server])}
