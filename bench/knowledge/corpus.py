"""A corpus that never ends: made-up Portuguese, the same words in the same order in every run.

Words are as frequent as in real text (Zipf's law with Mandelbrot's correction), the sixty commonest being real stop
words; the next stand in every fifth passage or so. Each document keeps coming back to words of its own, as real ones
do, so that terms come in bursts. Nothing of it is kept: a document is made when it is asked for.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, count, islice
from typing import Final

from ali.features.knowledge.chunk import Chunk, Span
from ali.providers.extractive.language import STOP_WORDS, Language

CHUNKS_PER_DOCUMENT: Final = 50
WORDS_PER_CHUNK: Final = (130, 230)
_WORDS: Final = 150_000
_STOP_WORDS: Final = 60
_TOPIC_WORDS: Final = 120
_TOPIC_SHARE: Final = 0.2
_QUESTION_WORDS: Final = (3, 8)
_ONSETS: Final[tuple[str, ...]] = (*"bcdfglmnprstv", "br", "cr", "pr", "tr", "ch", "lh", "nh")
_NUCLEI: Final[tuple[str, ...]] = (*"aeiouaeo", "ão", "ei")
_ENDINGS: Final[tuple[str, ...]] = (
    *"oae",
    "ção",
    "mento",
    "dade",
    "ar",
    "er",
    "ir",
    "ado",
    "ida",
    "oso",
    "ista",
    "eza",
    "al",
    "ente",
    "os",
)


def _made_up(rng: random.Random) -> str:
    syllables = "".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(rng.randint(1, 3)))
    return syllables + rng.choice(_ONSETS) + rng.choice(_ENDINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The words, the commonest first, and their frequencies added up."""

    words: tuple[str, ...]
    shares: tuple[float, ...]
    stop_words: int

    @classmethod
    def make(cls) -> "Corpus":
        """Takes a second."""
        rng = random.Random(5)  # noqa: S311 - the same corpus in every run
        stop_words = sorted(STOP_WORDS[Language.PORTUGUESE], key=lambda word: (len(word), word))[:_STOP_WORDS]
        words = dict.fromkeys(stop_words)
        for word in (_made_up(rng) for _ in count()):
            words[word] = None
            if len(words) == _WORDS:
                break
        shares = tuple(accumulate(1 / (rank + 2.7) ** 1.05 for rank in range(1, _WORDS + 1)))
        return cls(words=tuple(words), shares=shares, stop_words=len(stop_words))

    def document(self, number: int, *, chunks: int = CHUNKS_PER_DOCUMENT) -> list[Chunk]:
        """The chunks of one document. Cost: about 0.1 ms each."""
        rng = random.Random(number)  # noqa: S311 - as above
        topic = self._draw(rng, _TOPIC_WORDS)
        return [self._chunk(rng, topic) for _ in range(chunks)]

    def question(self, number: int, *, documents: int) -> str:
        """What somebody might ask of one of the first `documents`: words of one passage, rare ones and common ones."""
        rng = random.Random(-1 - number)  # noqa: S311 - as above
        passage = self.document(rng.randrange(documents), chunks=1 + rng.randrange(CHUNKS_PER_DOCUMENT))[-1]
        stop_words = set(self.words[: self.stop_words])
        telling = [word for word in passage.text.lower().replace(".", "").split() if word not in stop_words]
        return "Qual é " + " ".join(rng.sample(telling, rng.randint(*_QUESTION_WORDS))) + "?"

    def questions(self, number: int, *, documents: int) -> Iterator[str]:
        """The first `number` questions."""
        return (self.question(each, documents=documents) for each in range(number))

    def _draw(self, rng: random.Random, number: int) -> list[str]:
        return rng.choices(self.words, cum_weights=self.shares, k=number)

    def _chunk(self, rng: random.Random, topic: list[str]) -> Chunk:
        length = rng.randint(*WORDS_PER_CHUNK)
        of_topic = int(length * _TOPIC_SHARE)
        words = self._draw(rng, length - of_topic) + rng.choices(topic, k=of_topic)
        rng.shuffle(words)
        left = iter(words)
        sentences = []
        while sentence := list(islice(left, rng.randint(8, 25))):
            sentences.append(" ".join(sentence).capitalize() + ".")
        text = " ".join(sentences)
        return Chunk(text=text, spans=(Span(at=0, page=0, start=0, end=len(text)),), language="pt")
