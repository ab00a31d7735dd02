"""MCP's streamable HTTP: each message is a POST, its reply JSON or a stream of events that also brings other messages.

Every call goes through the guard of outbound addresses, on a connection of its own; redirects are failures.
Source: Model Context Protocol, revision 2025-11-25, "Transports", "Streamable HTTP".
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ali.features.responses.mcp import messages
from ali.features.responses.mcp.failures import McpFailed, McpHttpFailed, SessionGone, unreached
from ali.features.responses.mcp.revisions import SELF_CONTAINED, routing_headers, self_contained
from ali.features.responses.mcp.tool import McpServer
from ali.kernel.errors import AliError
from ali.providers.sse import EventSplitter, event_data

if TYPE_CHECKING:
    from ali.kernel.outbound.client import OutboundClient  # for types alone: 13 ms of import, for few installations
    from ali.kernel.outbound.exchange import OutboundAnswer

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_SESSION_ID: Final = re.compile(r"[!-~]{1,1024}")
_EVENT_ID: Final = re.compile(rb"[!-~](?:[ -~]{0,1022}[!-~])?")
_MOST_ANSWERS: Final = 16
"""Requests of the server's that are answered within one stream."""
_MOST_RESUMPTIONS: Final = 10
_LONGEST_PAUSE_S: Final = 5.0
_SIDE_CALL_S: Final = 3.0
"""Deadline for what nobody waits for: answers to pings, cancellations, the session's end."""
_DEADLINES_APART_S: Final = 1.0


@dataclass(slots=True)
class _Waiting:
    """A request whose reply is still to come, and where its stream can be taken up again."""

    request_id: int
    event_id: str | None = None
    pause_s: float = 0.0
    answered: int = 0


class McpTransport:
    """One client's way to one server. `session_id` and `protocol_version` are what the handshake brought."""

    def __init__(self, client: "OutboundClient", server: McpServer, *, limit_bytes: int) -> None:
        self._client = client
        self._server = server
        self._limit_bytes = limit_bytes
        self._last_id = 0
        self.session_id: str | None = None
        self.protocol_version: str | None = None

    async def ask(
        self, method: str, params: dict[str, Any], *, deadline_s: float, cancels: bool = False
    ) -> dict[str, Any]:
        """The result of a request. `cancels`: where it comes too late, the server is told that nobody waits any more.

        Raises `McpFailed`; `SessionGone` where the server has forgotten the session.
        """
        self._last_id += 1
        waiting = _Waiting(self._last_id)
        headers = self._headers()
        if self.protocol_version == SELF_CONTAINED:
            params, headers = self_contained(params), headers | routing_headers(method, params)
        body = messages.request(waiting.request_id, method, params)
        try:
            async with asyncio.timeout(deadline_s):
                reply = await self._reply(waiting, body, headers, deadline_s=deadline_s + _DEADLINES_APART_S)
        except TimeoutError as error:
            if cancels and self.protocol_version != SELF_CONTAINED:  # there, leaving the answer says it
                await self._post_aside(
                    messages.notification("notifications/cancelled", {"requestId": waiting.request_id})
                )
            raise McpHttpFailed("The MCP server did not answer in time. Try again later.", status=504) from error
        except AliError as error:
            raise unreached(error) from error
        return messages.result_of(reply)

    async def tell(self, method: str, *, deadline_s: float) -> None:
        """Send a notification. Raises `McpFailed` where it is not taken."""
        try:
            async with self._client.open(
                "POST",
                self._server.url,
                headers=self._headers(),
                body=messages.notification(method),
                deadline_s=deadline_s,
                limit_bytes=self._limit_bytes,
            ) as answer:
                await self._require_success(answer)
        except AliError as error:
            raise unreached(error) from error

    async def end(self) -> None:
        """Tell the server that the session is over. Servers may not care, and failures mean nothing."""
        if self.session_id is None:
            return
        with contextlib.suppress(AliError):
            await self._client.request(
                "DELETE",
                self._server.url,
                headers=self._headers(),
                deadline_s=_SIDE_CALL_S,
                limit_bytes=self._limit_bytes,
            )

    async def _reply(
        self, waiting: _Waiting, body: bytes, headers: dict[str, str], *, deadline_s: float
    ) -> dict[str, Any]:
        """The reply, from the answer to the POST or, where its stream ended early, from what follows it."""
        async with self._client.open(
            "POST",
            self._server.url,
            headers=headers,
            body=body,
            deadline_s=deadline_s,
            limit_bytes=self._limit_bytes,
        ) as answer:
            await self._require_success(answer, waiting)
            self._take_session(answer)
            reply = await self._find(answer, waiting)
        for _ in range(_MOST_RESUMPTIONS):
            if reply is not None or waiting.event_id is None:
                break
            await asyncio.sleep(waiting.pause_s)
            again = {**self._headers(), "accept": _EVENTS, "last-event-id": waiting.event_id}
            async with self._client.open(
                "GET", self._server.url, headers=again, deadline_s=deadline_s, limit_bytes=self._limit_bytes
            ) as answer:
                await self._require_success(answer, waiting)
                reply = await self._find(answer, waiting)
        if reply is None:
            raise McpFailed("The MCP server ended its answer without a reply. Try again later.")
        return reply

    def _headers(self) -> dict[str, str]:
        """The request's own headers, and over them what the transport needs."""
        server = self._server
        headers = {**server.headers, "content-type": _JSON, "accept": f"{_JSON}, {_EVENTS}"}
        if server.authorization is not None:
            headers["authorization"] = f"Bearer {server.authorization.get_secret_value()}"
        if self.session_id is not None:
            headers["mcp-session-id"] = self.session_id
        if self.protocol_version is not None:
            headers["mcp-protocol-version"] = self.protocol_version
        return headers

    def _take_session(self, answer: "OutboundAnswer") -> None:
        """Keep the session that an answer begins: only the one to `initialize`, which alone is sent without a version.

        What comes later under another name is no new session, and is not taken over.
        """
        given = answer.headers.get("mcp-session-id")
        if self.protocol_version is not None or given is None:
            return
        if not _SESSION_ID.fullmatch(given):
            raise McpFailed("The MCP server began a session under a name that is not visible ASCII.")
        self.session_id = given

    async def _require_success(self, answer: "OutboundAnswer", waiting: _Waiting | None = None) -> None:
        """Raise `McpFailed` for an answer of failure: as the protocol's own error, where it is the reply waited for."""
        status = answer.status
        if 200 <= status < 300:
            return
        if status == 404 and self.session_id is not None:
            raise SessionGone("The MCP server has ended the session. Try again.", status=status)
        if 300 <= status < 400:
            text = f"The MCP server redirects (HTTP {status}), which is not followed. Name its last address."
        elif status in {401, 403}:
            text = f"The MCP server refuses the credentials (HTTP {status}). Check authorization and headers."
        else:
            text = f"The MCP server answered HTTP {status}."
            error = await _error_in(answer)
            if error is not None and waiting is not None and messages.is_reply_to(error, waiting.request_id):
                messages.result_of(error)
            if error is not None:
                text = f"{text} It says: {messages.error_message(error)}"
        raise McpHttpFailed(text, status=status)

    async def _find(self, answer: "OutboundAnswer", waiting: _Waiting) -> dict[str, Any] | None:
        """The reply within an answer; None where a stream ended without it."""
        kind = _media_type(answer)
        if kind == _JSON:
            reply = await self._hear((await answer.whole()).body, waiting)
            if reply is None:
                raise McpFailed("The MCP server answered with JSON that is not the reply. Check server_url.")
            return reply
        if kind != _EVENTS:
            raise McpFailed("The MCP server answered with neither JSON nor a stream of events. Check server_url.")
        splitter = EventSplitter(limit_bytes=self._limit_bytes)
        while part := await answer.read():
            for event in splitter.feed(part):
                _remember_place(event, waiting)
                data = event_data(event)
                if data and (reply := await self._hear(data, waiting)) is not None:
                    return reply
        return None

    async def _hear(self, data: bytes, waiting: _Waiting) -> dict[str, Any] | None:
        """The reply, if it is among these messages. Requests of the server's are answered, notifications dropped."""
        for message in messages.read_messages(data):
            if messages.is_reply_to(message, waiting.request_id):
                return message
            answer = messages.answer_to(message)
            if answer is not None:
                waiting.answered += 1
                if waiting.answered > _MOST_ANSWERS:
                    raise McpFailed("The MCP server asks without end instead of answering.")
                await self._post_aside(answer)
        return None

    async def _post_aside(self, body: bytes) -> None:
        """Send what has no reply, and let nothing depend on it."""
        with contextlib.suppress(AliError):
            await self._client.request(
                "POST",
                self._server.url,
                headers=self._headers(),
                body=body,
                deadline_s=_SIDE_CALL_S,
                limit_bytes=self._limit_bytes,
            )


def _media_type(answer: "OutboundAnswer") -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _error_in(answer: "OutboundAnswer") -> dict[str, Any] | None:
    """The JSON-RPC error that an answer of failure carries, if it carries one."""
    if _media_type(answer) != _JSON:
        return None
    with contextlib.suppress(AliError, McpFailed):
        for message in messages.read_messages((await answer.whole()).body):
            if message.get("error") is not None:
                return message
    return None


def _remember_place(event: bytes, waiting: _Waiting) -> None:
    """Keep the event's `id` and the pause (`retry`) that it asks for, by which a stream can be taken up again."""
    for line in event.splitlines():
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id" and _EVENT_ID.fullmatch(value):
            waiting.event_id = value.decode("ascii")
        elif name == b"retry" and value.isdigit() and len(value) < 10:
            waiting.pause_s = min(int(value) / 1000, _LONGEST_PAUSE_S)
