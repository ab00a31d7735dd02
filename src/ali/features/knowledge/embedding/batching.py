"""Which texts go to the embedding model together."""

from collections.abc import Iterator, Sequence
from typing import Final

MOST_TEXTS: Final = 128
MOST_CHARACTERS: Final = 200_000
"""Of a batch together: even at two characters a token within the 300,000 tokens that OpenAI takes at once."""
LONGEST_CHARACTERS: Final = 24_000
"""Of one text; what is behind is not embedded. OpenAI's models take 8,192 tokens, about three characters each."""


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, cut to length, in batches that the model takes at once."""
    batch: list[str] = []
    characters = 0
    for whole in texts:
        text = whole[:LONGEST_CHARACTERS]
        if batch and (len(batch) == MOST_TEXTS or characters + len(text) > MOST_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch
