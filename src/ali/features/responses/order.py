"""A response that may run: who asked for what, what was said before, and what it may cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ali.features.chat.admission import Claimed
from ali.features.chat.gateway import Gateway
from ali.features.chat.routing import Route
from ali.features.metering import OpenRecord
from ali.features.responses.attachments import Files
from ali.features.responses.file_search.stores import VectorStores
from ali.features.responses.mcp import McpAllowList, McpServer, McpSessions
from ali.features.responses.request import ResponseRequest
from ali.features.responses.sealing import Seals
from ali.features.responses.state import Place, ResponseState
from ali.features.responses.weighing import MOST_BYTES_A_TOKEN

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What responses need of the process, built in the lifespan."""

    gateway: Gateway
    state: ResponseState
    files: Files
    vector_stores: VectorStores
    seals: Seals
    allow_list: McpAllowList
    mcp_sessions: Callable[[], McpSessions]
    """Makes the sessions of one response with its MCP servers."""
    max_turns: int
    """Turns of the model in one response, at most."""
    max_searches: int
    """Searches of files in one response, at most."""
    max_run_s: float
    """After this time no further turn begins."""
    max_history_bytes: int
    """No more of what was said before is read, whatever would fit the model."""

    def most_history(self, route: Route) -> int:
        """Bytes of history that are read for a request of this route: what is longer fits no model of it."""
        return min(route.window_tokens * MOST_BYTES_A_TOKEN, self.max_history_bytes)


@dataclass(slots=True, kw_only=True)
class Order:
    """A response ready to run."""

    request: ResponseRequest
    place: Place
    route: Route
    record: OpenRecord
    claimed: Claimed
    head: Json
    history: Sequence[Json]
    """What was said before, oldest first, as it is stored."""
    servers: tuple[McpServer, ...] = ()
    turn_bound_microusd: int = 0
    """What one turn costs at most; counted where a hard budget holds something for the response."""
    attachments: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The files that its items name: by id, the name and the content as a data URL."""
    references: dict[str, Json] = field(default_factory=dict)
    """Items of earlier responses that this request names by `item_reference`."""

    @property
    def name(self) -> str:
        """The response's identifier as callers see it."""
        name: str = self.head["id"]
        return name

    @property
    def project_id(self) -> UUID:
        """The project that it is made in."""
        return self.place.project_id
