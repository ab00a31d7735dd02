"""What is measured side by side: the same order of chunks, asked for in several ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bench.gateway.upstream import MODEL

CLAUDE: Final = "claude-sonnet-5-5"
NATIVE: Final = MODEL
COMPATIBLE: Final = "compatible/model"
CHAT_PATH: Final = "/v1/chat/completions"
RESPONSES_PATH: Final = "/v1/responses"
TERMINAL: Final = b"response.completed"
_NOTHING: Final[Mapping[str, object]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to ask. `fields`: of the request, but for what orders the chunks."""

    name: str
    fields: dict[str, Any]
    is_chat: bool = False

    @property
    def path(self) -> str:
        """Where it is asked."""
        return CHAT_PATH if self.is_chat else RESPONSES_PATH

    @property
    def terminal(self) -> bytes:
        """What the last event of a stream holds."""
        return b"[DONE]" if self.is_chat else TERMINAL

    def body(self, *, chunks: int, interval_ms: int = 0, more: Mapping[str, object] = _NOTHING) -> bytes:
        """The request for so many chunks, one each `interval_ms`, with `more` fields."""
        order = f"bench delay_ms=0 chunks={chunks} interval_ms={interval_ms}"
        asked = {"messages": [{"role": "user", "content": order}]} if self.is_chat else {"input": order}
        return orjson.dumps({"stream": True, **self.fields, **asked, **more})


PASS_THROUGH: Final = Way(name="chat, passed through", fields={"model": NATIVE}, is_chat=True)
ANTHROPIC_STORED: Final = Way(name="Anthropic, store: true", fields={"model": CLAUDE, "store": True})
ANTHROPIC_UNSTORED: Final = Way(name="Anthropic, store: false", fields={"model": CLAUDE, "store": False})
STREAMS: Final = (
    PASS_THROUGH,
    ANTHROPIC_STORED,
    ANTHROPIC_UNSTORED,
    Way(name="compatible chat, store: true", fields={"model": COMPATIBLE, "store": True}),
    Way(name="compatible chat, store: false", fields={"model": COMPATIBLE, "store": False}),
    Way(name="native, store: true", fields={"model": NATIVE, "store": True}),
    Way(name="native, store: false", fields={"model": NATIVE, "store": False}),
)
