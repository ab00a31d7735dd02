"""A chunk's words in their order, as the second stage of ranking reads them: 48 bits each, none of which is a word.

A word is a key and a mark. The key (16 bits) is how the word begins, by four letters: most words of a chunk are not
asked for, and the key tells. The mark (32 bits) is 4 bits more of that; 4 each of the word's first five, six and seven
letters, so that words of one family ("construir", "construção") can be told to be one; then 8 of its stem, and 8 of
the word as it is written. All are keyed hashes. A word that has no such family (a number, a short one, a legal
citation) has all of itself in place of its beginning.

Where a sentence ends, a zero stands for the key and its traits for the mark.
"""

import re
import sys
from array import array
from collections.abc import Sequence
from enum import IntFlag
from hashlib import blake2b

from ali.providers.extractive.question import CUES, DATE, DEFINITION, NAME, NUMBER, REASON

Word = tuple[int, int]
"""A key and a mark."""

SENTENCE_END = 0
"""A key that is no word's."""

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
    begins = hashed("^" + (stem[:_BEGINNING] if family else stem), key=key, bits=20)
    mark = begins >> 16
    for length in _LONGER:
        mark = mark << 4 | (hashed("^" + surface[:length], key=key, bits=4) if family and len(surface) >= length else 0)
    mark = mark << 8 | hashed("=" + stem, key=key, bits=8)
    mark = mark << 8 | hashed("~" + surface, key=key, bits=8)
    return begins & 0xFFFF or 1, mark


def same_stem(left: int, right: int) -> bool:
    """Whether two words of one key have one stem, by their marks."""
    return (left ^ right) & 0xF000FF00 == 0


def same_word(left: int, right: int) -> bool:
    """Whether two words of one key and one stem are written alike, by their marks."""
    return (left ^ right) & 0xFF == 0


def likeness(left: int, right: int) -> float:
    """How alike two words of one key are by their marks, stems aside: 0.1 for each letter beyond three, at most 0.4."""
    if left >> 28 != right >> 28 or not (left & 0xF000000 and right & 0xF000000):
        return 0.0  # at most four letters, or no family
    shared = 0.1
    for shift in (24, 20, 16):
        nibble = left >> shift & 15
        if not nibble or nibble != right >> shift & 15:
            break
        shared += 0.1
    return shared


def pack(words: Sequence[Word]) -> bytes:
    """Words as bytes: all keys, then all marks, little-endian."""
    keys, marks = array("H", [key for key, _ in words]), array("I", [mark for _, mark in words])
    if sys.byteorder == "big":
        keys.byteswap()
        marks.byteswap()
    return keys.tobytes() + marks.tobytes()


def unpack(signature: bytes) -> "tuple[array[int], array[int]]":
    """The keys and the marks of the words that `pack` was given."""
    size = len(signature) // 6 * 2
    keys, marks = array("H", signature[:size]), array("I", signature[size:])
    if sys.byteorder == "big":
        keys.byteswap()
        marks.byteswap()
    return keys, marks
