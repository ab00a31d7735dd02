"""Marks in a model's text become annotations, however the text is cut into deltas."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.providers.turns.citing import MARK_LIMIT, Citations, CitedText, mark, without_marks


@dataclass(frozen=True)
class Named:
    """A source known by its name."""

    name: str

    def annotation(self, *, span: tuple[int, int] | None = None) -> dict[str, Any]:
        return {"type": "file_citation", "file_id": self.name, "filename": f"{self.name}.pdf"}


def given_sources(count: int = 12) -> Citations:
    citations = Citations()
    for number in range(1, count + 1):
        assert citations.give(Named(f"f{number}")) == f"c{number}"
    return citations


def read(pieces: list[str], citations: Citations | None = None) -> tuple[str, list[tuple[int, str]], Citations]:
    """The text that is shown, where it cites what, and the table."""
    citations = citations or given_sources()
    text = CitedText(citations)
    shown, cited = "", []
    for piece in [part for delta in pieces for part in text.feed(delta)] + text.end():
        if isinstance(piece, str):
            assert piece
            shown += piece
        else:
            assert piece["index"] == len(shown), "an annotation comes when the text before it was shown"
            cited.append((piece["index"], piece["file_id"]))
    assert text.length == len(shown)
    return shown, cited, citations


@pytest.mark.parametrize(
    ("written", "shown", "cited"),
    [
        ("Thirty days 【c3】.", "Thirty days.", [(11, "f3")]),
        ("Thirty days【c3】【c5】 and more", "Thirty days and more", [(11, "f3"), (11, "f5")]),
        ("Thirty 【c3】 【c5】.", "Thirty.", [(6, "f3"), (6, "f5")]),
        ("Trinta 😀 dias 【c3, c5】.\n\nE 【C12】", "Trinta 😀 dias.\n\nE", [(13, "f3"), (13, "f5"), (17, "f12")]),
        ("A【 c3 】B", "AB", [(1, "f3")]),
        ("A【c3†lei.pdf】B【c3; p. 12】", "AB", [(1, "f3"), (2, "f3")]),
        ("A 【c3】【c3】", "A", [(1, "f3")]),
        ("`x = 1 【c2】`", "`x = 1`", [(6, "f2")]),
        ("【c1】 first", " first", [(0, "f1")]),
    ],
)
def test_marks_become_annotations_at_their_place(written: str, shown: str, cited: list[tuple[int, str]]) -> None:
    assert read([written])[:2] == (shown, cited)
    assert read(list(written))[:2] == (shown, cited)


@pytest.mark.parametrize(
    ("written", "shown", "dropped"),
    [
        ("A 【c99】.", "A.", 1),
        ("A 【c0】 【c13, c14】.", "A.", 3),
        ("A 【4:0†source】B", "AB", 1),
        ("A 【7†source】", "A", 1),
        ("A 【c", "A 【c", 0),
        ("A 【c1", "A", 1),
    ],
)
def test_what_was_never_given_is_dropped_and_counted(written: str, shown: str, dropped: int) -> None:
    text, cited, citations = read(list(written))
    assert (text, cited, citations.dropped) == (shown, [], dropped)


@pytest.mark.parametrize(
    "written",
    [
        "第1章【重要】です",
        "【1】",
        "【】",
        "【c】",
        "【car】",
        "【c3x】",
        "A 【",
        "spaces  at the end  ",
        "【c3\n】",
        "[c3] [[c3]]",
        "【c3" + "," * MARK_LIMIT + "】",
    ],
)
def test_other_text_is_left_as_it_is(written: str) -> None:
    shown, cited, citations = read(list(written))
    if written.startswith("【c3,"):
        assert cited == []
    assert (shown, cited, citations.dropped) == (written, [], 0)


def test_a_given_handle_beside_a_false_one_is_cited() -> None:
    shown, cited, citations = read(["A 【c1, c99】."])
    assert (shown, cited) == ("A.", [(1, "f1")])
    assert (citations.cited, citations.dropped) == (1, 1)


def test_only_what_could_be_a_mark_is_held_back() -> None:
    text = CitedText(given_sources())
    assert text.feed("Days") == ["Days"]
    assert text.feed(" ") == []
    assert text.feed("of") == [" of"]
    assert text.feed(" 【") == []
    assert text.feed("重") == [" 【重"]
    assert text.feed("【c") == []
    assert text.feed("at") == ["【cat"]


def test_offsets_of_others_move_with_the_text() -> None:
    text = CitedText(given_sources())
    written = "one 【c1】 two 【c2】three"
    for letter in written:
        text.feed(letter)
    assert text.shown_at(written.index("two")) == len("one ")
    assert text.shown_at(len(written)) == len("one twothree")
    assert text.shown_at(5) == len("one"), "within a mark: where it stood"


PIECES = st.sampled_from(
    [
        *(
            "【c1】",
            "【c2,c99】",
            "【c",
            "3",
            "】",
            "【",
            " ",
            "  ",
            "c12",
            "†",
            ":",
            "4:0†x",
            "\n",
            ".",
            "é",
            "😀",
            "【重要】",
        ),
        *("word", "c", "【C5 】", ",", "[c1]"),
    ]
)


@given(st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join), st.data())
def test_how_the_text_is_cut_makes_no_difference(written: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=len(written) + 1)))
    pieces = [written[start:end] for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    whole, cut = read([written]), read(pieces)
    assert cut[:2] == whole[:2]
    assert (cut[2].cited, cut[2].dropped) == (whole[2].cited, whole[2].dropped)


@pytest.mark.parametrize("written", ["Um 【c1】【c2】 dois 【c99】, 【重要】 três 【4:0†x】 fim 【c3†a.pdf】."])
def test_every_split_in_three_says_the_same(written: str) -> None:
    whole = read([written])[:2]
    for first in range(len(written) + 1):
        for second in range(first, len(written) + 1):
            assert read([written[:first], written[first:second], written[second:]])[:2] == whole


@given(st.text(alphabet=" 【】c1†:x\n", max_size=200))
def test_little_is_ever_held_back(written: str) -> None:
    text = CitedText(given_sources())
    for letter in written:
        text.feed(letter)
        held = text.taken - text.length - sum(end - start for start, end in text._cuts)
        assert held <= MARK_LIMIT + 2 or written.count(" ") > held - MARK_LIMIT - 3


@given(st.lists(PIECES, max_size=8).map("".join))
def test_what_was_made_harmless_cites_nothing(written: str) -> None:
    text, cited, citations = read([without_marks(written)])
    assert cited == []
    assert citations.dropped == 0 or "【" not in text


def test_a_mark_is_read_as_it_is_shown_to_models() -> None:
    assert read([mark("c7")])[1] == [(0, "f7")]
