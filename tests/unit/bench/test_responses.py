"""The benchmark of responses: its upstream's dialects, what it counts on the wire, and how it judges."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from bench.gateway.client import encode_request
from bench.gateway.upstream import STAMP, Upstream
from bench.responses.report import Results, goals, render
from bench.responses.upstream import SCRIPTS
from bench.responses.ways import ANTHROPIC_STORED, ANTHROPIC_UNSTORED, PASS_THROUGH
from bench.responses.wire import Counts, counted


@pytest.mark.parametrize(
    ("path", "last"), [("/v1/messages", b"message_stop"), ("/v1/responses", b"response.completed")]
)
async def test_the_upstream_streams_in_the_dialect_of_the_path(path: str, last: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop, SCRIPTS), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode_request(port=port, headers=(), body=ANTHROPIC_STORED.body(chunks=3), path=path))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 5)
        writer.close()
        await writer.wait_closed()
    assert len(STAMP.findall(answer)) == 3
    assert last in answer


def test_round_trips_rows_and_functions_are_counted_on_the_wire(database_dsn: str) -> None:
    counts = Counts()
    with counted(database_dsn, counts) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        counts.reset()
        connection.execute("select n from generate_series(1, 7) n").fetchall()
        connection.execute("select * from ali.find_items(%s, %s, %s, 1)", [None, None, ["msg_1"]]).fetchall()
    assert counts.trips == 2
    assert counts.rows == 7
    assert counts.asked == {"other": 1, "find_items": 1}


def _results(*, stored_us: float) -> Results:
    return Results(
        machine="a machine",
        date="2026-11-24T00:00:00+00:00",
        rounds=2,
        quick=False,
        samples={
            "chunk_cpu_us": {
                PASS_THROUGH.name: [10.0, 20.0],
                ANTHROPIC_STORED.name: [stored_us, stored_us * 2],
                ANTHROPIC_UNSTORED.name: [11.0, 22.0],
            },
            "trips": {"a response": [3.0]},
        },
    )


def test_a_ratio_is_taken_within_its_round_and_judged_by_its_bound() -> None:
    assert goals(_results(stored_us=15))[0].reached
    assert not goals(_results(stored_us=17))[0].reached
    assert (
        "| CPU a chunk, Anthropic, store: true, against plain pass-through | ≤ 1.6 | 1.70 times | **no** |"
        in render(_results(stored_us=17))
    )


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert render(_results(stored_us=15)).count("not measured") == 2


def test_the_reference_has_a_place_for_the_figures() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "performance.md"
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- bench:responses -->") == text.count("<!-- /bench:responses -->") == 1
