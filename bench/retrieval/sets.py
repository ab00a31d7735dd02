"""A set: documents, questions, and which document answers which question. A folder of three files, as BEIR's are.

`corpus.jsonl.gz` {id, title, text}, `queries.jsonl.gz` {id, text, and `answers`, where they are known}, `qrels.tsv`
(question, document, grade; a first line of names or none). The `.gz` may be missing, from names and from files.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class UnusableSet(Exception):
    """A folder is no such set; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that may be found."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with the grades of the documents that answer it, and the spans of them that do, where known."""

    id: str
    text: str
    grades: Mapping[str, float]
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """`unjudged` are questions of which no document is known to answer them."""

    name: str
    documents: Sequence[Document]
    questions: Sequence[Question]
    unjudged: Sequence[Question]


def read_set(folder: Path) -> EvaluationSet:
    """Read a folder. Raises `UnusableSet`."""
    documents = {
        row["id"]: Document(id=row["id"], title=_text(row.get("title")).strip(), text=_text(row.get("text")))
        for row in _rows(folder, "corpus.jsonl")
    }
    grades: dict[str, dict[str, float]] = {}
    for question, document, grade in _judgements(folder):
        if grade > 0 and document in documents:
            grades.setdefault(question, {})[document] = grade
    questions = [
        Question(
            id=row["id"],
            text=_text(row.get("text")),
            grades=grades.get(row["id"], {}),
            answers=_answers(row.get("answers")) if not row.get("unanswerable") else (),
        )
        for row in _rows(folder, "queries.jsonl")
    ]
    judged = [question for question in questions if question.grades]
    if not documents or not judged:
        raise UnusableSet(f"{folder} has {len(documents)} documents, and no question of one of them.")
    return EvaluationSet(
        name=folder.resolve().name,
        documents=list(documents.values()),
        questions=judged,
        unjudged=[question for question in questions if not question.grades],
    )


def siblings(folder: Path) -> Iterator[Path]:
    """The other sets beside a set."""
    here = folder.resolve()
    for other in sorted(here.parent.iterdir()):
        if other != here and (other / "qrels.tsv").exists():
            yield other


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of lines; each has an `id`, as text."""
    path = _existing(folder, name)
    try:
        text = _decompressed(path.read_bytes()).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UnusableSet(f"{path} cannot be read ({error}).") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UnusableSet(f"{path}, line {number}: {error}.") from error
        identifier = row.get("id", row.get("_id")) if isinstance(row, dict) else None
        if identifier is None:
            raise UnusableSet(f"{path}, line {number}: an object with an id is wanted.")
        yield {**row, "id": str(identifier)}


def _judgements(folder: Path) -> Iterator[tuple[str, str, float]]:
    path = _existing(folder, "qrels.tsv")
    for number, line in enumerate(_decompressed(path.read_bytes()).decode("utf-8-sig").splitlines()):
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) < 2:
            continue
        try:
            grade = float(parts[-1]) if len(parts) > 2 else 1.0
        except ValueError:
            if number == 0:
                continue  # names
            raise UnusableSet(f"{path}, line {number + 1}: {parts[-1]!r} is no grade.") from None
        # TREC has a column between question and document.
        yield parts[0], parts[-2] if len(parts) > 2 else parts[1], grade


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise UnusableSet(f"{folder} has no {name}.gz.")


def _decompressed(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else ""


def _answers(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    """Given as texts, or as SQuAD has them: objects with a text, or lists in one object."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, list):
        return ()
    texts = (_text(each.get("text")) if isinstance(each, dict) else _text(each) for each in value)
    return tuple(text for text in texts if text.strip())
