"""What a request can cost at most, before it is sent: what a hard budget holds for it.

Input. No tokenizer makes more tokens than its text has bytes in UTF-8, and JSON only makes them more; so the body's
length bounds its text and the wrapping that a model puts around messages. Not so of media, whose tokens follow from
pixels and pages: an image counts `IMAGE_TOKENS` and not its base64; a document inside the request counts its base64,
and at least `DOCUMENT_TOKENS`; a document that the provider fetches, and tools that the provider itself runs, may fill
the model's whole context. No bound is above the context window, beyond which providers refuse; but where texts are
embedded, the window is that of each, and a request has many.

Output. The caller's own maximum, times the number of answers; without one, the most that the model gives, or what the
service itself sets where the provider demands a bound.

Both at the dearest price of the dearest target. Costs 5 µs and 4 ns a byte of text (measured); a body with media or
tools is decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ali.features.chat.attempt import DEFAULT_MAX_TOKENS
from ali.features.chat.envelope import RequestEnvelope, refuse_repeated_keys
from ali.features.chat.operations import Operation
from ali.features.chat.routing import CONTEXT_TOKENS, Route, Target
from ali.kernel.errors import InvalidRequest
from ali.providers.contract import Dialect

IMAGE_TOKENS: Final = 20_000
"""More than any provider counts for one image at its finest (2026)."""
DOCUMENT_TOKENS: Final = 20_000
TOOL_TOKENS: Final = 1_000
"""What a provider's own instructions for tools add, at most."""

_KEYS: Final = (b'"max_tokens"', b'"max_completion_tokens"', b'"n"')
_RICH: Final = (
    b'"image',
    b'"file"',
    b'"document"',
    b'"container_upload"',
    b'"input_image"',
    b'"input_file"',
    b'"tools"',
    b'"mcp_servers"',
    b'"web_',
    b"\\u",
)
"""What stands in every body that holds more than text. `\\u`: letters may be escaped."""
_RUN_BY_PROVIDER: Final = ("web_", "code_execution", "mcp", "tool_search", "file_search", "image_generation")


class ModelUnpriced(InvalidRequest):
    """400: a hard budget is in force, and nobody has said what this model costs."""

    code = "model_without_price"


@dataclass(slots=True)
class _Input:
    tokens: int
    unbounded: bool = False
    """More than the body shows may come."""


def most_microusd(route: Route, envelope: RequestEnvelope) -> int:
    """An upper bound of the cost, in micro-dollars; 0 for what is free.

    Raises `ModelUnpriced`, and `InvalidRequest` for a body that says its maximum twice.
    """
    operation = envelope.operation
    if operation.counts_only:
        return 0
    if not all(target.priced for target in route.targets):
        raise ModelUnpriced(
            f"A budget is in force, and the model {envelope.model} has no price here, so its cost cannot be held to "
            "it. Use another model, or have the operator set its price in ALI_MODEL_PRICES.",
            param="model",
        )
    read = _input_of(envelope)
    most, answers = _output_of(envelope) if operation.needs == "chat" else (0, 0)
    return max(_at_target(target, read, most, answers, operation=operation) for target in route.targets)


def _at_target(target: Target, read: _Input, most: int | None, answers: int, *, operation: Operation) -> int:
    """`most`: the caller's word on one answer."""
    prices, card = target.prices, target.card
    context = (card.context_window if card is not None and operation.needs != "embeddings" else 0) or None
    if read.unbounded:
        tokens = context or max(CONTEXT_TOKENS, read.tokens)
    else:
        tokens = min(read.tokens, context) if context else read.tokens
    limit = target.max_output_tokens
    if most is not None:
        written = min(most, limit) if card is not None else most
    elif operation.dialect is not Dialect.ANTHROPIC and target.upstream.dialect is Dialect.ANTHROPIC:
        written = card.default_max_tokens if card is not None else DEFAULT_MAX_TOKENS
    else:
        written = limit
    nanousd = tokens * max(prices.input, prices.cached_input, prices.cache_write) + answers * written * prices.output
    return -(-nanousd // 1000)


def _output_of(envelope: RequestEnvelope) -> tuple[int | None, int]:
    """The most that the caller lets one answer have (None: nothing said), and how many answers they want."""
    if any(envelope.body.count(key) > 1 for key in _KEYS):
        refuse_repeated_keys(envelope.body)
    most, answers = envelope.stated_output()
    return most or None, answers


def _input_of(envelope: RequestEnvelope) -> _Input:
    body = envelope.body
    read = _Input(len(body))
    if not any(mark in body for mark in _RICH):
        return read
    document = envelope.document()
    tools = document.get("tools")
    if isinstance(tools, list) and tools:
        read.tokens += TOOL_TOKENS
        read.unbounded = any(_runs_at_provider(tool) for tool in tools)
    if document.get("mcp_servers") or document.get("web_search_options") is not None:
        read.unbounded = True
    for part in _parts(document.get("messages"), document.get("system"), document.get("input")):
        match part.get("type"):
            case "image_url" | "image" | "input_image":
                read.tokens += IMAGE_TOKENS - len(_media(part))
            case "file" | "document" | "input_file":
                _read_document(read, part)
            case "container_upload":
                read.unbounded = True
            case _:
                pass
    return read


def _runs_at_provider(tool: object) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and kind.startswith(_RUN_BY_PROVIDER)


def _read_document(read: _Input, part: dict[str, Any]) -> None:
    """Text counts as it stands, content blocks are parts of their own; what is only named, the provider fetches."""
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") in ("text", "content"):
        return
    data = _media(part)
    if data:
        read.tokens += max(DOCUMENT_TOKENS - len(data), 0)
    else:
        read.unbounded = True


def _media(part: dict[str, Any]) -> str:
    """The base64 or data URL inside a part; empty where there is none, but a name or address of something."""
    for name in ("image_url", "file", "source"):
        inner = part.get(name)
        fields = inner if isinstance(inner, dict) else {"url": inner}
        for key in ("data", "file_data", "url"):
            value = fields.get(key)
            if isinstance(value, str) and (key != "url" or value.startswith("data:")):
                return value
    data = part.get("file_data")
    return data if isinstance(data, str) else ""


def _parts(*roots: object) -> Iterator[dict[str, Any]]:
    """Every object in these, at any depth."""
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
