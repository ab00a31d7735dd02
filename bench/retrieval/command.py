"""`./run bench retrieval FOLDER`: index a set in a PostgreSQL of its own, ask all its questions, report."""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.gateway.machine import this_machine
from bench.gateway.report import replace_block
from bench.retrieval.ablation import ablate
from bench.retrieval.answers import PASSAGES, Quoted, quoted
from bench.retrieval.measures import auroc, mean, ndcg, quantile, recall, reciprocal_rank
from bench.retrieval.report import BEGIN, END, Figures, ablation, block, missed, read_kept, table
from bench.retrieval.sets import EvaluationSet, Question, UnusableSet, read_set, siblings
from bench.retrieval.store import Collection, stored

NAME = "retrieval"
SUMMARY = "How well a set's questions find the documents that answer them, through the index in PostgreSQL."
_ROOT = Path(__file__).resolve().parents[2]
_KEPT = _ROOT / "bench" / "results" / "retrieval.json"
_DEPTH: Final = 50
"""Passages asked for, so that twenty documents are among them where each has several."""
_OFF_TOPIC: Final = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, nargs="+", help="of corpus.jsonl.gz, queries.jsonl.gz and qrels.tsv"
    )
    parser.add_argument("--ablation", action="store_true", help="also measure what each part of ranking is worth")
    parser.add_argument(
        "--off-topic", metavar="FOLDER", type=Path, help="a set of other subjects (default: the sets beside FOLDER)"
    )
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/reference/retrieval.md")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where a goal is missed."""
    failed = False
    kept = read_kept(_KEPT)
    for folder in options.folder:
        try:
            chosen = read_set(folder)
            off_topic = [read_set(options.off_topic)] if options.off_topic else _beside(folder)
        except (OSError, UnusableSet) as error:
            print(error, file=sys.stderr)
            return 2
        print(f"{chosen.name}: {len(chosen.documents)} documents, {len(chosen.questions)} questions", file=sys.stderr)
        figures = asyncio.run(_measure(chosen, off_topic))
        if options.ablation:
            figures = _with_ablation(figures, chosen)
        print(table([figures]), end="\n\n")
        if parts := ablation([figures]):
            print(parts, end="\n\n")
        for each in missed(figures):
            print(f"Goal missed: {each}.")
            failed = True
        kept[figures.name] = figures
    if options.write_docs:
        _KEPT.parent.mkdir(parents=True, exist_ok=True)
        _KEPT.write_text(json.dumps({n: asdict(f) for n, f in sorted(kept.items())}, indent=2) + "\n", encoding="utf-8")
        page = _ROOT / "docs" / "reference" / "retrieval.md"
        text = replace_block(page.read_text(encoding="utf-8"), block(list(kept.values())), begin=BEGIN, end=END)
        page.write_text(text, encoding="utf-8")
    return 1 if failed else 0


def _with_ablation(figures: Figures, chosen: EvaluationSet) -> Figures:
    parts: dict[str, float] = {}
    for part, value in ablate(chosen):
        print(f"{part}: {value:.4f}", file=sys.stderr)
        parts[part] = value
    return Figures(**{**asdict(figures), "ablation": parts})


def _beside(folder: Path) -> list[EvaluationSet]:
    """The sets beside a set that can be read."""
    found: list[EvaluationSet] = []
    for other in siblings(folder):
        try:
            found.append(read_set(other))
        except (OSError, UnusableSet) as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What came of a question: documents, the best first, and what was quoted, the first quote's document among it."""

    question: Question
    documents: list[str]
    seconds: float
    quoted: Quoted | None = None
    cited: str = ""


async def _measure(chosen: EvaluationSet, off_topic: Sequence[EvaluationSet]) -> Figures:
    answering = any(question.answers for question in chosen.questions)
    others = [question for other in off_topic for question in (*other.questions, *other.unjudged)] if answering else []
    chance = random.Random(5)  # noqa: S311 - a sample
    others = chance.sample(others, min(_OFF_TOPIC, len(others)))
    async with stored(chosen.documents) as collection:
        for question in chosen.questions[:20]:  # the first searches warm caches
            await collection.search(question.text, limit=_DEPTH)
        asked = [await _ask(collection, question, answering=bool(question.answers)) for question in chosen.questions]
        strays = [await _ask(collection, question, answering=True) for question in others]
    seconds = [each.seconds for each in asked]

    def average(measure: Callable[[_Asked], float]) -> float:
        return mean([measure(each) for each in asked])

    figures = Figures(
        name=chosen.name,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=str(this_machine()),
        documents=len(chosen.documents),
        chunks=collection.chunks,
        questions=len(chosen.questions),
        ndcg_10=average(lambda each: ndcg(each.documents, each.question.grades)),
        recall_5=average(lambda each: recall(each.documents, each.question.grades, at=5)),
        recall_20=average(lambda each: recall(each.documents, each.question.grades, at=20)),
        mrr_10=average(lambda each: reciprocal_rank(each.documents, each.question.grades)),
        median_ms=1000 * quantile(seconds, 0.5),
        p95_ms=1000 * quantile(seconds, 0.95),
    )
    return _with_answers(figures, asked, strays, off_topic)


async def _ask(collection: Collection, question: Question, *, answering: bool) -> _Asked:
    began = perf_counter()
    passages = await collection.search(question.text, limit=_DEPTH)
    asked = _Asked(question=question, documents=collection.documents(passages), seconds=perf_counter() - began)
    if not answering:
        return asked
    answer = quoted(question.text, passages[:PASSAGES])
    cited = collection.documents([passages[answer.places[0]]])[0] if answer.places else ""
    return replace(asked, quoted=answer, cited=cited)


def _with_answers(
    figures: Figures, asked: Sequence[_Asked], strays: Sequence[_Asked], off_topic: Sequence[EvaluationSet]
) -> Figures:
    answered = [(each, each.quoted) for each in asked if each.quoted]
    if not answered:
        return figures
    figures = replace(
        figures,
        answered=mean([answer.holds(each.question.answers) for each, answer in answered]),
        answered_first=mean(
            [replace(answer, texts=answer.texts[:1]).holds(each.question.answers) for each, answer in answered]
        ),
        cited=mean([each.cited in each.question.grades for each, _ in answered]),
        refused=mean([not answer.texts for _, answer in answered]),
    )
    stray = [each.quoted for each in strays if each.quoted]
    if not stray:
        return figures
    return replace(
        figures,
        auroc=auroc([answer.confidence for _, answer in answered], [answer.confidence for answer in stray]),
        off_topic=", ".join(other.name for other in off_topic),
        off_topic_refused=mean([not answer.texts for answer in stray]),
    )
