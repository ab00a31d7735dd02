"""A request for a response: read whole and checked before anything is done for it."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from ali.features.chat.envelope import MODEL_NAME, ModelUnknown
from ali.features.conversations import read_items, read_metadata
from ali.features.conversations.errors import conversation_not_found
from ali.features.conversations.refusals import wrong_type
from ali.features.identity.naming import Kind, read
from ali.features.responses.choice import check_choice
from ali.features.responses.errors import PreviousResponseNotFound
from ali.features.responses.fields import check_fields
from ali.features.responses.tools import Tools, read_tools
from ali.kernel.errors import InvalidRequest

Json = dict[str, Any]

_MOST_DEPTH: Final = 200
_STATE: Final = frozenset(
    (
        *("background", "background_options", "context_management", "conversation", "input", "metadata"),
        *("previous_response_id", "store", "stream", "tools", "truncation"),
    )
)
"""What this service sees to itself; the rest goes to the model."""


@dataclass(slots=True, kw_only=True)
class ResponseRequest:
    """What is asked for. `document` is the body as it came, which the response object echoes."""

    document: Json
    model: str
    items: list[Json]
    """This request's own input."""
    tools: Tools
    stream: bool
    background: bool
    store: bool
    previous_id: UUID | None
    conversation_id: UUID | None
    metadata: dict[str, str]
    include: frozenset[str]
    truncates: bool
    compacts: bool
    """Whether what was said before is compacted once it is long."""
    compact_threshold: int | None
    """How long, in tokens, where the caller says it."""
    max_tool_calls: int | None

    @property
    def only_compacts(self) -> bool:
        """Whether a compaction is all that is wanted, and no answer."""
        return bool(self.items) and self.items[-1]["type"] == "compaction_trigger"

    @property
    def keeps(self) -> bool:
        """Whether the response has a row."""
        return self.store

    def for_model(self) -> Json:
        """The parameters that reach the model, without input and tools."""
        return {name: value for name, value in self.document.items() if name not in _STATE and value is not None}


def read_request(body: bytes, *, needs_input: bool = True) -> ResponseRequest:
    """Read and check a body. Raises `InvalidRequest` with the offending `param`."""
    document = read_document(body)
    model = document.get("model")
    if model is None:
        raise InvalidRequest(
            "Missing required parameter: 'model'. GET /v1/models lists the models served here.",
            param="model",
            code="missing_required_parameter",
        )
    if not isinstance(model, str):
        raise wrong_type("model", model, expected="a string")
    if not MODEL_NAME.fullmatch(model):
        raise ModelUnknown(
            "The model's name is empty, too long, or holds characters that no model's name has. "
            "GET /v1/models lists the models served here.",
            param="model",
        )
    check_fields(document)
    background, store = document.get("background") is True, document.get("store") is not False
    if background and not store:
        raise InvalidRequest(
            "A response in the background is kept to be fetched, so it needs store: true. Leave store out.",
            param="store",
            code="invalid_value",
        )
    previous_id, conversation_id = _previous(document), _conversation(document)
    if previous_id and conversation_id:
        raise InvalidRequest(
            "Send previous_response_id or conversation, not both: each says what was said before.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )
    raw = document.get("input")
    if raw in (None, []) and needs_input and not (previous_id or conversation_id or document.get("prompt")):
        raise InvalidRequest(
            "Missing required parameter: 'input'. Send a text, or a list of items.",
            param="input",
            code="missing_required_parameter",
        )
    items = [] if raw is None else read_items(raw)
    _check_trigger(items)
    tools = read_tools(document.get("tools"))
    check_choice(document.get("tool_choice"), document.get("tools") or ())
    return ResponseRequest(
        document=document,
        model=model,
        items=items,
        tools=tools,
        stream=document.get("stream") is True,
        background=background,
        store=store,
        previous_id=previous_id,
        conversation_id=conversation_id,
        metadata=read_metadata(document.get("metadata")),
        include=frozenset(document.get("include") or ()),
        truncates=document.get("truncation") == "auto",
        compacts=bool(document.get("context_management")),
        compact_threshold=_threshold(document.get("context_management")),
        max_tool_calls=document.get("max_tool_calls"),
    )


def _threshold(management: object) -> int | None:
    """The lowest `compact_threshold` of a checked `context_management`."""
    named = [entry.get("compact_threshold") for entry in management] if isinstance(management, list) else []
    return min((most for most in named if most is not None), default=None)


def _check_trigger(items: list[Json]) -> None:
    for at, item in enumerate(items[:-1]):
        if item["type"] == "compaction_trigger":
            raise InvalidRequest(
                f"'input[{at}]' is a compaction_trigger, which must be the last item. Send what follows it in a "
                "request of its own.",
                param=f"input[{at}]",
                code="invalid_value",
            )


def read_document(body: bytes) -> Json:
    """A body as a JSON object. Raises `InvalidRequest`."""
    if not body.strip(b" \t\r\n"):
        raise InvalidRequest("The request has no body. Send a JSON object with content-type application/json.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON ({str(error)[:200]}). Send a JSON object in UTF-8."
        ) from error
    if not isinstance(document, dict):
        raise InvalidRequest("The body must be a JSON object.")
    _check_depth(document)
    return document


def _check_depth(document: Json) -> None:
    """That what the response object echoes can be written again, which JSON cannot be as deep as it can be read.

    Items are checked by `read_items`, more strictly.
    """
    level: list[object] = [value for name, value in document.items() if name != "input"]
    for _ in range(_MOST_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise InvalidRequest(f"The request is nested too deeply. Nest at most {_MOST_DEPTH} levels.", code="json_too_deep")


def _previous(document: Json) -> UUID | None:
    value = document.get("previous_response_id")
    if value is None:
        return None
    found = read(Kind.RESPONSE, value) if isinstance(value, str) else None
    if found is None:
        raise previous_not_found()
    return found


def previous_not_found() -> PreviousResponseNotFound:
    """There is no such response, or it is another's."""
    return PreviousResponseNotFound(
        "Previous response not found in this project. Send the id of a stored response, or leave previous_response_id "
        "out and send the whole input.",
        param="previous_response_id",
    )


def _conversation(document: Json) -> UUID | None:
    value = document.get("conversation")
    if value is None:
        return None
    name = value.get("id") if isinstance(value, dict) else value
    if not isinstance(name, str):
        raise InvalidRequest(
            "Invalid type for 'conversation': expected a conversation's id, or an object with it.",
            param="conversation",
            code="invalid_type",
        )
    found = read(Kind.CONVERSATION, name)
    if found is None:
        raise conversation_not_found("conversation")
    return found
