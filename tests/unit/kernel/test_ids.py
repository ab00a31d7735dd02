"""Identifiers: in order, and read as strictly as they are written."""

import pytest

from ali.kernel.ids import new_id, read_id, shown_id, uuid7


def test_each_identifier_is_greater_than_the_one_before_and_well_formed() -> None:
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {"specified in RFC 4122"}


def test_what_is_shown_is_read_back() -> None:
    value = uuid7()
    assert read_id(shown_id("appr_", value), prefix="appr_") == value
    assert read_id(shown_id("file-", value), prefix="file-") == value
    assert read_id(new_id("req"), prefix="req_") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "appr_",
        "appr_" + "0" * 31,
        "appr_" + "0" * 33,
        "appr_" + "A" * 32,
        "appr_" + "0" * 31 + "\n",
        "appr_" + "\N{ARABIC-INDIC DIGIT ZERO}" * 32,
        "proj_" + "0" * 32,
        "0" * 32,
        "appr_00000000-0000-0000-0000-000000000000",
    ],
)
def test_anything_else_is_no_identifier(text: str) -> None:
    assert read_id(text, prefix="appr_") is None
