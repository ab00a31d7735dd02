"""Files that a request names by identifier: shown to whichever model by their content, cited by their identifier."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import anthropic
import openai
import orjson
import pytest

from ali.ops.simulator import Answer, Simulator
from ali.providers.extractive.message import stream_of
from tests.batches.batched import client_of, ended, handed_in, jsonl, line
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT, PIXEL, anthropic_client, openai_client, post
from tests.fixtures.database import make_tenant
from tests.fixtures.service import Serve, Service, providers
from tests.tenancy.wire import Request, ask
from tests.unit.extractive.pdf_bytes import MANUAL

LAW: Final = "Art. 1º As férias são de trinta dias.\nArt. 2º O décimo terceiro salário é pago em dezembro.\n"
MESSAGES: Final = "/v1/messages"
CHAT: Final = "/v1/chat/completions"
PNG: Final = base64.b64encode(PIXEL).decode()
PDF: Final = base64.b64encode(MANUAL).decode()
CITED: Final = {"enabled": True}


async def kept(service: Service, name: str, content: bytes) -> str:
    """A file's id."""
    async with openai_client(service) as client:
        return (await client.files.create(file=(name, content), purpose="user_data")).id


def document(file_id: str, **more: object) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "file", "file_id": file_id}, **more}


def asking(*blocks: Mapping[str, Any], text: str = "Quando se paga o décimo terceiro?", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - as the API takes it
    content = [*blocks, {"type": "text", "text": text}]
    return {"model": CLAUDE, "max_tokens": 500, "messages": [{"role": "user", "content": content}], **more}


def received(simulator: Simulator) -> Any:  # noqa: ANN401 - JSON
    """The blocks of the first message of the last request that the provider got."""
    last = simulator.requests[-1].json["messages"]
    assert isinstance(last, list)
    return last[0]["content"]


async def test_anthropic_gets_the_content_of_files_and_never_their_ids(service: Service, simulator: Simulator) -> None:
    manual, law = await kept(service, "manual.pdf", MANUAL), await kept(service, "lei.txt", LAW.encode("cp1252"))
    picture = await kept(service, "a.bin", PIXEL)
    image = {"type": "image", "source": {"type": "file", "file_id": picture}}
    body = asking(
        document(manual, citations=CITED, cache_control={"type": "ephemeral"}),
        document(law, title="A lei", context="In force"),
        image,
        {"type": "document", "source": {"type": "content", "content": [image]}},
    )
    status, _, answer = await post(service, MESSAGES, body)
    assert status == 200, answer
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    assert received(simulator) == [
        {
            "type": "document",
            "title": "manual.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "citations": CITED,
            "cache_control": {"type": "ephemeral"},
        },
        {
            "type": "document",
            "title": "A lei",
            "source": {"type": "text", "media_type": "text/plain", "data": LAW},
            "context": "In force",
        },
        png,
        {"type": "document", "source": {"type": "content", "content": [png]}},
        {"type": "text", "text": "Quando se paga o décimo terceiro?"},
    ]
    assert b"file-" not in simulator.requests[-1].body


async def test_tokens_are_counted_and_tool_results_shown_with_the_content_of_files(
    service: Service, simulator: Simulator
) -> None:
    law = await kept(service, "lei.txt", LAW.encode())
    asked: dict[str, Any] = {
        "model": CLAUDE,
        "messages": [
            {"role": "user", "content": "Look"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"file_id": 1}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [document(law)]}],
            },
        ],
    }
    status, _, answer = await post(service, "/v1/messages/count_tokens", asked)
    assert status == 200, answer
    assert orjson.loads(answer)["input_tokens"] > 0
    sent = simulator.requests[-1].json["messages"]
    assert isinstance(sent, list)
    assert sent[1]["content"][0]["input"] == {"file_id": 1}
    assert sent[2]["content"][0]["content"][0]["source"]["data"] == LAW
    for model in (GPT, EXTRACTIVE):
        status, _, answer = await post(service, "/v1/messages/count_tokens", {**asked, "model": model})
        assert orjson.loads(answer)["input_tokens"] > 20


async def test_openai_gets_the_content_of_files_from_both_dialects(service: Service, simulator: Simulator) -> None:
    manual, law = await kept(service, "manual.pdf", MANUAL), await kept(service, "lei.md", LAW.encode())
    status, _, answer = await post(service, MESSAGES, asking(document(manual), document(law), model=GPT))
    assert status == 200, answer
    pdf = {"filename": "manual.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    assert received(simulator)[:2] == [
        {"type": "file", "file": pdf},
        {"type": "text", "text": f"lei.md\n{LAW}"},
    ]
    parts = [
        {"type": "file", "file": {"file_id": manual}},
        {"type": "file", "file": {"file_id": law, "filename": "a lei.md"}},
    ]
    for model in (GPT, CLAUDE):
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What?"}]}]
        status, _, answer = await post(service, CHAT, {"model": model, "messages": messages})
        assert status == 200, answer
        assert b"file-" not in simulator.requests[-1].body
        if model == GPT:
            text = f"data:text/plain;base64,{base64.b64encode(LAW.encode()).decode()}"
            assert received(simulator)[:2] == [
                {"type": "file", "file": pdf},
                {"type": "file", "file": {"filename": "a lei.md", "file_data": text}},
            ]
        else:
            assert [block["title"] for block in received(simulator)[:2]] == ["manual.pdf", "a lei.md"]
            assert received(simulator)[1]["source"]["data"] == LAW


def message_citing(*citations: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [{"type": "text", "text": "In December.", "citations": [dict(each) for each in citations]}]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": blocks,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 9},
    }


def place(index: int, title: str | None) -> dict[str, Any]:
    return {
        "type": "char_location",
        "cited_text": "a",
        "document_index": index,
        "document_title": title,
        "file_id": None,
        "start_char_index": 0,
        "end_char_index": 1,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_s_citations_name_the_files_and_no_other(
    service: Service, simulator: Simulator, *, stream: bool
) -> None:
    law, manual = await kept(service, "lei.txt", LAW.encode()), await kept(service, "manual.pdf", MANUAL)
    inline = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "x"}
    citations = [
        place(0, "lei.txt"),
        place(1, "x"),
        place(2, "The manual"),
        place(2, None),
        place(0, "x"),
        place(7, "x"),
    ]
    message = message_citing(*citations)
    body = tuple(stream_of(message)) if stream else orjson.dumps(message)
    kind = "text/event-stream" if stream else "application/json"
    simulator.answer(Answer(body=body, headers=(("content-type", kind),)))
    asked = asking(document(law, citations=CITED), inline, document(manual, citations=CITED, title="The manual"))
    async with anthropic_client(service) as client:
        if stream:
            async with client.messages.stream(**asked) as events:
                answer = await events.get_final_message()
        else:
            answer = await client.messages.create(**asked)
    [block] = answer.content
    assert block.type == "text"
    assert [getattr(each, "file_id", "?") for each in block.citations or ()] == [law, None, manual, None, None, None]


@pytest.mark.parametrize("stream", [False, True])
async def test_ali_extractive_answers_from_files_and_cites_them(service: Service, *, stream: bool) -> None:
    law, manual = await kept(service, "lei.txt", LAW.encode()), await kept(service, "manual.pdf", MANUAL)
    async with anthropic_client(service) as client:
        for text, file_id, cited in (
            ("Quando é pago o décimo terceiro salário?", law, "char_location"),
            ("Por quanto tempo vale a garantia?", manual, "page_location"),
        ):
            asked = asking(document(law), document(manual), text=text, model=EXTRACTIVE)
            if stream:
                async with client.messages.stream(**asked) as events:
                    answer = await events.get_final_message()
            else:
                answer = await client.messages.create(**asked)
            block = answer.content[0]
            assert block.type == "text"
            assert block.citations is not None
            assert (block.citations[0].type, getattr(block.citations[0], "file_id", None)) == (cited, file_id)
            # An SDK's answer is sent back as it came.
            again = [*asked["messages"], {"role": "assistant", "content": answer.to_dict()["content"]}]
            again.append({"role": "user", "content": "E o filtro de óleo?"})
            assert (await client.messages.create(**{**asked, "messages": again})).content
    async with openai_client(service) as other:
        parts = [
            {"type": "file", "file": {"file_id": manual}},
            {"type": "text", "text": "Por quanto tempo vale a garantia?"},
        ]
        messages: Any = [{"role": "user", "content": parts}]
        completion = await other.chat.completions.create(model=EXTRACTIVE, messages=messages)
        said = completion.choices[0].message
        assert said.model_extra is not None
        assert said.model_extra["citations"][0]["citation"]["file_id"] == manual
        messages += [said.to_dict(), {"role": "user", "content": "E o peso?"}]
        assert (await other.chat.completions.create(model=EXTRACTIVE, messages=messages)).choices


async def test_an_earlier_answer_s_citations_go_back_without_our_ids(service: Service, simulator: Simulator) -> None:
    law = await kept(service, "lei.txt", LAW.encode())
    turns = [
        {"role": "user", "content": [document(law, citations=CITED)]},
        {"role": "assistant", "content": message_citing({**place(0, "lei.txt"), "file_id": law})["content"]},
        {"role": "user", "content": "And?"},
    ]
    status, _, _ = await post(service, MESSAGES, asking(messages=turns))
    assert status == 200
    assert law.encode() not in simulator.requests[-1].body


@pytest.mark.parametrize("model", [CLAUDE, GPT, EXTRACTIVE])
async def test_a_file_that_is_not_the_project_s_is_not_there_and_reaches_nobody(
    service: Service, simulator: Simulator, model: str
) -> None:
    stranger = Service(url=service.url, tenant=make_tenant(service.tenant.dsn), app=service.app)
    foreign = await kept(stranger, "lei.txt", LAW.encode())
    for name in (foreign, "file-0", "file_011CNha8iCJcU1wXNR6q4V8w", ""):
        async with anthropic_client(service) as client:
            for asked in (asking(document(name), model=model), asking(document(name), model=model, stream=True)):
                with pytest.raises(anthropic.NotFoundError) as refusal:
                    await client.messages.create(**asked)
                assert refusal.value.type == "not_found_error"
        async with openai_client(service) as other:
            messages: Any = [{"role": "user", "content": [{"type": "file", "file": {"file_id": name}}]}]
            with pytest.raises(openai.NotFoundError) as missing:
                await other.chat.completions.create(model=model, messages=messages)
            assert (missing.value.code, missing.value.param) == (
                "file_not_found",
                "messages[0].content[0].file.file_id",
            )
    assert simulator.counters.requests == 0


HIDDEN: Final = b'{"type": "document", "source": {"type": "file", "%b": "file_abc"}}'
TWO_SOURCES: Final = (
    b'{"type": "document", "source": {"type": "file", "file_id": "file_abc"},'
    b' "source": {"type": "text", "media_type": "text/plain", "data": "x"}}'
)


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (HIDDEN % b"file\\u005fid", 404),
        (HIDDEN % b"\\u0066ile_id", 404),
        (TWO_SOURCES, 400),
        (b'{"type": "container_upload", "file_id": "file_abc"}', 400),
        (b'{"type": "document", "source": {"type": "url", "url": "https://x", "file_id": "file_abc"}}', 400),
        (b'{"type": "document", "source": {"file_id": "file_abc"}}', 400),
        (b'{"type": "document", "source": {"type": "file", "file_id": 5}}', 400),
        (b'{"type": "new_thing", "of": [{"file_id": "file_abc"}]}', 400),
        (b'{"type": "web_fetch_tool_result", "content": %b}' % (HIDDEN % b"file_id"), 400),
        (b'{"type": "image", "source": {"type": "file", "file_id": "%b"}}', 400),
    ],
)  # fmt: skip
async def test_no_other_way_of_naming_a_file_reaches_the_provider(
    service: Service, simulator: Simulator, block: bytes, status: int
) -> None:
    if b"%b" in block:
        block = block % (await kept(service, "lei.txt", LAW.encode())).encode()
    body = b'{"model": "%b", "max_tokens": 9, "messages": [{"role": "user", "content": [%b]}]}' % (
        CLAUDE.encode(),
        block,
    )
    request = Request(method="POST", target=MESSAGES, headers=(("content-type", "application/json"),), body=body)
    answer = await ask(service.url, request, secret=service.tenant.secret)
    assert answer.status == status, answer
    assert answer.json()["type"] == "error"
    assert simulator.counters.requests == 0


async def test_the_caller_s_own_fields_of_that_name_and_what_code_made_pass_unchanged(
    service: Service, simulator: Simulator
) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"file_id": "file_abc", "of": {"file_id": 2}}}
    made = {"type": "bash_code_execution_output", "file_id": "file_made"}
    result = {
        "type": "bash_code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {
            "type": "bash_code_execution_result",
            "content": [made],
            "stdout": "",
            "stderr": "",
            "return_code": 0,
        },
    }
    schema = {"type": "object", "properties": {"file_id": {"type": "string"}}}
    body = {
        "model": CLAUDE,
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": [result, call]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": '{"file_id": 1}'}],
            },
        ],
        "tools": [{"name": "f", "description": "a", "input_schema": schema}],
    }
    sent = orjson.dumps(body, option=orjson.OPT_INDENT_2)
    request = Request(method="POST", target=MESSAGES, headers=(("content-type", "application/json"),), body=sent)
    answer = await ask(service.url, request, secret=service.tenant.secret)
    assert answer.status == 200, answer
    assert simulator.requests[-1].body == sent


async def test_content_that_stands_beside_an_id_is_taken_and_the_id_goes_nowhere(
    service: Service, simulator: Simulator
) -> None:
    file = {"file_id": "file-abc", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "m.pdf"}
    body = {"model": GPT, "messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]}
    assert (await post(service, CHAT, body))[0] == 200
    assert received(simulator) == [{"type": "file", "file": {k: v for k, v in file.items() if k != "file_id"}}]


async def test_what_a_model_cannot_be_shown_is_refused(serve: Serve, simulator: Simulator) -> None:
    async with serve(**providers(simulator), drain_s=1, max_body_bytes=100_000) as service:
        for name, content, status, said in (
            ("a.docx", b"PK\x03\x04\x00\x00", 400, "text"),
            ("a.bin", b"\x00\x01", 400, "text"),
            ("large.txt", b"x" * 90_000, 413, "bytes"),
        ):
            async with anthropic_client(service) as client:
                with pytest.raises(anthropic.APIStatusError, match=said) as refusal:
                    await client.messages.create(**asking(document(await kept(service, name, content))))
                assert refusal.value.status_code == status
        halves = [await kept(service, f"{each}.txt", bytes([each]) * 50_000) for each in (65, 66)]
        status, _, _ = await post(service, MESSAGES, asking(*map(document, halves)))
        assert status == 413
        assert simulator.counters.requests == 0
        assert (await post(service, MESSAGES, asking(document(halves[0]))))[0] == 200


async def test_a_kept_completion_keeps_the_ids_of_files_and_not_their_content(
    service: Service, simulator: Simulator
) -> None:
    law = await kept(service, "lei.txt", LAW.encode())
    async with openai_client(service) as client:
        messages: Any = [{"role": "user", "content": [{"type": "file", "file": {"file_id": law}}]}]
        made = await client.chat.completions.create(model=GPT, messages=messages, store=True)
        listed = await post_get(service, f"{CHAT}/{made.id}/messages")
    assert law in listed
    assert "file_data" not in listed
    assert simulator.requests[-1].json.get("store") is None


async def post_get(service: Service, target: str) -> str:
    """What is at `target`."""
    answer = await ask(service.url, Request(method="GET", target=target), secret=service.tenant.secret)
    return answer.body.decode()


async def test_requests_of_a_batch_name_files_too(service: Service, simulator: Simulator) -> None:
    law = await kept(service, "lei.txt", LAW.encode())
    content = [{"type": "file", "file": {"file_id": law}}]
    async with client_of(service) as client:
        batch = await handed_in(client, jsonl(line("one", messages=[{"role": "user", "content": content}])))
        done = await ended(client, batch.id)
    assert done.request_counts is not None
    assert done.request_counts.completed == 1
    assert b"file_data" in simulator.requests[-1].body
