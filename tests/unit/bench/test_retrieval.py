import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bench.retrieval.answers import Quoted
from bench.retrieval.measures import auroc, ndcg, recall, reciprocal_rank
from bench.retrieval.report import Figures, ablation, block, missed, table
from bench.retrieval.sets import UnusableSet, read_set, siblings


def written(
    folder: Path, *, qrels: str, corpus: list[dict[str, Any]], queries: list[dict[str, Any]], packed: bool = True
) -> Path:
    folder.mkdir()
    for name, rows in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        data = "\n".join(json.dumps(row) for row in rows).encode()
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
    (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
    return folder


CORPUS = [{"id": "d1", "title": "Um", "text": "um"}, {"_id": 2, "text": "dois", "title": None}]
QUERIES = [
    {"id": "q1", "text": "um?", "answers": [{"text": "um"}, "uns"]},
    {"id": "q2", "text": "dois?", "answers": {"text": ["dois"]}},
    {"id": "q3", "text": "três?"},
]


@pytest.mark.parametrize(
    ("qrels", "packed"),
    [
        ("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\t2\t2\nq3\td1\t0\nq3\tnot there\t1\n", True),
        ("q1 0 d1 1\nq2 0 2 2\n", False),
        ("q1\td1\nq2\t2\n", False),
    ],
)
def test_a_set_is_read_in_every_form_that_is_about(tmp_path: Path, qrels: str, packed: bool) -> None:  # noqa: FBT001
    found = read_set(written(tmp_path / "set", qrels=qrels, corpus=CORPUS, queries=QUERIES, packed=packed))

    assert [document.id for document in found.documents] == ["d1", "2"]
    assert [(question.id, list(question.grades)) for question in found.questions] == [("q1", ["d1"]), ("q2", ["2"])]
    assert found.questions[0].answers == ("um", "uns")
    assert found.questions[1].answers == ("dois",)
    assert [question.id for question in found.unjudged] == ["q3"]


def test_what_is_no_set_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnusableSet, match=r"no corpus\.jsonl\.gz"):
        read_set(tmp_path)
    broken = written(tmp_path / "broken", qrels="q1\td1\t1\n", corpus=[{"text": "x"}], queries=QUERIES)
    with pytest.raises(UnusableSet, match="line 1"):
        read_set(broken)
    with pytest.raises(UnusableSet, match="no question"):
        read_set(written(tmp_path / "unjudged", qrels="", corpus=CORPUS, queries=QUERIES))


def test_the_sets_beside_a_set_are_found(tmp_path: Path) -> None:
    one, two = (written(tmp_path / name, qrels="q1\td1\t1\n", corpus=CORPUS, queries=QUERIES) for name in "ab")

    assert list(siblings(one)) == [two]


def test_measures_are_those_of_trec_eval() -> None:
    grades = {"a": 2.0, "b": 1.0}

    assert ndcg(["a", "b"], grades) == 1.0
    assert ndcg(["x", "a"], {"a": 1.0}) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg([], grades) == 0.0
    assert recall(["a", "x", "b"], grades, at=2) == 0.5
    assert reciprocal_rank(["x", "b"], grades) == 0.5
    assert reciprocal_rank(["x"] * 10 + ["b"], grades) == 0.0
    assert auroc([0.9, 0.5], [0.5, 0.1]) == 0.875


def test_an_answer_is_inside_a_quote_whatever_its_line_breaks() -> None:
    quoted = Quoted(texts=("O prazo é\nde doze meses.",), places=(0,), confidence=1.0)

    assert quoted.holds(["prazo é de"])
    assert not quoted.holds(["treze", "prazo de"])


def test_the_report_has_all_figures_and_says_which_goal_is_missed() -> None:
    measured: dict[str, Any] = {
        "date": "2026-01-02",
        "machine": "a machine",
        "documents": 1,
        "chunks": 1,
        "questions": 1,
    }
    rates: dict[str, Any] = dict.fromkeys(("recall_5", "recall_20", "mrr_10", "median_ms", "p95_ms"), 0.5)
    one = Figures(name="oab", **measured, **rates, ndcg_10=0.55)
    two = Figures(name="other", **measured, **rates, ndcg_10=0.1, answered=0.75, ablation={"all of it": 0.1})

    assert "| nDCG@10 | 0.550 | 0.100 |" in table([one, two])
    assert "| - | 0.750 |" in table([one, two])
    assert ablation([one]) == ""
    assert "| all of it | 0.100 |" in block([one, two])
    assert missed(one) == ["nDCG@10 0.550, wanted 0.6"]
    assert missed(two) == []
