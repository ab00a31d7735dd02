"""LangChain's and LlamaIndex's ways of OpenAI's `file_search`, over vector stores of this service."""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI

from ali.ops.simulator import Simulator
from tests.fixtures.service import Service
from tests.fixtures.tools import requires_environment
from tests.responses.searching import EVERY_UPSTREAM, EXTRACTIVE, QUESTION, answering
from tests.responses.shelved import Shelf

SEARCH: Final = Path(__file__).resolve().parents[1] / "fixtures" / "llamaindex" / "search.py"
ANSWER: Final = "São trinta dias, que podem ser acumuladas."
CITED: Final = (len("São trinta dias"), "lei-1234.pdf")

pytestmark = [
    # It dumps the SDK's object, whose annotation has our `citation` besides.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trace goes to LangSmith."""
    for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")


def langchain(service: Service, shelf: Shelf, model: str) -> Any:  # noqa: ANN401 - LangChain's own runnable
    """LangChain's model, with the store as its tool."""
    chat = ChatOpenAI(
        model=model,
        base_url=service.openai_base_url,
        api_key=service.tenant.secret,  # type: ignore[arg-type] # Pydantic takes a string
        max_retries=0,
        use_responses_api=True,
        output_version="responses/v1",
        default_headers={"connection": "close"},
        include=["file_search_call.results"],
    )
    return chat.bind_tools([shelf.tool()])


def annotations_of(message: AIMessage) -> list[tuple[int, str]]:
    blocks: list[Any] = [block for block in message.content if isinstance(block, dict) and block["type"] == "text"]
    # LangChain keeps `index` for itself and says `file_index`.
    return [(one["file_index"], one["filename"]) for block in blocks for one in block["annotations"]]


@EVERY_UPSTREAM
@pytest.mark.parametrize("stream", [False, True])
async def test_langchain_is_answered_with_citations(
    service: Service, simulator: Simulator, shelf: Shelf, model: str, *, stream: bool
) -> None:
    simulator.default = answering("São trinta dias {a}, que podem ser acumuladas.", a="férias anuais")
    chat = langchain(service, shelf, model)
    answer: Any = None
    if stream:
        async for chunk in chat.astream([HumanMessage(QUESTION)]):
            answer = chunk if answer is None else answer + chunk
    else:
        answer = await chat.ainvoke([HumanMessage(QUESTION)])
    assert answer.text == ANSWER
    assert annotations_of(answer) == [CITED]
    [search] = [block for block in answer.content if block["type"] == "file_search_call"]
    assert search["results"][0]["filename"] == "lei-1234.pdf"


async def test_langchain_is_quoted_to_without_a_provider(service: Service, shelf: Shelf) -> None:
    answer = await langchain(service, shelf, EXTRACTIVE).ainvoke([HumanMessage(QUESTION)])
    assert "férias anuais de trinta dias" in answer.text
    assert {name for _, name in annotations_of(answer)} == {"lei-1234.pdf"}


@EVERY_UPSTREAM
async def test_llamaindex_is_answered_with_citations(
    service: Service, simulator: Simulator, shelf: Shelf, model: str
) -> None:
    python = requires_environment("llamaindex")
    simulator.default = answering("São trinta dias {a}, que podem ser acumuladas.", a="férias anuais")
    running = await asyncio.create_subprocess_exec(
        *(python, str(SEARCH), service.openai_base_url, model, shelf.name, QUESTION),
        env={**os.environ, "OPENAI_API_KEY": service.tenant.secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await running.communicate()
    assert running.returncode == 0, complained.decode()
    found: dict[str, Any] = orjson.loads(said.splitlines()[-1])
    for way in ("whole", "streamed"):
        assert found[way]["text"] == ANSWER, way
        assert [(one["index"], one["filename"]) for one in found[way]["annotations"]] == [CITED], way
    assert found["whole"]["searches"] == ["completed"]  # of a stream LlamaIndex keeps no searches
