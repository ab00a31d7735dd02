"""`file_search` for a model that only quotes: the service searches, and each quote says where it stands."""

from typing import Any

import httpx
import pytest
from openai.types.responses import Response

from ali.ops.simulator import Answer, Simulator
from tests.contract.judges import openai_client
from tests.contract.response_events import judged
from tests.fixtures.service import Serve, Service
from tests.responses.conftest import behind
from tests.responses.searching import (
    EXTRACTIVE,
    NATIVE,
    QUESTION,
    RESULTS,
    SEARCH,
    citations_of,
    searches_of,
)
from tests.responses.shelved import ACT, Shelf


async def test_a_model_that_only_quotes_is_searched_for(service: Service, simulator: Simulator, shelf: Shelf) -> None:
    asked = {"model": EXTRACTIVE, "input": QUESTION, "tools": [shelf.tool()], "stream": True, "include": RESULTS}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{service.openai_base_url}/responses", json=asked, headers=service.headers)
    events = judged(answer.content)
    response = Response.model_validate(events[-1]["response"])
    assert [item.type for item in response.output] == ["file_search_call", "message"]
    [search] = searches_of(response)
    assert search.queries == [QUESTION]
    assert search.results
    text = response.output_text
    assert text.startswith("Passagens encontradas nos arquivos:\n\n“")
    assert "(lei-1234.pdf, p. 1, Art. 7º)" in text
    found = citations_of(response)
    assert 1 <= len(found) <= 3
    for one in found:
        assert text[: one["index"]].endswith(")"), "a citation stands where its quote ends"
        assert shelf.is_verbatim(one["citation"], file_id=one["file_id"])
        assert f"“{' '.join(one['citation']['cited_text'].split())}”" in text
    assert found[0]["citation"]["article"] == "Art. 7º"
    assert found[0]["citation"]["page"] == 1
    assert "férias anuais de trinta dias" in found[0]["citation"]["cited_text"]
    assert not simulator.requests


@pytest.mark.parametrize("choice", ["required", {"type": "file_search"}, "auto", "none"])
async def test_it_abstains_in_the_questions_language(
    service: Service, simulator: Simulator, shelf: Shelf, choice: object
) -> None:
    chosen: Any = choice
    async with openai_client(service) as client:
        for question, said in (
            ("Qual a velocidade da luz no vácuo?", "Não encontrei, nos arquivos pesquisados, nada"),
            ("What is the speed of light in vacuum?", "I found nothing in the files that were searched"),
        ):
            made = await client.responses.create(
                model=EXTRACTIVE, input=question, tools=[shelf.tool()], tool_choice=chosen
            )
            assert made.output_text.startswith(said)
            assert citations_of(made) == []
            assert [item.type for item in made.output] == ["file_search_call", "message"]
        found = await client.responses.create(
            model=EXTRACTIVE, input="When are parking spaces assigned?", tools=[shelf.tool()], tool_choice=chosen
        )
        assert found.output_text.startswith("Passages found in the files:")
        assert "every Monday morning" in found.output_text
        assert next(one["filename"] for one in citations_of(found)) == "guide.pdf"


async def test_a_question_that_goes_on_from_another_is_searched_with_it(
    service: Service, simulator: Simulator, shelf: Shelf
) -> None:
    async with openai_client(service) as client:
        first = await client.responses.create(model=EXTRACTIVE, input=QUESTION, tools=[shelf.tool()])
        second = await client.responses.create(
            model=EXTRACTIVE,
            input="E qual é o adicional noturno?",
            previous_response_id=first.id,
            tools=[shelf.tool()],
        )
    [search] = searches_of(second)
    assert search.queries == ["E qual é o adicional noturno?", f"{QUESTION} E qual é o adicional noturno?"]
    assert "vinte e cinco por cento" in second.output_text
    assert citations_of(second)[0]["citation"]["article"] == "Art. 8º"


@pytest.mark.parametrize("after_a_search", [False, True])
async def test_a_model_that_quotes_stands_in_for_one_that_is_down(
    serve: Serve, simulator: Simulator, *, after_a_search: bool
) -> None:
    down = Answer(status=503, retry_after_s=0)
    simulator.default = down
    if after_a_search:
        simulator.script(Answer(tool_calls=(SEARCH,)))
    careful = {"careful": {"targets": [NATIVE, EXTRACTIVE]}}
    async with serve(**behind(simulator), aliases=careful) as service, openai_client(service) as client:
        shelf = Shelf(service.tenant).make()
        await shelf.put("lei.pdf", ACT)
        made = await client.responses.create(model="careful", input=QUESTION, tools=[shelf.tool()])
    assert [item.type for item in made.output] == ["file_search_call", "message"], "it is searched once"
    assert citations_of(made)[0]["citation"]["article"] == "Art. 7º"
    assert simulator.requests
