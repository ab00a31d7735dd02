"""The main job by the OpenAI SDK alone: files uploaded, a vector store made of them, a question asked and answered."""

from typing import Any

import openai
import pytest
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseTextDeltaEvent,
)

from ali.ops.simulator import Simulator
from tests.contract.judges import EXTRACTIVE, openai_client
from tests.fixtures.service import Serve
from tests.responses.conftest import behind
from tests.responses.searching import EVERY_UPSTREAM, QUESTION, answering, citations_of
from tests.responses.shelved import ACT, GUIDE
from tests.unit.extractive.pdf_bytes import make_pdf

WHERE: dict[str, str | float | bool] = {"author": "Congress"}


async def shelve(client: openai.AsyncOpenAI) -> str:
    """A vector store with an act of law as PDF and a guide as text; its identifier."""
    store = await client.vector_stores.create(name="Statutes")
    law = await client.files.create(
        file=("lei-1234.pdf", make_pdf([page.split("\n") for page in ACT])), purpose="assistants"
    )
    await client.vector_stores.files.create_and_poll(
        law.id, vector_store_id=store.id, attributes=WHERE, poll_interval_ms=50
    )
    guide = await client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("guide.txt", "\n".join(GUIDE).encode()), poll_interval_ms=50
    )
    assert guide.status == "completed"
    return store.id


async def answered(client: openai.AsyncOpenAI, **request: Any) -> Any:  # noqa: ANN401 - the SDK's own response
    """The response of a streamed request, once its deltas and annotations are seen to add up to it."""
    text, annotations, response = "", [], None
    stream: Any = await client.responses.create(stream=True, **request)
    async for event in stream:
        if isinstance(event, ResponseTextDeltaEvent):
            text += event.delta
        elif isinstance(event, ResponseOutputTextAnnotationAddedEvent):
            annotation: Any = event.annotation
            assert annotation.index <= len(text), "an annotation comes once its text is there"
            annotations.append(annotation.model_dump())
        elif isinstance(event, ResponseCompletedEvent):
            response = event.response
    assert response is not None
    assert response.output_text == text
    assert citations_of(response) == annotations
    return response


@EVERY_UPSTREAM
async def test_a_file_is_uploaded_searched_and_cited(serve: Serve, simulator: Simulator, model: str) -> None:
    simulator.default = answering("São trinta dias {a}, até dois períodos {b}.", a="anuais", b="podem ser acumuladas")
    async with serve(**behind(simulator)) as service, openai_client(service) as client:
        store = await shelve(client)
        response = await answered(
            client, model=model, input=QUESTION, tools=[{"type": "file_search", "vector_store_ids": [store]}]
        )
        assert response.output_text == "São trinta dias, até dois períodos."
        cited = citations_of(response)
        assert [(one["index"], one["filename"], one["citation"]["page"]) for one in cited] == [
            (len("São trinta dias"), "lei-1234.pdf", 1),
            (len("São trinta dias, até dois períodos"), "lei-1234.pdf", 1),
        ]
        assert [one["citation"]["article"] for one in cited] == ["Art. 7º", "Art. 7º, § 3º"]
        content = await client.vector_stores.files.content(cited[0]["file_id"], vector_store_id=store)
        assert any(cited[0]["citation"]["cited_text"] in str(part.text) for part in content.data)


async def test_without_any_provider_it_is_quoted(serve: Serve) -> None:
    async with serve() as service, openai_client(service) as client:
        store = await shelve(client)
        tool: Any = {"type": "file_search", "vector_store_ids": [store]}
        response = await answered(client, model=EXTRACTIVE, input=QUESTION, tools=[tool])
        [best, *_] = citations_of(response)
        assert (best["filename"], best["citation"]["page"], best["citation"]["article"]) == (
            *("lei-1234.pdf", 1),
            "Art. 7º",
        )
        tool["filters"] = {"type": "ne", "key": "author", "value": WHERE["author"]}
        response = await answered(client, model=EXTRACTIVE, input=QUESTION, tools=[tool])
        assert citations_of(response) == []
        assert response.output_text.startswith("Não encontrei")


@pytest.mark.parametrize("model", [EXTRACTIVE])
async def test_a_file_that_goes_is_not_found_any_more(serve: Serve, model: str) -> None:
    async with serve() as service, openai_client(service) as client:
        store = await shelve(client)
        tool: Any = {"type": "file_search", "vector_store_ids": [store]}
        first = await client.responses.create(model=model, input=QUESTION, tools=[tool])
        await client.vector_stores.files.delete(citations_of(first)[0]["file_id"], vector_store_id=store)
        again = await client.responses.create(model=model, input=QUESTION, tools=[tool])
        assert citations_of(again) == []
        await client.vector_stores.delete(store)
        with pytest.raises(openai.NotFoundError) as gone:
            await client.responses.create(model=model, input=QUESTION, tools=[tool])
    assert gone.value.code == "vector_store_not_found"
