"""What a run measured: by measure and contestant, one value a round."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from bench.gateway.figures import Spread, differences, ratios


class Measure(StrEnum):
    """Every figure that is taken; the unit stands in the name."""

    CPU_US = "cpu_us_per_request"
    POSTGRES_CPU_US = "postgres_cpu_us_per_request"
    REQUESTS_PER_S = "requests_per_s"
    BUSY_PERCENT = "service_core_busy_percent"
    P50_MS = "latency_p50_ms"
    P99_MS = "latency_p99_ms"
    SYNC_MS = "durable_write_p50_ms"
    CALM_CPU_US = "cpu_us_per_request_at_few_connections"
    SLOW_P50_MS = "latency_p50_ms_slow_upstream"
    SLOW_P99_MS = "latency_p99_ms_slow_upstream"
    STREAMS = "streams"
    CHUNK_P50_MS = "chunk_delay_p50_ms"
    CHUNK_P99_MS = "chunk_delay_p99_ms"
    CHUNK_CPU_US = "cpu_us_per_chunk"
    CHUNKS_PERCENT = "chunks_delivered_percent"
    STREAMS_ENDED_PERCENT = "streams_ended_percent"
    RSS_MB = "idle_rss_mb"
    PSS_MB = "idle_pss_mb"
    POSTGRES_PSS_MB = "idle_postgres_pss_mb"
    START_S = "start_s"
    OWN_START_S = "start_without_postgres_s"
    GROWTH_MB = "growth_mb_per_100k_requests"
    LOADED_RSS_MB = "rss_mb_after_all_requests"
    DISK_MB = "clean_install_mb"


@dataclass(slots=True, kw_only=True)
class Results:
    """One run of the benchmark."""

    machine: str
    date: str
    rounds: int
    quick: bool
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    """Contestants that could not be started, with the reason."""

    def add(self, measure: Measure, contestant: str, value: float) -> None:
        """One round's value."""
        self.samples.setdefault(measure, {}).setdefault(contestant, []).append(value)

    def note(self, text: str) -> None:
        """Something that a reader of the figures has to know; the same words are kept once."""
        if text not in self.notes:
            self.notes.append(text)

    def values(self, measure: Measure, contestant: str) -> Sequence[float]:
        """All rounds' values; empty where nothing was measured."""
        return self.samples.get(measure, {}).get(contestant, [])

    def spread(self, measure: Measure, contestant: str) -> Spread | None:
        """Over the rounds; None where nothing was measured."""
        values = self.values(measure, contestant)
        return Spread.of(values) if values else None

    def ratio(self, measure: Measure, above: str, below: str) -> Spread | None:
        """`above` / `below`, round by round; None where either was not measured."""
        values = ratios(self.values(measure, above), self.values(measure, below))
        return Spread.of(values) if values else None

    def difference(self, measure: Measure, one: str, other: str) -> Spread | None:
        """`one` less `other`, round by round; None where either was not measured."""
        values = differences(self.values(measure, one), self.values(measure, other))
        return Spread.of(values) if values else None

    def to_json(self) -> str:
        """As kept in `bench/results/gateway.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """What `to_json` wrote. Raises TypeError or ValueError for anything else."""
        return cls(**json.loads(text))
