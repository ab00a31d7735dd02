import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ali.kernel.errors import InvalidRequest
from ali.providers.extractive import count_tokens, displayed, examine, message_for, stream_of
from ali.providers.extractive.request import question_span
from ali.providers.sse import EventSplitter, event_data
from tests.unit.extractive.pdf_bytes import MANUAL

EVENTS: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
PDF_BLOCK = {
    "type": "document",
    "title": "manual.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(MANUAL).decode()},
}
POLICY = "Employees have 22 days of holiday a year.\n\nUnused days expire\nin March of the next year."
TEXT_BLOCK = {
    "type": "document",
    "title": "policy.md",
    "source": {"type": "text", "media_type": "text/plain", "data": POLICY},
}


def asking(question: str, *blocks: dict[str, Any], **more: object) -> dict[str, Any]:
    turn = {"role": "user", "content": [*blocks, {"type": "text", "text": question}]}
    return {"model": "ali-extractive", "max_tokens": 1000, "messages": [turn], **more}


def first(request: dict[str, Any]) -> dict[str, Any]:
    block: dict[str, Any] = message_for(request, message_id="msg_1")["content"][0]
    return block


def test_a_quote_from_a_pdf_says_its_page_and_cites_it_as_the_sdk_expects() -> None:
    message = message_for(asking("A cada quantas horas se troca o filtro de óleo?", PDF_BLOCK), message_id="msg_1")

    Message.model_validate(message, strict=True)
    block = message["content"][0]
    assert block["text"].startswith(
        "“O filtro de óleo deve ser trocado a cada 500 horas de uso ou, em ambientes com poeira"
    )
    assert "(manual.pdf, p. 2)" in block["text"]
    (cited,) = block["citations"]
    assert cited["type"] == "page_location"
    assert (cited["document_index"], cited["document_title"], cited["file_id"]) == (0, "manual.pdf", None)
    assert (cited["start_page_number"], cited["end_page_number"]) == (2, 3)
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["input_tokens"] > 50


def test_a_quote_from_text_is_byte_equal_in_its_citation_and_on_one_line_when_shown() -> None:
    block = first(asking("When do unused days expire?", PDF_BLOCK, TEXT_BLOCK))

    (cited,) = block["citations"]
    assert cited["type"] == "char_location"
    assert cited["document_index"] == 1
    assert POLICY[cited["start_char_index"] : cited["end_char_index"]] == cited["cited_text"]
    assert "\n" in cited["cited_text"]
    assert block["text"].strip() == "“Unused days expire in March of the next year.” (policy.md, line 3)"


def test_content_blocks_and_search_results_are_cited_by_block() -> None:
    content = [{"type": "text", "text": "The sky is blue."}, {"type": "text", "text": "Grass is green. It grows."}]
    document = {"type": "document", "title": "facts", "source": {"type": "content", "content": content}}
    result = {"type": "search_result", "source": "https://x.example/a", "title": "Facts", "content": content}

    (by_block,) = first(asking("Is grass green?", document))["citations"]
    (by_result,) = first(asking("Is grass green?", result))["citations"]

    assert by_block["type"] == "content_block_location"
    assert by_block["cited_text"] == content[1]["text"]
    assert (by_block["start_block_index"], by_block["end_block_index"]) == (1, 2)
    assert by_result["type"] == "search_result_location"
    assert (by_result["source"], by_result["search_result_index"]) == ("https://x.example/a", 0)


def test_what_the_user_and_the_tools_said_before_is_material_and_the_assistant_is_not() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "The meeting with Carla is on 12 May at noon."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Rain is expected on Friday."}],
        },
        {"role": "assistant", "content": "The meeting with Carla is on 30 June."},
    ]

    def told(question: str) -> dict[str, Any]:
        return first({"messages": [*turns, {"role": "user", "content": question}], "max_tokens": 500})

    meeting = told("When is the meeting with Carla?")
    assert meeting["text"].strip() == "“The meeting with Carla is on 12 May at noon.” (message 1)"
    assert meeting["citations"][0]["document_title"] == "message 1"
    assert told("When is rain expected?")["text"].strip() == "“Rain is expected on Friday.” (weather)"


def test_pasted_context_is_material_and_the_question_in_it_is_never_its_own_answer() -> None:
    context = "O prazo de entrega do relatório é 30 de junho. " * 2 + "O relatório tem doze páginas. " * 8
    block = first(
        {"max_tokens": 500, "messages": [{"role": "user", "content": f"{context}\n\nQual é o prazo do relatório?"}]}
    )

    assert block["text"].startswith("“O prazo de entrega do relatório é 30 de junho.” (mensagem 1)")
    assert "Qual é o prazo" not in block["text"]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Who wrote it?", "Who wrote it?"),
        ("Long material. " * 40 + "\n\nWho wrote it?", "Who wrote it?"),
        ("Who wrote it?\n\n" + "Long material. " * 40, "Who wrote it?"),
        (
            "Context: " + "Long material. " * 40 + "\nQuestion: Who wrote it?\nHelpful Answer:",
            "Question: Who wrote it?",
        ),
        ("Long material. " * 40 + "Who wrote it? Say it shortly.", "Who wrote it?"),
    ],
)
def test_the_part_that_asks_is_found_in_a_long_message(text: str, asked: str) -> None:
    start, end = question_span(text, alone=True)

    assert text[start:end].strip() == asked


@pytest.mark.parametrize(
    ("question", "says"),
    [("Qual é a capital da França?", "Não encontrei"), ("What is the capital of France?", "I found nothing")],
)
def test_where_nothing_answers_it_says_so_in_the_language_of_the_question(question: str, says: str) -> None:
    block = first(asking(question, PDF_BLOCK))

    assert block["text"].startswith(says)
    assert not block["citations"]


def test_a_document_that_turns_citations_off_is_quoted_without_them() -> None:
    block = first(asking("When do unused days expire?", {**TEXT_BLOCK, "citations": {"enabled": False}}))

    assert "policy.md" in block["text"]
    assert block["citations"] is None


def test_past_max_tokens_the_text_is_cut_and_the_stop_reason_says_so() -> None:
    message = message_for(asking("When do unused days expire?", TEXT_BLOCK, max_tokens=5), message_id="m")

    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] <= 5


def test_the_stream_says_the_same_as_the_whole_message() -> None:
    message = message_for(asking("What is the filtro de óleo garantia?", PDF_BLOCK, TEXT_BLOCK), message_id="msg_1")
    events = []
    for event in EventSplitter(limit_bytes=1 << 20).feed(b"".join(stream_of(message))):
        data = event_data(event)
        assert data is not None
        events.append(json.loads(data))
        EVENTS.validate_python(events[-1], strict=True)
        assert event.startswith(b"event: " + events[-1]["type"].encode() + b"\n")

    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    texts = [""] * len(message["content"])
    citations: list[list[Any]] = [[] for _ in message["content"]]
    opened = -1
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            opened += 1
        assert event["index"] == opened
        delta = event.get("delta", {})
        texts[opened] += delta.get("text", "")
        citations[opened] += [delta["citation"]] if "citation" in delta else []
    assert texts == [block["text"] for block in message["content"]]
    assert citations == [block["citations"] or [] for block in message["content"]]
    assert events[-2]["usage"]["output_tokens"] == message["usage"]["output_tokens"]


def test_tokens_are_counted_as_usage_reports_them() -> None:
    request = asking("When do unused days expire?", PDF_BLOCK, TEXT_BLOCK)

    assert count_tokens(request) == message_for(request, message_id="m")["usage"]["input_tokens"]


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages.0"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        (asking("x?", {"type": "document"}), "messages.0.content.0.source"),
        (
            asking("x?", {"type": "document", "source": {"type": "base64", "data": "%"}}),
            "messages.0.content.0.source.data",
        ),
        (
            asking("x?", {"type": "document", "source": {"type": "base64", "data": "AAAA"}}),
            "messages.0.content.0.source.data",
        ),
        (
            asking("x?", {"type": "document", "source": {"type": "text", "data": " "}}),
            "messages.0.content.0.source.data",
        ),
        (
            asking("x?", {"type": "document", "source": {"type": "url", "url": "http://x"}}),
            "messages.0.content.0.source.type",
        ),
        (asking("x?", {"type": "document", "source": {"type": "base64"}}), "messages.0.content.0.source"),
        (asking("x?", tool_choice={"type": "any"}), "tool_choice"),
        (asking("x?", output_config={"format": {"type": "json_schema"}}), "output_config"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_its_place(request_body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        message_for(request_body, message_id="m")

    assert refused.value.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "source", "content", "data", "role"]), inner)
    ),
    max_leaves=8,
)


@given(st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": JSON}), max_size=3), JSON)
def test_whatever_json_comes_is_answered_or_refused(messages: list[object], system: object) -> None:
    with suppress(InvalidRequest):
        message_for({"messages": messages, "system": system}, message_id="m")


def test_a_line_break_inside_a_word_or_an_address_leaves_no_space_when_shown() -> None:
    assert displayed("um sis-\ntema GNU/\nLinux\ncom  dois\tespaços") == "um sistema GNU/Linux com dois espaços"


def test_scores_say_why_a_quote_was_found() -> None:
    examined = examine(asking("When do unused days expire?", TEXT_BLOCK))

    assert examined.answer.quotes[0].scores.covered == pytest.approx(1.0)
    assert examined.answer.confidence == pytest.approx(1.0)


def test_with_nothing_but_a_question_it_says_that_nothing_was_given() -> None:
    assert first(asking("Qual é a capital da França?"))["text"].startswith("Não encontrei nada que responda: nenhum")
    assert "no document" in first(asking("What is the capital of France?"))["text"]


def test_a_long_message_without_a_question_mark_costs_little() -> None:
    request = asking("word " * 200_000)

    assert count_tokens(request) == 200_000
    assert message_for(request, message_id="m")["stop_reason"] == "end_turn"


@pytest.mark.parametrize(("scores", "best"), [((None, None), "a"), ((0.2, 0.9), "b"), (("x", -1), "a")])
def test_search_results_count_by_their_score_or_by_their_order(scores: tuple[Any, Any], best: str) -> None:
    text = "O prazo da garantia é de doze meses."
    results = [
        {"type": "search_result", "source": source, "title": source, "content": [{"type": "text", "text": body}]}
        | ({} if score is None else {"score": score})
        for source, score, body in (("a", scores[0], text), ("b", scores[1], text.replace("doze", "dez")))
    ]
    asked = {"type": "text", "text": "Qual é o prazo da garantia?"}
    examined = examine({"messages": [{"role": "user", "content": [*results, asked]}]})

    assert examined.material.documents[examined.answer.quotes[0].document].source == best


def test_beside_search_results_a_long_message_does_not_quote_itself() -> None:
    story = "João é advogado e trabalha em uma empresa pública. " * 12
    result = {
        "type": "search_result",
        "source": "estatuto",
        "title": "estatuto",
        "content": [{"type": "text", "text": "Contratos são assinados pelo advogado da empresa pública."}],
    }
    asked = {"type": "text", "text": f"{story}O advogado de empresa pública pode assinar contratos?"}
    examined = examine({"messages": [{"role": "user", "content": [result, asked]}]})

    assert [document.source for document in examined.material.documents] == ["estatuto"]
    assert examined.answer.quotes[0].text.startswith("Contratos são assinados")
