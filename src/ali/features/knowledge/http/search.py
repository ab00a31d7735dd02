"""`POST /v1/vector_stores/{id}/search`. Source: OpenAI's API reference, "Vector stores"."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints, WithJsonSchema

from ali.features.files.naming import file_name
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json
from ali.features.identity.http.authority import Id
from ali.features.identity.http.inputs import Body
from ali.features.knowledge.chunk import Found
from ali.features.knowledge.filters import read_filter
from ali.features.knowledge.http.inputs import Paying, Reading
from ali.features.knowledge.naming import read_store
from ali.features.knowledge.retrieval import Weights
from ali.features.knowledge.state import Knowledge
from ali.features.knowledge.stores import lifecycle
from ali.kernel.errors import InvalidRequest

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/search", tags=["vector stores"])

Query = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
_FILTERS = WithJsonSchema(
    {"type": ["object", "null"], "description": "OpenAI's ComparisonFilter or CompoundFilter, over attributes."}
)


class HybridSearch(Body):
    """What meaning and words weigh against each other."""

    embedding_weight: Weight
    text_weight: Weight


class RankingOptions(Body):
    """How what is found is put in order, and what is left out."""

    ranker: Literal["none", "auto", "default-2024-11-15", "default-2024-08-21"] = "auto"
    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    hybrid_search: HybridSearch | None = None


class Search(Body):
    """What is looked for."""

    query: Query | Annotated[list[Query], Field(min_length=1, max_length=16)]
    rewrite_query: bool = False
    max_num_results: Annotated[int, Field(ge=1, le=50, strict=True)] = 10
    filters: Annotated[object, _FILTERS] = None
    ranking_options: RankingOptions | None = None


@router.post("", summary="Search a vector store")
async def search_vector_store(
    *, vector_store_id: Id, request: Request, home: Reading, account: Paying, transaction: Transaction, body: Search
) -> Json:
    """The chunks that answer best, the best first, of files whose attributes the filters admit.

    Of several queries each finds its own. `rewrite_query` leaves out of a question what people say around it.
    """
    filters = read_filter(body.filters)
    store = await lifecycle.usable(transaction, read_store(vector_store_id), home=home)
    await transaction.commit()  # nothing is held while the index is searched, in a transaction of its own
    queries = [body.query] if isinstance(body.query, str) else body.query
    knowledge: Knowledge = request.app.state.knowledge
    if body.rewrite_query:
        queries = await knowledge.rewriter.rewrite(queries, account=account)
    await knowledge.activity.note(home.project_id, [store.id])
    options = body.ranking_options or RankingOptions()
    found = await knowledge.searcher.search(
        organization_id=home.organization_id,
        project_id=home.project_id,
        vector_store_ids=[store.id],
        queries=queries,
        filters=filters,
        limit=body.max_num_results,
        score_threshold=options.score_threshold,
        weights=_weights(options.hybrid_search),
        rerank=options.ranker != "none",
        account=account,
    )
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [_shown(each) for each in found],
        "has_more": False,
        "next_page": None,
    }


def _weights(given: HybridSearch | None) -> Weights | None:
    if given is None:
        return None
    if not given.embedding_weight + given.text_weight:
        raise InvalidRequest(
            "One of `embedding_weight` and `text_weight` must be above 0.", param="ranking_options.hybrid_search"
        )
    return Weights(embedding=given.embedding_weight, text=given.text_weight)


def _shown(found: Found) -> Json:
    """`passage` is no field of OpenAI's: where in the file it stands, and why it was found. Pages count from 1."""
    page = next((span.page for span in found.chunk.spans if span.page is not None), None)
    return {
        "file_id": file_name(found.file_id),
        "filename": found.filename,
        "score": found.score,
        "attributes": found.attributes,
        "content": [{"type": "text", "text": found.chunk.text}],
        "passage": {
            "position": found.position,
            "page": None if page is None else page + 1,
            "headings": found.chunk.headings,
            "law": found.chunk.law,
            "scores": found.scores,
        },
    }
