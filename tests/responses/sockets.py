"""A socket as OpenAI's SDK opens it, each event held strictly to the SDK's types."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, get_args

from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types.responses.responses_server_event import ResponsesServerEvent

from tests.contract.judges import held_to, openai_client
from tests.contract.response_events import EXTENSIONS
from tests.fixtures.service import Service

TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
_PATIENCE_S: Final = 10.0
_KINDS: Final = {
    get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(get_args(ResponsesServerEvent)[0])
}
"""The whole union takes seconds to build."""


def judged(message: bytes) -> Any:  # noqa: ANN401 - any event
    """A message as the SDK's event of its type, in strict mode."""
    return held_to(_KINDS[json.loads(message)["type"]], message, extensions=EXTENSIONS)


class Heard:
    """A connection and what came over it."""

    def __init__(self, connection: AsyncResponsesConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def ask(self, **request: Any) -> None:  # noqa: ANN401 - the SDK's own arguments
        """`response.create`."""
        await self.connection.response.create(**request)

    async def next(self) -> Any:  # noqa: ANN401 - any event
        """The next event."""
        async with asyncio.timeout(_PATIENCE_S):
            event = judged(await self.connection.recv_bytes())
        self.events.append(event)
        return event

    async def until(self, *kinds: str) -> Any:  # noqa: ANN401 - as above
        """The next event of one of these kinds; by default the next that ends a response, or refuses it."""
        while True:
            event = await self.next()
            if event.type in (kinds or TERMINAL):
                return event

    async def answer(self, **request: Any) -> Any:  # noqa: ANN401 - as above
        """Ask, and the event that ends it."""
        await self.ask(**request)
        return await self.until()

    async def said(self, raw: str) -> Any:  # noqa: ANN401 - as above
        """Send a message as it stands; the next event."""
        await self.connection.send_raw(raw)
        return await self.next()


@asynccontextmanager
async def socket(service: Service, **client: Any) -> AsyncIterator[Heard]:  # noqa: ANN401 - the SDK's own options
    """An open connection with the tenant's key."""
    async with (
        openai_client(service, **client) as sdk,
        sdk.responses.connect(
            websocket_connection_options={"max_queue": None}  # a full queue would hold up the closing
        ) as connection,
    ):
        yield Heard(connection)
