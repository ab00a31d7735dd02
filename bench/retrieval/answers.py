"""Answers by quoting: `ali-extractive` over what a search found, asked as file search asks it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ali.features.knowledge.chunk import Found
from ali.providers.extractive import examine

PASSAGES = 20
"""As many as file search gives when it is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What was answered. `places` are numbers of passages, a quote each; `confidence` is from 0 to 1."""

    texts: tuple[str, ...]
    places: tuple[int, ...]
    confidence: float

    def holds(self, answers: Sequence[str]) -> bool:
        """Whether one of the answers is inside a quote, white space aside."""
        return any(_plain(answer) in _plain(text) for text in self.texts for answer in answers)


def quoted(question: str, passages: Sequence[Found]) -> Quoted:
    """The answer to a question from passages."""
    blocks = [
        {
            "type": "search_result",
            "source": str(number),
            "title": passage.filename,
            "content": [{"type": "text", "text": passage.chunk.text}],
            "score": passage.score,
        }
        for number, passage in enumerate(passages)
    ]
    request = {"messages": [{"role": "user", "content": [*blocks, {"type": "text", "text": question}]}]}
    examined = examine(request)
    documents = examined.material.documents
    return Quoted(
        texts=tuple(quote.text for quote in examined.answer.quotes),
        places=tuple(int(documents[quote.document].source) for quote in examined.answer.quotes),
        confidence=examined.answer.confidence,
    )


def _plain(text: str) -> str:
    return " ".join(text.split())
