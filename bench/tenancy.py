"""`./run bench tenancy`: what the wall between tenants costs a query, against the same query on a table without it."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg

from ali.kernel.ids import uuid7
from bench.database import migrated
from bench.gateway.figures import Spread, ratios
from bench.gateway.machine import this_machine

NAME = "tenancy"
SUMMARY = "What row-level security costs a query: a point look-up in one round trip, with the policy and without."
GOAL_RATIO = 1.3
_ORGANIZATIONS = 200
_PROJECTS_EACH = 50
_RESULT = Path(__file__).resolve().parents[1] / "bench" / "results" / "tenancy.json"

_MAKE = """
create table ali.bench_walled (id uuid primary key, organization_id uuid not null, project_id uuid not null, name text);
create table ali.bench_bare (like ali.bench_walled including all);
alter table ali.bench_walled enable row level security;
alter table ali.bench_walled force row level security;
create policy tenant on ali.bench_walled to ali_service using (
    organization_id = (select current_setting('ali.organization')::uuid)
    and ((select current_setting('ali.project') = '*')
         or project_id = (select nullif(current_setting('ali.project'), '*')::uuid)));
grant select on ali.bench_walled, ali.bench_bare to ali_service;
create function ali.bench_read(organization uuid, project uuid, wanted uuid) returns text language plpgsql as $$
declare found text;
begin
    perform set_config('ali.organization', organization::text, true), set_config('ali.project', project::text, true);
    select name into found from ali.bench_walled where id = wanted;
    return found;
end $$;
create function ali.bench_read_bare(organization uuid, project uuid, wanted uuid) returns text language plpgsql as $$
declare found text;
begin
    select name into found from ali.bench_bare
    where id = wanted and organization_id = organization and project_id = project;
    return found;
end $$;
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--queries", type=int, default=2000, help="queries a way and round (default 2000)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep."""
    with migrated() as server:
        rows = _fill(server.dsn)
        with psycopg.connect(server.service_dsn, autocommit=True) as connection:
            taken = _measure(connection, rows, rounds=options.rounds, queries=options.queries)
    bare = taken["one function, no policy"]
    print(f"{this_machine()}; {len(rows):,} rows of {_ORGANIZATIONS} organizations.\n")
    print("| a point look-up | µs | against none |\n|---|---:|---:|")
    for way, values in taken.items():
        spread, ratio = Spread.of(values), Spread.of(ratios(values, bare))
        print(f"| {way} | {spread.median:.0f} | {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) |")
    reached = Spread.of(ratios(taken["one function, the policy"], bare)).median
    verdict = "yes" if reached <= GOAL_RATIO else "no"
    print(f"\nGoal: a hot statement costs at most {GOAL_RATIO} times what it costs without. Reached: {verdict}.")
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    _RESULT.write_text(json.dumps(taken, indent=2) + "\n", encoding="utf-8")
    return 0


Row = tuple[UUID, UUID, UUID]


def _fill(dsn: str) -> list[Row]:
    rows = [
        (uuid7(), organization, uuid7())
        for organization in (uuid7() for _ in range(_ORGANIZATIONS))
        for _ in range(_PROJECTS_EACH)
    ]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_MAKE)
        for table in ("bench_walled", "bench_bare"):
            # The owner is bound as well, for this table has no policy that lets it through.
            connection.execute(
                psycopg.sql.SQL("alter table ali.{} no force row level security").format(psycopg.sql.Identifier(table))
            )
            with connection.cursor().copy(
                psycopg.sql.SQL("copy ali.{} from stdin").format(psycopg.sql.Identifier(table))
            ) as copy:
                for row in rows:
                    copy.write_row((*row, "name"))
            connection.execute(psycopg.sql.SQL("analyze ali.{}").format(psycopg.sql.Identifier(table)))
        connection.execute("alter table ali.bench_walled force row level security")
    return rows


def _expect(found: tuple[object, ...] | None) -> None:
    if found != ("name",):
        raise RuntimeError(f"the wall hid the row that was asked for: {found}")


def _measure(connection: psycopg.Connection, rows: list[Row], *, rounds: int, queries: int) -> dict[str, list[float]]:
    """Microseconds a query, by way of asking and round."""

    def function(name: str) -> Callable[[Row], None]:
        statement = psycopg.sql.SQL("select ali.{}(%s, %s, %s)").format(psycopg.sql.Identifier(name))

        def ask(row: Row) -> None:
            _expect(connection.execute(statement, (row[1], row[2], row[0])).fetchone())

        return ask

    def transaction(row: Row) -> None:
        with connection.transaction():
            connection.execute(
                "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
                (str(row[1]), str(row[2])),
            )
            found = connection.execute("select name from ali.bench_walled where id = %s", (row[0],)).fetchone()
        _expect(found)

    def pipeline(row: Row) -> None:
        with connection.pipeline():
            transaction(row)

    ways = {
        "one function, no policy": function("bench_read_bare"),
        "one function, the policy": function("bench_read"),
        "a pipeline of statements, the policy": pipeline,
        "a transaction of four trips, the policy": transaction,
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, ask in ways.items():
            started = time.perf_counter()
            for index in range(queries):
                ask(rows[(index * 7919) % len(rows)])
            if number:  # the first round warms up
                taken[way].append((time.perf_counter() - started) / queries * 1e6)
    return taken
