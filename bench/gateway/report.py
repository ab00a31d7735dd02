"""The figures as Markdown: goals reached or not, everybody's figures side by side, the README's short table."""

from dataclasses import dataclass
from typing import Literal

from bench.gateway.contestants import ALI, LITELLM, NGINX, ORDER
from bench.gateway.figures import Spread
from bench.gateway.goals import GOALS
from bench.gateway.results import Measure, Results

BEGIN, END = "<!-- bench:gateway -->", "<!-- /bench:gateway -->"
Language = Literal["en", "pt-BR"]


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    measure: Measure
    digits: int
    more_is_better: bool = False
    compared: bool = True


_ROWS = (
    _Row("Requests/s, {connections} connections", Measure.REQUESTS_PER_S, 0, more_is_better=True),
    _Row("CPU of the service a request, µs", Measure.CPU_US, 0),
    _Row("CPU of PostgreSQL a request, µs", Measure.POSTGRES_CPU_US, 0, compared=False),
    _Row("Its core was busy, %", Measure.BUSY_PERCENT, 0, compared=False),
    _Row("CPU of the service a request at 4 connections, µs", Measure.CALM_CPU_US, 0),
    _Row("Latency at 4 connections, median, ms", Measure.P50_MS, 2),
    _Row("Latency at 4 connections, p99, ms", Measure.P99_MS, 2),
    _Row("In it: one durable write on this disk (fdatasync), median, ms", Measure.SYNC_MS, 2, compared=False),
    _Row("Latency with an upstream of 50 ms, median, ms", Measure.SLOW_P50_MS, 2),
    _Row("Latency with an upstream of 50 ms, p99, ms", Measure.SLOW_P99_MS, 2),
    _Row("Concurrent streams of 20 chunks/s", Measure.STREAMS, 0, compared=False),
    _Row("Chunk delay, median, ms", Measure.CHUNK_P50_MS, 2),
    _Row("Chunk delay, p99, ms", Measure.CHUNK_P99_MS, 2),
    _Row("CPU of the service a chunk, µs", Measure.CHUNK_CPU_US, 1),
    _Row("Chunks delivered in the window, %", Measure.CHUNKS_PERCENT, 1, compared=False),
    _Row("Streams that came to their end, %", Measure.STREAMS_ENDED_PERCENT, 1, compared=False),
    _Row("Idle memory, resident, MB", Measure.RSS_MB, 0),
    _Row("Idle memory, proportional (PSS), MB", Measure.PSS_MB, 0),
    _Row("Idle memory of PostgreSQL (PSS), MB", Measure.POSTGRES_PSS_MB, 0, compared=False),
    _Row("Resident after the 100,000 requests, MB", Measure.LOADED_RSS_MB, 0, compared=False),
    _Row("Start to the first 200, s", Measure.START_S, 2, compared=False),
)

_README = {
    "en": (
        "Measured by `./run bench gateway` on {date}: {machine}. One core each, medians of {rounds} rounds.",
        "| | nginx (relays only) | Ali | LiteLLM |",
        {
            Measure.CPU_US: "CPU a request, µs",
            Measure.REQUESTS_PER_S: "Requests/s",
            Measure.P50_MS: "Median latency at 4 connections, ms",
            Measure.CHUNK_P50_MS: "Median chunk delay, ms ({streams} streams)",
            Measure.CHUNK_CPU_US: "CPU a chunk, µs",
            Measure.RSS_MB: "Idle memory, MB",
        },
    ),
    "pt-BR": (
        "Medido por `./run bench gateway` em {date}: {machine}. Um núcleo para cada um, medianas de {rounds} rodadas.",
        "| | nginx (só repassa) | Ali | LiteLLM |",
        {
            Measure.CPU_US: "CPU por requisição, µs",
            Measure.REQUESTS_PER_S: "Requisições/s",
            Measure.P50_MS: "Latência mediana com 4 conexões, ms",
            Measure.CHUNK_P50_MS: "Atraso mediano por fragmento, ms ({streams} streams)",
            Measure.CHUNK_CPU_US: "CPU por fragmento, µs",
            Measure.RSS_MB: "Memória em repouso, MB",
        },
    ),
}


def number(value: float, digits: int, language: Language = "en") -> str:
    """A figure with the language's separators."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "pt-BR" else text


def render(results: Results, *, connections: int) -> str:
    """The whole report: one table of goals, one of everybody's figures, notes, and what the figures were taken on."""
    first = results.date.partition("T")[0]
    rounds = f"{results.rounds} round{'s' if results.rounds != 1 else ''}"
    lines = [f"{first}, {results.machine}, {rounds}, medians (least to most).", ""]
    if results.quick:
        lines += ["A quick run, to see that everything works: its figures are no evidence.", ""]
    lines += ["| goal | bound | measured | reached |", "|---|---|---|---|"]
    verdicts = {True: "yes", False: "**no**", None: "not measured"}
    for goal in GOALS:
        measured = _spread(goal.measured(results), goal.digits)
        verdict = verdicts[goal.reached(results)]
        lines.append(
            f"| {goal.name} | {goal.bound_text} | {measured}{goal.unit if measured != '-' else ''} | {verdict} |"
        )
    lines += ["", f"| | {' | '.join(ORDER)} | Ali / nginx | Ali against LiteLLM |", "|---|" + "---:|" * 6]
    lines += [_row(results, row, connections=connections) for row in _ROWS if results.samples.get(row.measure)]
    notes = [f"{name} is missing: {reason}" for name, reason in results.missing.items()] + results.notes
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def render_readme(results: Results, language: Language) -> str:
    """The README's few figures; a measure that was not taken is left out."""
    intro, header, labels = _README[language]
    date = results.date.partition("T")[0]
    lines = [
        intro.format(date=date, machine=results.machine, rounds=results.rounds),
        "",
        header,
        "|---|---:|---:|---:|",
    ]
    digits = {row.measure: row.digits for row in _ROWS}
    streams = [results.spread(Measure.STREAMS, name) for name in (NGINX, ALI, LITELLM)]
    counts = " / ".join(number(spread.median, 0, language) if spread else "-" for spread in streams)
    for measure, label in labels.items():
        cells = [results.spread(measure, name) for name in (NGINX, ALI, LITELLM)]
        if any(cells):
            shown = (number(cell.median, digits[measure], language) if cell else "-" for cell in cells)
            lines.append(f"| {label.format(streams=counts)} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def replace_block(page: str, block: str, *, begin: str = BEGIN, end: str = END) -> str:
    """`page` with what stands between its markers replaced. Raises ValueError where it has not exactly one pair."""
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page needs one {begin} and, after it, one {end}")
    before, after = page[: page.index(begin) + len(begin)], page[page.index(end) :]
    return f"{before}\n{block.strip()}\n{after}"


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "-"
    median, low, high = (number(value, digits) for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} ({low} to {high})"


def _row(results: Results, row: _Row, *, connections: int) -> str:
    cells = [_spread(results.spread(row.measure, name), row.digits) for name in ORDER]
    if row.compared:
        to_nginx = results.ratio(row.measure, ALI, NGINX)
        pair = (ALI, LITELLM) if row.more_is_better else (LITELLM, ALI)
        to_litellm = results.ratio(row.measure, *pair)
        better = "more" if row.more_is_better else "less"
        cells.append(f"{number(to_nginx.median, 2)}x" if to_nginx else "-")
        cells.append(f"{number(to_litellm.median, 1)}x {better}" if to_litellm else "-")
    else:
        cells += ["", ""]
    return f"| {row.label.format(connections=connections)} | {' | '.join(cells)} |"
