"""The figures of responses as Markdown: goals reached or not, then all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.gateway.figures import Spread, ratios
from bench.responses.measures import CHUNKS, CONNECTIONS, Samples
from bench.responses.ways import ANTHROPIC_STORED, ANTHROPIC_UNSTORED, PASS_THROUGH
from bench.responses.wire import OPENING

BEGIN, END = "<!-- bench:responses -->", "<!-- /bench:responses -->"
CHUNK_RATIO: Final = 1.6
MOST_TRIPS: Final = 3
GROWTH_MB: Final = 2.0
"""Read as none, as in the gateway's benchmark: repeats differ by about as much."""
FLAT: Final = 1.5
"""Times of the shortest history's: a median under 20 ms differs by as much between repeats."""
_CONTINUED: Final = "continued by previous_response_id"
_TOLD_APART: Final = ("begin_response", "settle_response", "settle_usage", "other", OPENING)


@dataclass(slots=True, kw_only=True)
class Results:
    """One run."""

    machine: str
    date: str
    rounds: int
    quick: bool
    samples: Samples = field(default_factory=dict)
    broken: str = ""
    """Why the run ended early, where it did."""

    def values(self, measure: str, way: str) -> Sequence[float]:
        """All values of one measure; empty where nothing was measured."""
        return self.samples.get(measure, {}).get(way, [])

    def spread(self, measure: str, way: str) -> Spread | None:
        """Over the rounds."""
        values = self.values(measure, way)
        return Spread.of(values) if values else None

    def ratio(self, measure: str, way: str) -> Spread | None:
        """To plain pass-through, round by round."""
        values = ratios(self.values(measure, way), self.values(measure, PASS_THROUGH.name))
        return Spread.of(values) if values else None

    def names(self, measure: str) -> list[str]:
        """The ways that were measured."""
        return list(self.samples.get(measure, {}))


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound, and what was measured against it. `value` None: not measured."""

    text: str
    bound: float
    value: float | None
    shown: str

    @property
    def reached(self) -> bool:
        """Whether it was measured and is within the bound."""
        return self.value is not None and self.value <= self.bound


def goals(results: Results) -> list[Goal]:
    """The issue's figures, in its order."""
    found: list[Goal] = []
    for way in (ANTHROPIC_STORED, ANTHROPIC_UNSTORED):
        ratio = results.ratio("chunk_cpu_us", way.name)
        found.append(
            Goal(
                f"CPU a chunk, {way.name}, against plain pass-through",
                CHUNK_RATIO,
                ratio.median if ratio else None,
                f"{_spread(ratio, 2)} times",
            )
        )
    trips = [spread.median for name in results.names("trips") if (spread := results.spread("trips", name))]
    most = max(trips, default=None)
    found.append(Goal("Database round trips that any response waits for", MOST_TRIPS, most, f"{most or 0:.0f}"))
    medians = [spread.median for name in results.names("history_ms") if (spread := results.spread("history_ms", name))]
    slower = medians[-1] / medians[0] if medians else None
    found.append(
        Goal("Going on with the longest conversation, against the shortest", FLAT, slower, f"{slower or 0:.2f} times")
    )
    growth = results.spread("growth_mb", "Ali")
    served = results.spread("growth_responses", "Ali")
    found.append(
        Goal(
            f"Memory after {served.median if served else 0:,.0f} responses, against that after the first 5,000",
            GROWTH_MB,
            growth.median if growth else None,
            f"{_spread(growth, 1)} MB",
        )
    )
    return found


def render(results: Results) -> str:
    """The whole report."""
    date = results.date.partition("T")[0]
    lines = [f"{date}, {results.machine}, {results.rounds} rounds, medians (least to most)."]
    if results.quick:
        lines.append("A smoke run: no evidence of anything but that the benchmark works.")
    if results.broken:
        lines.append(f"The run broke off: {results.broken[:500]}")
    lines += ["", "| goal | bound | measured | reached |", "|---|---|---|---|"]
    for goal in goals(results):
        verdict = "yes" if goal.reached else "not measured" if goal.value is None else "**no**"
        lines.append(f"| {goal.text} | ≤ {goal.bound:g} | {goal.shown} | {verdict} |")
    lines += ["", *_chunks(results), "", *_requests(results), "", *_trips(results), "", *_histories(results)]
    lines += ["", *_background(results), "", *_growth(results)]
    return "\n".join(lines) + "\n"


def _chunks(results: Results) -> list[str]:
    lines = [
        "| a chunk of a stream | CPU of the service, µs | against pass-through | of PostgreSQL, µs | median late, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in results.names("chunk_cpu_us"):
        cells = [
            _spread(results.spread("chunk_cpu_us", name), 1),
            _spread(results.ratio("chunk_cpu_us", name), 2),
            _spread(results.spread("chunk_postgres_us", name), 1),
            _spread(results.spread("chunk_p50_ms", name), 2),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _requests(results: Results) -> list[str]:
    lines = [
        (
            f"| a streamed answer of {CHUNKS} chunks, {CONNECTIONS} connections | CPU of the service, µs "
            "| against pass-through | of PostgreSQL, µs | answers/s |"
        ),
        "|---|---:|---:|---:|---:|",
    ]
    for name in results.names("request_cpu_us"):
        cells = [
            _spread(results.spread("request_cpu_us", name), 0),
            _spread(results.ratio("request_cpu_us", name), 2),
            _spread(results.spread("request_postgres_us", name), 0),
            _spread(results.spread("requests_per_s", name), 0),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _trips(results: Results) -> list[str]:
    lines = [
        "| database round trips | waited for | begin | settle | usage | other | opened, not waited for |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in results.names("trips"):
        cells = [_spread(results.spread("trips", name), 0)]
        cells += [_spread(results.spread(f"trips {function}", name), 0) for function in _TOLD_APART]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _histories(results: Results) -> list[str]:
    lines = [
        "| going on with a conversation of | rows read | KB read | time, median, ms | CPU of the service, ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in results.names("history_rows"):
        size = results.spread("history_bytes", name)
        cells = [
            _spread(results.spread("history_rows", name), 0),
            _spread(Spread(size.median / 1000, size.low / 1000, size.high / 1000) if size else None, 0),
            _spread(results.spread("history_ms", name), 1),
            _spread(results.spread("history_cpu_ms", name), 1),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _background(results: Results) -> list[str]:
    rows = (
        ("Events a response", "background_events", 0),
        ("Events a second, all responses together, through the log to their callers", "background_events_per_s", 0),
        ("Commits a response", "background_commits", 1),
        ("Round trips of its caller's reading", "background_reads", 1),
        ("CPU of the service an event, µs", "background_cpu_us", 1),
    )
    lines = ["| responses in the background | |", "|---|---:|"]
    return [*lines, *(f"| {label} | {_spread(results.spread(name, 'Ali'), digits)} |" for label, name, digits in rows)]


def _growth(results: Results) -> list[str]:
    walk, errors = results.values("growth_rss_mb", "walk"), results.values("growth_errors", "Ali")
    sizes = ", ".join(f"{size:.1f}" for size in walk)
    lines = [f"- Growth: resident MB after each step of as many responses, half of them kept: {sizes}."]
    failed = sum(errors) + sum(sum(values) for values in results.samples.get("request_errors", {}).values())
    return [*lines, f"- Requests that failed in the whole run: {failed:.0f}."]


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "-"
    median, low, high = (f"{value:,.{digits}f}" for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"
