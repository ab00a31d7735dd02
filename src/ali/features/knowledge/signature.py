"""A chunk's words in their order, as the second stage of ranking reads them: 48 bits each, none of which is a word.

A word is a key and a mark. The key (32 bits) is 20 bits of how the word begins (four letters) and 4 bits each of its
first five, six and seven; so words of one family ("construir", "construção") can be told to be one. The mark (16 bits)
is 8 bits of the stem and 8 of the word as it is written; they are compared only where the beginnings are equal. All are
keyed hashes. A word that is no such family's (a number, a short one, a legal citation) has all of it in the 20 bits.

Where a sentence ends, a zero stands for the key and its traits for the mark.
"""

import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from enum import IntFlag
from functools import lru_cache
from hashlib import blake2b

from ali.providers.extractive.question import CUES, DATE, DEFINITION, NAME, NUMBER, REASON

Word = tuple[int, int]
"""A key and a mark."""

_BEGINNING = 4
_LONGER = (5, 6, 7)
_ARTICLE = re.compile(r"\W*(?:(?:[OoAa]s?|[Uu]ma?|The|An?)\s+)?")


class Trait(IntFlag):
    """What a sentence shows that a question may ask for, whichever words it uses; and whether it is a heading."""

    NAME = 1
    DATE = 2
    NUMBER = 4
    REASON = 8
    DEFINITION = 16
    HEADING = 32


_ANYWHERE = ((Trait.NAME, NAME), (Trait.DATE, DATE), (Trait.NUMBER, NUMBER), (Trait.REASON, REASON))
_OF_CUE = {pattern: trait for trait, pattern in (*_ANYWHERE, (Trait.DEFINITION, DEFINITION))}


def traits_of(sentence: str) -> Trait:
    """What a sentence shows. A definition has "is" soon after what it begins with."""
    traits = Trait(0)
    for trait, pattern in _ANYWHERE:
        if pattern.search(sentence):
            traits |= trait
    begins = _ARTICLE.match(sentence)
    if DEFINITION.match(sentence, begins.end() if begins else 0):
        traits |= Trait.DEFINITION
    return traits


def trait_asked(folded: str) -> Trait:
    """What an answer to a question shows, of a folded question; nothing where it does not tell."""
    return next((_OF_CUE[answer] for asked, answer in CUES if asked.search(folded)), Trait(0))


def hashed(text: str, *, key: bytes, bits: int) -> int:
    """The lowest bits of a keyed hash, never 0."""
    value = int.from_bytes(blake2b(text.encode(), digest_size=8, key=key).digest(), "little") & ((1 << bits) - 1)
    return value or 1


def word_of(surface: str, stem: str, *, key: bytes) -> Word:
    """A word by its folded surface and stem. Cost: some 6 µs."""
    family = len(stem) >= _BEGINNING and stem.isalpha()
    code = hashed("^" + (stem[:_BEGINNING] if family else stem), key=key, bits=20)
    for length in _LONGER:
        code = code << 4 | (hashed("^" + surface[:length], key=key, bits=4) if family and len(surface) >= length else 0)
    return code, hashed("=" + stem, key=key, bits=8) << 8 | hashed("~" + surface, key=key, bits=8)


def beginning(code: int) -> int:
    """Of a key, what words of one family share."""
    return code >> 12


@lru_cache(maxsize=1 << 12)
def likeness(left: int, right: int) -> float:
    """How alike two words of one beginning are by their keys, without regard to stems: 0.1 for each letter beyond 3."""
    shared = 0.1
    for shift in (8, 4, 0):
        nibble = left >> shift & 15
        if not nibble or nibble != right >> shift & 15:
            break
        shared += 0.1
    return shared if left & 0xFFF and right & 0xFFF else 0.0


def pack(words: Sequence[Word]) -> bytes:
    """Words as bytes: all keys, then all marks, little-endian."""
    keys, marks = array("I", [key for key, _ in words]), array("H", [mark for _, mark in words])
    if sys.byteorder == "big":
        keys.byteswap()
        marks.byteswap()
    return keys.tobytes() + marks.tobytes()


def unpack(signature: bytes) -> Iterator[Word]:
    """The words that `pack` was given."""
    count = len(signature) // 6
    keys, marks = array("I"), array("H")
    keys.frombytes(signature[: 4 * count])
    marks.frombytes(signature[4 * count : 6 * count])
    if sys.byteorder == "big":
        keys.byteswap()
        marks.byteswap()
    return zip(keys, marks, strict=True)
