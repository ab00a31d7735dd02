"""Vectors as they come from providers and go to PostgreSQL."""

import base64
import math
import struct

import psycopg
import pytest

from ali.features.knowledge.chunk import Chunk
from ali.features.knowledge.embedding import passage_text
from ali.features.knowledge.embedding.batching import LONGEST_CHARACTERS, MOST_CHARACTERS, MOST_TEXTS, batches
from ali.features.knowledge.embedding.vector import (
    MOST_DIMENSIONS,
    Halfvec,
    HalfvecDumper,
    NotAVector,
    dimensions_of,
    packed,
    read_embedding,
    unpacked,
)
from tests.fixtures.database import Tenant


def test_a_vector_is_brought_to_unit_length() -> None:
    vector = packed([3.0, 0.0, 4.0])
    assert dimensions_of(vector) == 3
    assert unpacked(vector) == pytest.approx((0.6, 0.0, 0.8), abs=1e-3)
    assert math.hypot(*unpacked(packed([1.0] * 384))) == pytest.approx(1.0, abs=1e-3)
    assert unpacked(packed([0.0, 0.0])) == (0.0, 0.0)


def test_base64_and_lists_of_numbers_are_the_same_vector() -> None:
    numbers = [0.25, -1.5, 3.0]
    encoded = base64.b64encode(struct.pack("<3f", *numbers)).decode()
    assert read_embedding(encoded) == read_embedding(numbers) == packed(numbers)


@pytest.mark.parametrize(
    "value",
    [
        "not base64!",
        base64.b64encode(b"five.").decode(),
        base64.b64encode(struct.pack("<2f", math.nan, 1.0)).decode(),
        [],
        [1.0, "2"],
        [True, 1.0],
        [math.inf, 1.0],
        [10**400, 1.0],
        [1.0] * (MOST_DIMENSIONS + 1),
        None,
        {"0": 1.0},
    ],
)
def test_what_is_no_vector_is_refused(value: object) -> None:
    with pytest.raises(NotAVector):
        read_embedding(value)


def test_postgresql_reads_what_is_written_and_gives_it_back(tenant: Tenant) -> None:
    vector = packed([1.0, -2.0, 0.5, 1e-6])
    with psycopg.connect(tenant.dsn) as connection, connection.cursor(binary=True) as cursor:
        cursor.adapters.register_dumper(Halfvec, HalfvecDumper)
        cursor.execute("select %s::halfvec, (%s::halfvec)::real[]", (Halfvec(vector), Halfvec(vector)))
        back, numbers = cursor.fetchone() or (None, None)
    assert back == vector
    assert numbers == pytest.approx(list(unpacked(vector)), abs=1e-4)


def test_batches_keep_the_order_and_the_bounds() -> None:
    texts = [f"{number} " + "x" * (number % 7 * 5000) for number in range(300)]
    made = list(batches(texts))
    assert [text for batch in made for text in batch] == [text[:LONGEST_CHARACTERS] for text in texts]
    assert max(len(batch) for batch in made) <= MOST_TEXTS
    assert max(sum(map(len, batch)) for batch in made) <= MOST_CHARACTERS
    assert list(batches([])) == []


def test_a_passage_is_embedded_under_what_stands_above_it() -> None:
    plain = Chunk(text="É livre a expressão.", spans=())
    assert passage_text(plain) == plain.text
    titled = Chunk(text="É livre.", spans=(), headings=("Direitos", "Expressão"))
    assert passage_text(titled) == "Direitos > Expressão\nÉ livre."
    law = Chunk(text="É livre.", spans=(), headings=("Ignored",), law=("Título II", "Art. 5º", "IX"))
    assert passage_text(law) == "Título II > Art. 5º > IX\nÉ livre."
