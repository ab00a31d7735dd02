"""Passages: where each stretch stands, what a citation of it says, and what of that survives any JSON."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.knowledge.chunk import Chunk, Found, Span
from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.cutting import chunks_of
from ali.features.responses.file_search.asking import queries_for
from ali.features.responses.file_search.passages import (
    Passage,
    annotation_of,
    passage_of,
    read_result,
    result_of,
    within,
)
from ali.features.responses.file_search.searches import MOST_QUERIES, read_queries
from ali.features.responses.file_search.shown import Handles, told, with_searches
from ali.kernel.ids import uuid7
from ali.providers.turns.citing import Citations
from tests.responses.shelved import ACT
from tests.unit.translate.test_properties import SCALARS

PAGES = st.lists(
    st.lists(
        st.sampled_from(
            [
                *("Art. 7º São direitos:\n", "I - férias;\n", "§ 3º Outros.\n", "Art. 10. Vigora.\n", "CAPÍTULO I\n"),
                *("O servidor tem férias. ", "\n\n", "Parágrafo único. Vale.\n", "LEI Nº 1\n\n", "  "),
            ]
        ),
        min_size=1,
        max_size=40,
    ).map("".join),
    min_size=1,
    max_size=4,
)


def found(chunk: Chunk, **members: Any) -> Found:  # noqa: ANN401 - of `Found`
    return Found(
        **{
            "vector_store_id": uuid7(),
            "file_id": uuid7(),
            "filename": "lei.pdf",
            "attributes": {"area": "rh"},
            "number": 0,
            "position": 0,
            "chunk": chunk,
            "score": 0.87654,
            "scores": {"bm25": 0.5},
            **members,
        }
    )


def passages(pages: list[str] | tuple[str, ...]) -> list[Passage]:
    content = Content(pages=pages, bodies=[(0, len(page)) for page in pages], paged=True)
    return [passage_of(found(chunk)) for chunk in chunks_of(content)]


def test_an_act_is_cut_where_page_article_or_paragraph_changes() -> None:
    places = [one.place for passage in passages(ACT) for one in passage.stretches]
    assert [place for place in places if "Art" in place] == [
        "p. 1, Art. 7º",
        "p. 1, Art. 7º, § 3º",
        "p. 2, Art. 8º",
        "p. 2, Art. 9º",
    ]


@given(PAGES)
def test_every_citation_is_made_of_slices_of_the_pages(pages: list[str]) -> None:
    for passage in passages(pages):
        assert passage.stretches[0].start == 0 or not passage.text[: passage.stretches[0].start].strip()
        for one in passage.stretches:
            citation = annotation_of(passage, one.start, one.end)["citation"]
            texts = [pages[part["page"] - 1][part["start"] : part["end"]] for part in citation["slices"]]
            assert "\n".join(texts).strip() == citation["cited_text"].strip()
            assert citation["page"] == citation["slices"][0]["page"]


@given(PAGES)
def test_a_passage_survives_its_result(pages: list[str]) -> None:
    for passage in passages(pages):
        again = read_result(orjson.loads(orjson.dumps(result_of(passage))))
        assert again == replace(passage, attributes={}, scores={})


JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS | st.integers(-3, 9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "file_id", "filename", "score", "passage", "places", "spans", "headings"]),
            inner,
            max_size=8,
        )
    ),
    max_leaves=30,
)
RESULTS = st.fixed_dictionaries(
    {"text": st.text(max_size=9)},
    optional={
        "file_id": JSON,
        "filename": JSON,
        "score": JSON,
        "passage": st.fixed_dictionaries(
            {},
            optional={
                "headings": JSON,
                "vector_store_id": JSON,
                "places": st.lists(st.tuples(st.integers(-1, 9), st.none() | st.integers(), st.text(max_size=3)))
                | JSON,
                "spans": st.lists(st.tuples(*[st.integers(-1, 9)] * 4)) | JSON,
            },
        ),
    },
)


@given(st.lists(RESULTS | JSON, max_size=4))
def test_whatever_a_caller_sends_as_results_can_be_shown_and_cited(results: list[Any]) -> None:
    citations = Citations()
    item = {"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": [], "results": results}
    for as_blocks in (False, True):
        [call, output] = with_searches([item], Handles(citations), as_blocks=as_blocks)
        orjson.dumps([call, output])
    for number in range(1, 20):
        annotation = citations.cite(f"c{number}")
        if annotation is not None:
            orjson.dumps(annotation)


def search(item_id: str, *texts: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - of an item
    results = [{"file_id": f"file-{text}", "filename": "a.pdf", "text": text} for text in texts]
    return {
        "id": item_id,
        "type": "file_search_call",
        "status": "completed",
        "queries": ["q"],
        "results": results,
        **members,
    }


def test_calls_side_by_side_stay_so_and_handles_go_on() -> None:
    items = [
        {"type": "message", "role": "user"},
        search("fs_1", "one", "two"),
        {"type": "mcp_call", "id": "mcp_1"},
        search("fs_2", "two", "three"),
        {"type": "message", "role": "assistant"},
        search("fs_3", "one"),
    ]
    shown = with_searches(items, Handles(Citations()))
    assert [item.get("call_id") or item["type"] for item in shown] == [
        *("message", "fs_1", "mcp_call", "fs_2", "fs_1", "fs_2", "message", "fs_3", "fs_3"),
    ]
    first, second, third = (item["output"] for item in shown if item["type"] == "function_call_output")
    assert "【c1】\none" in first
    assert "【c2】\ntwo" in first
    assert "【c2】\ntwo" in second, "a passage that is found again keeps its handle"
    assert "【c3】\nthree" in second
    assert "【c1】\none" in third


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({"results": None}, 0),
        ({"results": None, "status": "incomplete"}, 0),
        ({"results": None, "status": "failed"}, 2),
        ({"results": []}, 2),
    ],
)
def test_a_search_whose_results_are_not_known_is_left_out(members: dict[str, Any], shown: int) -> None:
    assert len(with_searches([search("fs_1", **members)], Handles(Citations()))) == shown


def test_results_are_told_to_those_who_ask() -> None:
    item = search("fs_1", "one")
    assert told(item, shows_results=True) is item
    assert told(item, shows_results=False) == {**item, "results": None}
    assert item["results"]


def test_the_best_passages_that_fit_are_kept_and_one_at_least() -> None:
    many = [
        passage_of(found(Chunk(text="x" * 100, spans=(Span(at=0, page=None, start=0, end=100),)))) for _ in range(9)
    ]
    assert len(within(many, most_bytes=350)) == 3
    assert len(within(many, most_bytes=1)) == 1
    assert within([], most_bytes=1) == []


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ('{"queries":["a","b","a"," a  b "]}', ["a", "b", "a b"]),
        ('{"query":"a"}', ["a"]),
        ('["a"]', ["a"]),
        ('"a"', ["a"]),
        ('{"queries":["a",7,null,""]}', ["a"]),
        ('{"queries":[1]}', []),
        ("", []),
        ('{"queries":["a"', []),
    ],
)
def test_queries_are_read_as_models_write_them(arguments: str, queries: list[str]) -> None:
    assert read_queries(arguments) == queries


def test_a_call_has_no_more_queries_than_are_searched() -> None:
    assert len(read_queries(orjson.dumps({"queries": [str(number) for number in range(50)]}).decode())) == MOST_QUERIES
    assert len(read_queries(orjson.dumps({"queries": ["x" * 10_000]}).decode())[0]) == 1000


def test_the_question_is_searched_for_alone_and_behind_the_one_before() -> None:
    def user(text: str) -> dict[str, Any]:
        return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

    assert queries_for([user("Férias?")]) == ["Férias?"]
    assert queries_for([user("Férias?"), {"role": "assistant", "content": []}, user("E de juiz?")]) == [
        "E de juiz?",
        "Férias? E de juiz?",
    ]
    assert queries_for([{"role": "assistant", "content": []}]) == []
    assert queries_for([{"role": "user", "content": "Plain?"}]) == ["Plain?"]
