"""The figures of a set, as Markdown, and the page of the reference that has those of all sets measured."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BEGIN, END = "<!-- bench:retrieval -->", "<!-- /bench:retrieval -->"
GOALS: Final = {
    ("faquad", "ndcg_10"): 0.94,
    ("oab", "ndcg_10"): 0.60,
    ("scifact", "ndcg_10"): 0.70,
    ("faquad", "answered"): 0.92,
    ("faquad", "auroc"): 0.97,
}
"""By set and figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of a set. Figures of answers are None where the set knows none."""

    name: str
    date: str
    machine: str
    documents: int
    chunks: int
    questions: int
    ndcg_10: float
    recall_5: float
    recall_20: float
    mrr_10: float
    median_ms: float
    p95_ms: float
    answered: float | None = None
    answered_first: float | None = None
    cited: float | None = None
    refused: float | None = None
    auroc: float | None = None
    off_topic: str = ""
    off_topic_refused: float | None = None
    ablation: dict[str, float] = field(default_factory=dict)


_ROWS: Final = (
    ("documents", "Documents", 0),
    ("chunks", "Passages they are cut into", 0),
    ("questions", "Questions", 0),
    ("ndcg_10", "nDCG@10", 3),
    ("recall_5", "Recall@5", 3),
    ("recall_20", "Recall@20", 3),
    ("mrr_10", "MRR@10", 3),
    ("median_ms", "A search, median, ms", 1),
    ("p95_ms", "A search, p95, ms", 1),
    ("answered", "`ali-extractive`: the answer is inside its quotes (at most three sentences)", 3),
    ("answered_first", "… inside the first", 3),
    ("cited", "… the first is from a document that answers", 3),
    ("refused", "… nothing is quoted", 3),
    ("auroc", "… its confidence tells questions off the topic apart (AUROC)", 3),
    ("off_topic_refused", "… of those, nothing is quoted", 3),
)


def table(sets: list[Figures]) -> str:
    """A column a set."""
    lines = ["| | " + " | ".join(each.name for each in sets) + " |", "|---|" + "---:|" * len(sets)]
    for name, label, digits in _ROWS:
        values = [getattr(each, name) for each in sets]
        if any(value is not None for value in values):
            cells = ["-" if value is None else f"{value:,.{digits}f}" for value in values]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ablation(sets: list[Figures]) -> str:
    """nDCG@10 without each part, a column a set; empty where none was measured."""
    sets = [each for each in sets if each.ablation]
    if not sets:
        return ""
    lines = ["| nDCG@10 | " + " | ".join(each.name for each in sets) + " |", "|---|" + "---:|" * len(sets)]
    for part in sets[0].ablation:
        cells = [f"{each.ablation[part]:.3f}" if part in each.ablation else "-" for each in sets]
        lines.append(f"| {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def missed(figures: Figures) -> list[str]:
    """The goals that a set has and does not reach."""
    return [
        f"{label} {value:.3f}, wanted {goal}"
        for name, label, _ in _ROWS
        for goal in (GOALS.get((figures.name, name)),)
        for value in (getattr(figures, name),)
        if goal is not None and value is not None and round(value, 3) < goal
    ]


def read_kept(path: Path) -> dict[str, Figures]:
    """What was measured before, by set."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {name: Figures(**values) for name, values in sorted(kept.items())}


def block(sets: list[Figures]) -> str:
    """What stands on the page between its marks."""
    measured = "; ".join(f"{each.name} on {each.date[:10]}" for each in sets)
    parts = [f"Measured by `./run bench retrieval FOLDER --ablation`: {measured}. {sets[-1].machine}.", table(sets)]
    if parts_table := ablation(sets):
        parts += ["What each part is worth, nDCG@10 of the same candidates ranked without it:", parts_table]
    return "\n\n".join(parts)
