"""OpenAI's Agents SDK has files searched by its own FileSearchTool; this service does it, for any provider's model."""

from typing import Any

import pytest
from agents import FileSearchTool, Runner

from ali.ops.simulator import Simulator
from tests.contract.agents_at_work import EVERY_MODEL, UNTRACED, agent
from tests.contract.judges import EXTRACTIVE, openai_client
from tests.fixtures.service import Serve, providers
from tests.responses.searching import QUESTION, answering
from tests.responses.shelved import ACT, Shelf


def annotations_of(result: Any) -> list[Any]:  # noqa: ANN401 - a run of the SDK's
    """The citations in a run's messages."""
    items = [item for response in result.raw_responses for item in response.output]
    return [one for item in items if item.type == "message" for part in item.content for one in part.annotations]


@EVERY_MODEL
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_agent_searches_files_and_cites_them(
    serve: Serve, simulator: Simulator, model: str, *, streamed: bool
) -> None:
    simulator.default = answering("Trinta dias {a}.", a="férias anuais")
    async with serve(**providers(simulator)) as service, openai_client(service) as client:
        shelf = Shelf(service.tenant).make()
        await shelf.put("lei.pdf", ACT)
        tool = FileSearchTool(vector_store_ids=[shelf.name], max_num_results=3, include_search_results=True)
        helper = agent(client, model, tools=[tool])
        if streamed:
            run = Runner.run_streamed(helper, QUESTION, run_config=UNTRACED)
            kinds = [event.data.type async for event in run.stream_events() if event.type == "raw_response_event"]
            assert {"response.file_search_call.searching", "response.output_text.annotation.added"} <= set(kinds)
            result: Any = run
        else:
            result = await Runner.run(helper, QUESTION, run_config=UNTRACED)
        assert result.final_output == "Trinta dias."
        [search, _] = [item for response in result.raw_responses for item in response.output]
        assert search.type == "file_search_call"
        assert 0 < len(search.results) <= 3
        [cited] = annotations_of(result)
        assert (cited.type, cited.filename, cited.index) == ("file_citation", "lei.pdf", len("Trinta dias"))
        # What the run holds is what the next one begins with: searches, results and citations go back as they came.
        simulator.default = answering("Dois períodos {a}.", a="As férias podem")
        said = [*result.to_input_list(), {"role": "user", "content": "Podem acumular?"}]
        again = await Runner.run(helper, said, run_config=UNTRACED)
    assert again.final_output == "Dois períodos."
    [cited] = annotations_of(again)
    assert cited.citation["article"] == "Art. 7º, § 3º"


async def test_an_agent_without_a_provider_quotes(serve: Serve, simulator: Simulator) -> None:
    async with serve() as service, openai_client(service) as client:
        shelf = Shelf(service.tenant).make()
        await shelf.put("lei.pdf", ACT)
        helper = agent(client, EXTRACTIVE, tools=[FileSearchTool(vector_store_ids=[shelf.name])])
        result = await Runner.run(helper, QUESTION, run_config=UNTRACED)
    assert "férias anuais de trinta dias" in result.final_output
    assert annotations_of(result)[0].filename == "lei.pdf"
    assert not simulator.requests
