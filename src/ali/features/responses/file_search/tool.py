"""The `file_search` tool of a request: which vector stores, how many passages, of which files.

Source: OpenAI's API reference, "Create a model response", `tools`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ali.features.conversations.refusals import missing, too_many, wrong_type, wrong_value
from ali.features.knowledge.filters import Filter, read_filter
from ali.features.knowledge.naming import VECTOR_STORE, read_store
from ali.features.knowledge.retrieval import Weights
from ali.features.responses.fields import Check, number, one_of, structure, whole
from ali.kernel.errors import InvalidRequest
from ali.providers.turns.tool_names import FILE_SEARCH

Json = dict[str, Any]

MOST_STORES: Final = 16
USUAL_RESULTS: Final = 20
MOST_RESULTS: Final = 50
RANKERS: Final = ("auto", "none", "default-2024-11-15", "default-2024-08-21")
_WEIGHTS: Final = ("embedding_weight", "text_weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How passages are ranked. `reranks`: by a model, where one is configured. `weights`: where the caller says any."""

    reranks: bool = True
    score_threshold: float = 0.0
    weights: Weights | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSearchTool:
    """The tool, checked. `at`: its place among the request's tools."""

    at: int
    stores: tuple[UUID, ...]
    limit: int
    filters: Filter | None
    ranking: Ranking

    @property
    def param(self) -> str:
        """Where its stores stand in the request."""
        return f"tools[{self.at}].vector_store_ids"


def read_file_search(tool: Json, at: int) -> FileSearchTool:
    """Check the tool. Raises `InvalidRequest`. Whether its stores are there is not known yet."""
    where = f"tools[{at}]"
    given = tool.get("max_num_results")
    if given is not None:
        whole(0, MOST_RESULTS)(given, f"{where}.max_num_results")
    return FileSearchTool(
        at=at,
        stores=_stores(tool.get("vector_store_ids"), f"{where}.vector_store_ids"),
        limit=given or USUAL_RESULTS,  # the Agents SDK sends 0 for the usual number
        filters=read_filter(tool.get("filters"), param=f"{where}.filters"),
        ranking=_ranking(tool.get("ranking_options"), f"{where}.ranking_options"),
    )


def _stores(raw: object, param: str) -> tuple[UUID, ...]:
    if raw is None:
        raise missing(param)
    if not isinstance(raw, list):
        raise wrong_type(param, raw, expected="an array of strings")
    if not raw:
        raise wrong_value(param, expected="Name at least one vector store.")
    if len(raw) > MOST_STORES:
        raise too_many(param, most=MOST_STORES, count=len(raw))
    stores: list[UUID] = []
    for place, name in enumerate(raw):
        if not isinstance(name, str):
            raise wrong_type(f"{param}[{place}]", name, expected="a string")
        store = read_store(name)
        if store is None:
            raise wrong_value(
                f"{param}[{place}]", expected=f"Give a vector store's id, which begins with {VECTOR_STORE!r}."
            )
        if store not in stores:
            stores.append(store)
    return tuple(stores)


def _ranking(raw: object, param: str) -> Ranking:
    if raw is None:
        return Ranking()
    weights: dict[str, Check] = dict.fromkeys(_WEIGHTS, number(0, 1e6))
    members: dict[str, Callable[[Any, str], None]] = {
        "ranker": one_of(*RANKERS),
        "score_threshold": number(0, 1),
        "hybrid_search": structure(weights),
    }
    structure(members)(raw, param)
    assert isinstance(raw, dict)  # noqa: S101 - checked just above
    return Ranking(
        reranks=raw.get("ranker") != "none",
        score_threshold=float(raw.get("score_threshold") or 0.0),
        weights=_weights(raw.get("hybrid_search"), f"{param}.hybrid_search"),
    )


def _weights(raw: Json | None, param: str) -> Weights | None:
    if raw is None:
        return None
    for name in _WEIGHTS:
        if raw.get(name) is None:
            raise missing(f"{param}.{name}")
    meaning, words = (float(raw[name]) for name in _WEIGHTS)
    if meaning + words <= 0:
        raise wrong_value(param, expected="One of the weights must be more than 0.")
    return Weights(embedding=meaning, text=words)


def echoed(tool: Json) -> Json:
    """The tool as the response object says it: with the members that OpenAI always prints."""
    ranking = tool.get("ranking_options") or {}
    return {
        **tool,
        "filters": tool.get("filters"),
        "max_num_results": tool.get("max_num_results") or USUAL_RESULTS,
        "ranking_options": {"ranker": "auto", "score_threshold": 0.0, **ranking},
    }


def refuse_second(first: FileSearchTool | None, at: int) -> None:
    """Raises `InvalidRequest` where there is one already: the model could not tell them apart."""
    if first is not None:
        raise InvalidRequest(
            f"'tools[{at}]' is a second file_search tool. Name all vector stores in one.",
            param=f"tools[{at}]",
            code="duplicate_tool",
        )


def refuse_own_function(name: str, at: int) -> None:
    """Raises `InvalidRequest` for a tool of the caller's that a model would take for this one."""
    if name == FILE_SEARCH:
        raise InvalidRequest(
            f"A model knows the file_search tool as a function of that name. Rename 'tools[{at}].name'.",
            param=f"tools[{at}].name",
            code="duplicate_tool_name",
        )


def function() -> Json:
    """The tool as a model is shown it."""
    return {
        "type": "function",
        "name": FILE_SEARCH,
        "description": (
            "Search the user's files for passages. Use it whenever the answer could stand in these files, before "
            "answering from memory. Each query is a full question or phrase in the language of the files; ask for "
            "several things in several queries. The result is passages, each with a mark to cite it by."
        ),
        "parameters": {
            "type": "object",
            "properties": {
                "queries": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What to look for: one to five queries.",
                }
            },
            "required": ["queries"],
            "additionalProperties": False,
        },
        "strict": False,
    }
