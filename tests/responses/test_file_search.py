"""`file_search` from every upstream: the model's searches, what it is shown, and what its citations point at."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from mcp.server.mcpserver import MCPServer
from openai.types.responses import Response, ResponseCompletedEvent, ResponseFileSearchToolCall

from ali.ops.simulator import Answer, Simulator, ToolCall
from ali.providers.turns.tool_names import mcp_function_name
from tests.contract.judges import CLAUDE, openai_client
from tests.contract.response_events import judged
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.responses.searching import (
    EVERY_UPSTREAM,
    EXTRACTIVE,
    LOCAL,
    NATIVE,
    QUESTION,
    RESULTS,
    SEARCH,
    answering,
    citations_of,
    searches_of,
    told_to_model,
)
from tests.responses.shelved import ACT, Shelf
from tests.responses.sockets import socket
from tests.unit.mcp.servers import served


@EVERY_UPSTREAM
async def test_the_model_searches_and_cites_page_and_article(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    simulator.default = answering(
        "São trinta dias {a}, que podem ser acumuladas {b}{c} 【c99】.",
        a="férias anuais",
        b="As férias podem",
        c="adicional noturno",
    )
    asked = {"model": model, "input": QUESTION, "tools": [shelf.tool()], "stream": True}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{service.openai_base_url}/responses", json=asked, headers=service.headers)
    events = judged(answer.content)
    kinds = [event["type"] for event in events]
    assert [kind for kind in kinds if "file_search" in kind] == [
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
    ]
    response = Response.model_validate(events[-1]["response"])
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    [search] = searches_of(response)
    assert (search.status, search.queries, search.results) == ("completed", ["férias do servidor"], None)
    assert response.output_text == "São trinta dias, que podem ser acumuladas."
    found = citations_of(response)
    assert [(one["index"], one["filename"]) for one in found] == [
        (len("São trinta dias"), "lei-1234.pdf"),
        (len("São trinta dias, que podem ser acumuladas"), "lei-1234.pdf"),
        (len("São trinta dias, que podem ser acumuladas"), "lei-1234.pdf"),
    ]
    cited = [one["citation"] for one in found]
    assert [(one["page"], one["article"]) for one in cited] == [(1, "Art. 7º"), (1, "Art. 7º, § 3º"), (2, "Art. 8º")]
    assert cited[1]["cited_text"] == "§ 3º As férias podem ser acumuladas até o máximo de dois períodos."
    assert all(shelf.is_verbatim(one["citation"], file_id=one["file_id"]) for one in found)
    assert kinds.count("response.output_text.annotation.added") == 3
    assert service.app.api.state.gateway.metrics.citations.labels("dropped")._value.get() == 1


@EVERY_UPSTREAM
async def test_our_stores_are_never_named_to_a_provider(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with openai_client(service) as client:
        first = await client.responses.create(model=model, input=QUESTION, tools=[shelf.tool()], include=RESULTS)
        await client.responses.create(
            model=model, input="E o adicional?", previous_response_id=first.id, tools=[shelf.tool()]
        )
    assert len(simulator.requests) >= 3
    for request in simulator.requests:
        assert b"vs_" not in request.body, request.body[request.body.index(b"vs_") - 60 :][:150]
        assert b"file_search_call" not in request.body
        assert b"file-" not in request.body


@EVERY_UPSTREAM
async def test_what_was_found_is_shown_where_it_is_asked_for(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with openai_client(service) as client:
        shown = await client.responses.create(model=model, input=QUESTION, tools=[shelf.tool()], include=RESULTS)
        [search] = searches_of(shown)
        assert search.results
        best = search.results[0]
        assert (best.filename, best.attributes) == ("lei-1234.pdf", {"area": "rh"})
        assert best.file_id in shelf.pages
        assert best.text is not None
        assert "férias anuais" in best.text
        assert best.score is not None
        assert 0 < best.score <= 1
        [kept] = searches_of(await client.responses.retrieve(shown.id))
        assert kept.results is None
        [kept] = searches_of(await client.responses.retrieve(shown.id, include=RESULTS))
        assert kept.results == search.results


@EVERY_UPSTREAM
async def test_an_earlier_search_is_shown_again_and_can_be_cited(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    async with openai_client(service) as client:
        simulator.default = answering("Trinta dias {a}.", a="férias anuais")
        first = await client.responses.create(model=model, input=QUESTION, tools=[shelf.tool()])
        simulator.default = answering("Vinte e cinco por cento {a}.", a="adicional noturno")
        second = await client.responses.create(
            model=model, input="E o adicional noturno?", previous_response_id=first.id, tools=[shelf.tool()]
        )
        told = told_to_model(simulator.last)
        assert "Trinta dias." in told, "an old answer is shown without its marks"
        assert [item.type for item in second.output] == ["message"]
        [cited] = citations_of(second)
        assert cited["citation"]["article"] == "Art. 8º"
        assert shelf.is_verbatim(cited["citation"], file_id=cited["file_id"])
        simulator.default = Answer(text="Sem marcas 【c1】.")
        third = await client.responses.create(model=model, input="E agora?", previous_response_id=second.id)
        assert third.output_text == "Sem marcas 【c1】.", "without the tool nothing is taken out"
        told = told_to_model(simulator.last)
        assert "férias anuais" in told
        assert "【c" not in told


@EVERY_UPSTREAM
async def test_several_searches_run_side_by_side_with_functions_of_the_caller(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    weather: Any = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
    park = ToolCall(name="file_search", id="call_2", arguments={"queries": ["parking space", "gate"]})
    own = ToolCall(name="weather", id="call_3", arguments={})
    simulator.script(Answer(tool_calls=(SEARCH, park, own)))
    async with openai_client(service) as client:
        asked = await client.responses.create(
            model=model, input="All of it", tools=[shelf.tool(), weather], include=RESULTS
        )
        assert sorted(item.type for item in asked.output) == ["file_search_call", "file_search_call", "function_call"]
        assert [len(search.queries) for search in searches_of(asked)] == [1, 2]
        assert all(search.results for search in searches_of(asked))
        simulator.script(Answer(text="Done 【c1】."))
        done = await client.responses.create(
            model=model,
            previous_response_id=asked.id,
            input=[{"type": "function_call_output", "call_id": "call_3", "output": "Sunny"}],
            tools=[shelf.tool(), weather],
        )
    assert done.output_text == "Done."
    assert len(citations_of(done)) == 1
    told = told_to_model(simulator.last)
    assert "férias anuais" in told
    assert "gate closes" in told


async def test_a_filter_and_a_number_of_results_hold(service: Service, simulator: Simulator, shelf: Shelf) -> None:
    simulator.default = answering("Ok.")
    house: Any = {"type": "eq", "key": "area", "value": "house"}
    async with openai_client(service) as client:
        made = await client.responses.create(
            model=LOCAL,
            input=QUESTION,
            tools=[shelf.tool(filters=house, max_num_results=1, ranking_options={"score_threshold": 0.0})],
            include=RESULTS,
        )
    [search] = searches_of(made)
    assert {result.filename for result in search.results or ()} <= {"guide.pdf"}
    [tool] = [tool.model_dump() for tool in made.tools]
    assert tool["filters"] == house
    assert tool["max_num_results"] == 1


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "file_search"},
        "required",
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]},
    ],
)
@EVERY_UPSTREAM
async def test_a_search_can_be_demanded_of_the_first_turn(
    service: Service, simulator: Simulator, shelf: Shelf, model: str, choice: object
) -> None:
    chosen: Any = choice
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION, tools=[shelf.tool()], tool_choice=chosen)
    assert [item.type for item in made.output] == ["file_search_call", "message"]
    first, second = (request.json.get("tool_choice") for request in simulator.requests)
    assert first not in (None, "auto", {"type": "auto"})
    assert second in (None, "auto", {"type": "auto"}) or "auto" in str(second)


@EVERY_UPSTREAM
async def test_in_the_background_it_is_the_same(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=QUESTION, tools=[shelf.tool()], background=True)
        while made.status in ("queued", "in_progress"):
            await asyncio.sleep(0.05)
            made = await client.responses.retrieve(made.id)
        events = [event async for event in await client.responses.retrieve(made.id, stream=True)]
    assert made.output_text == "Trinta."
    [cited] = citations_of(made)
    assert cited["index"] == len("Trinta")
    last = events[-1]
    assert isinstance(last, ResponseCompletedEvent)
    assert citations_of(last.response) == [cited]


async def test_a_conversation_keeps_the_search_and_its_results(
    service: Service, simulator: Simulator, shelf: Shelf
) -> None:
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with openai_client(service) as client:
        conversation = await client.conversations.create()
        await client.responses.create(model=LOCAL, input=QUESTION, tools=[shelf.tool()], conversation=conversation.id)
        items = await client.conversations.items.list(conversation.id, order="asc")
        assert [item.type for item in items.data] == ["message", "file_search_call", "message"]
        search = items.data[1]
        assert isinstance(search, ResponseFileSearchToolCall)
        assert search.results is None
        items = await client.conversations.items.list(conversation.id, order="asc", include=RESULTS)
        search = items.data[1]
        assert isinstance(search, ResponseFileSearchToolCall)
        assert search.results


async def test_items_that_a_caller_keeps_can_be_sent_again(
    service: Service, simulator: Simulator, shelf: Shelf
) -> None:
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with openai_client(service) as client:
        for shows in (True, False):
            include: Any = RESULTS if shows else []
            made = await client.responses.create(
                model=LOCAL, input=QUESTION, tools=[shelf.tool()], include=include, store=False
            )
            said: Any = [
                {"role": "user", "content": QUESTION},
                *[item.model_dump(exclude_unset=True) for item in made.output],
                {"role": "user", "content": "E mais?"},
            ]
            simulator.default = Answer(text="Nada mais 【c1】.")
            again = await client.responses.create(
                model=LOCAL, input=said, tools=[shelf.tool()], store=False, include=include
            )
            assert again.output_text == "Nada mais."
            assert len(citations_of(again)) == (1 if shows else 0), "what is not known cannot be cited"
            simulator.default = answering("Trinta {a}.", a="férias anuais")


@EVERY_UPSTREAM
async def test_the_simulated_model_can_be_told_to_search_and_to_cite(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    asked = 'Férias? [[tool:file_search {"queries":["férias"]}]] [[then:Trinta 【c1】, diz a lei 【c77】.]]'
    async with openai_client(service) as client:
        made = await client.responses.create(model=model, input=asked, tools=[shelf.tool()])
    assert made.output_text == "Trinta, diz a lei."
    assert [(one["index"], one["filename"]) for one in citations_of(made)] == [(6, "lei-1234.pdf")]


@pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE, EXTRACTIVE])
async def test_over_a_socket_it_is_the_same_and_goes_on_without_being_stored(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    simulator.default = answering("Trinta {a}.", a="férias anuais")
    async with socket(service) as heard:
        first = await heard.answer(model=model, input=QUESTION, tools=[shelf.tool()], store=False)
        assert [event.type for event in heard.events if "file_search" in event.type] == [
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
        ]
        [search] = searches_of(first.response)
        assert search.results is None
        assert citations_of(first.response)[0]["citation"]["article"] == "Art. 7º"
        simulator.default = answering("Acumulam {a}.", a="As férias podem")
        second = await heard.answer(
            model=model,
            input="Podem ser acumuladas as férias?",
            tools=[shelf.tool()],
            store=False,
            previous_response_id=first.response.id,
        )
        articles = [one["citation"]["article"] for one in citations_of(second.response)]
        assert "Art. 7º, § 3º" in articles
        if model != EXTRACTIVE:
            assert searches_of(second.response) == [], "what was found before is remembered with its passages"


@EVERY_UPSTREAM
async def test_searches_and_tools_of_mcp_servers_run_side_by_side(
    serve: Serve, simulator: Simulator, model: str
) -> None:
    server: MCPServer[Any] = MCPServer("dice")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    sum_of = ToolCall(name=mcp_function_name("dice", "add"), id="call_2", arguments={"a": 20, "b": 22})
    simulator.script(Answer(tool_calls=(SEARCH, sum_of, replace(SEARCH, id="call_4"))), Answer(text="42 days 【c1】."))
    async with served(server) as (dice, _):
        allowed = {"mcp_servers": [{"url": dice.url}], "outbound_allowed_hosts": [dice.host]}
        async with serve(**behind(simulator), **allowed) as service, openai_client(service) as client:
            shelf = Shelf(service.tenant).make()
            await shelf.put("lei.pdf", ACT)
            remote: Any = {
                "type": "mcp",
                "server_label": "dice",
                "server_url": dice.url,
                "require_approval": "never",
            }
            made = await client.responses.create(
                model=model, input=QUESTION, tools=[shelf.tool(), remote], max_tool_calls=2
            )
    assert [(item.type, getattr(item, "status", None)) for item in made.output] == [
        ("mcp_list_tools", None),
        ("file_search_call", "completed"),
        ("mcp_call", "completed"),
        ("file_search_call", "failed"),
        ("message", "completed"),
    ]
    assert made.output_text == "42 days."
    assert len(citations_of(made)) == 1
    assert "42" in told_to_model(simulator.last)
