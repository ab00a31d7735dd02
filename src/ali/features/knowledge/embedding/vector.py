"""Vectors of unit length as PostgreSQL takes them: pgvector's `halfvec`, in its binary form."""

import base64
import math
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Final, NewType

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

Vector = NewType("Vector", bytes)
"""A unit vector in 16-bit floats, as `halfvec_send` writes it: its dimensions, two bytes of nothing, the numbers."""

MOST_DIMENSIONS: Final = 4000
"""More, pgvector does not index. Source: pgvector's README, "Half-Precision Indexing"."""
_HEAD: Final = struct.Struct(">hh")


class NotAVector(ValueError):
    """What came as an embedding is none."""


def packed(numbers: Sequence[float]) -> Vector:
    """A vector of these numbers, brought to unit length; one of zeros stays as it is.

    Raises `NotAVector` for none, for more than `MOST_DIMENSIONS`, and for numbers that are not finite.
    """
    if not 1 <= len(numbers) <= MOST_DIMENSIONS:
        raise NotAVector(f"a vector of {len(numbers)} numbers")
    norm = math.sqrt(sum(number * number for number in numbers)) or 1.0
    if not math.isfinite(norm):
        raise NotAVector("a vector with numbers that are not finite")
    scaled = [number / norm for number in numbers]
    return Vector(_HEAD.pack(len(scaled), 0) + struct.pack(f">{len(scaled)}e", *scaled))


def read_embedding(value: object) -> Vector:
    """An element of an answer's `data` (`embedding`): base64 of 32-bit floats in little-endian order, or a list.

    Raises `NotAVector`. Source: OpenAI API reference, "Create embeddings", `encoding_format`.
    """
    if isinstance(value, str):
        try:
            numbers = array("f", base64.b64decode(value, validate=True))
        except ValueError as error:
            raise NotAVector("no base64 of 32-bit floats") from error
        if sys.byteorder == "big":
            numbers.byteswap()
        return packed(numbers)
    if isinstance(value, list) and all(type(number) in (float, int) for number in value):
        try:
            return packed(value)
        except OverflowError as error:
            raise NotAVector("a vector with numbers that are not finite") from error
    raise NotAVector("neither base64 nor a list of numbers")


def dimensions_of(vector: Vector) -> int:
    """How many numbers it has."""
    return int(_HEAD.unpack_from(vector)[0])


def unpacked(vector: Vector) -> tuple[float, ...]:
    """Its numbers."""
    return struct.unpack_from(f">{dimensions_of(vector)}e", vector, _HEAD.size)


class Halfvec:
    """A vector as a parameter of a statement: PostgreSQL infers from the statement that it is a `halfvec`."""

    __slots__ = ("vector",)

    def __init__(self, vector: Vector) -> None:
        self.vector = vector


class HalfvecDumper(Dumper):
    """Writes a `Halfvec` in binary. Its type is left open, for extensions' types have other numbers in each database.

    Give it to a cursor or connection: `cursor.adapters.register_dumper(Halfvec, HalfvecDumper)`.
    """

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Halfvec) -> Buffer:
        """Its bytes as they are."""
        return obj.vector
