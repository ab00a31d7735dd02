"""What the gateway is to reach on one core, and whether a run reached it."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.gateway.contestants import ALI, LITELLM, NGINX
from bench.gateway.figures import Spread
from bench.gateway.results import Measure, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure with its bound; the median over the rounds is judged."""

    name: str
    measured: Callable[[Results], Spread | None]
    bound: float
    unit: str
    at_least: bool = False
    digits: int = 0

    def reached(self, results: Results) -> bool | None:
        """None: not measured."""
        spread = self.measured(results)
        if spread is None:
            return None
        return spread.median >= self.bound if self.at_least else spread.median <= self.bound

    @property
    def bound_text(self) -> str:
        """The bound as it is printed."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"


def _of_ali(measure: Measure) -> Callable[[Results], Spread | None]:
    return lambda results: results.spread(measure, ALI)


GOALS = (
    Goal(
        name="CPU of the service a request (PostgreSQL's apart)",
        measured=_of_ali(Measure.CPU_US),
        bound=250,
        unit=" µs",
    ),
    Goal(
        name="Throughput on one core, against LiteLLM's",
        measured=lambda results: results.ratio(Measure.REQUESTS_PER_S, ALI, LITELLM),
        bound=40,
        unit=" times",
        at_least=True,
        digits=1,
    ),
    Goal(
        name="Median latency at 4 connections, over nginx's",
        measured=lambda results: results.difference(Measure.P50_MS, ALI, NGINX),
        bound=1,
        unit=" ms",
        digits=2,
    ),
    Goal(
        name="500 streams of 20 chunks/s: median chunk delay",
        measured=lambda results: _at_full_streams(results, Measure.CHUNK_P50_MS),
        bound=5,
        unit=" ms",
        digits=2,
    ),
    Goal(
        name="500 streams of 20 chunks/s: CPU of the service a chunk",
        measured=lambda results: _at_full_streams(results, Measure.CHUNK_CPU_US),
        bound=60,
        unit=" µs",
        digits=1,
    ),
    Goal(
        name="Idle memory (resident, PostgreSQL's apart)",
        measured=_of_ali(Measure.RSS_MB),
        bound=120,
        unit=" MB",
    ),
    Goal(
        name="Second start to the first 200 on /readyz, PostgreSQL's own start taken off",
        measured=_of_ali(Measure.OWN_START_S),
        bound=1.2,
        unit=" s",
        digits=2,
    ),
    Goal(
        name="No growth over 100,000 requests (read as: within what repeats show as noise)",
        measured=_of_ali(Measure.GROWTH_MB),
        bound=2,
        unit=" MB",
        digits=2,
    ),
    Goal(
        name="Disk that a clean `./run` takes (`./run bench disk`)",
        measured=_of_ali(Measure.DISK_MB),
        bound=400,
        unit=" MB",
    ),
)


def _at_full_streams(results: Results, measure: Measure) -> Spread | None:
    """Only where as many streams ran as the goal names, and they got what was sent: a smoke run proves nothing."""
    streams, delivered = results.spread(Measure.STREAMS, ALI), results.spread(Measure.CHUNKS_PERCENT, ALI)
    if streams is None or delivered is None or streams.low < 500 or delivered.low < 99:
        return None
    return results.spread(measure, ALI)
