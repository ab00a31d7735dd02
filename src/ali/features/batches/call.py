"""A line's request, made of this very service in process: the same admission, limits, budgets, ledger and errors."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from ali.features.chat.gateway import PRINCIPAL, Receive, Scope, Send
from ali.features.identity import Principal

Route = Callable[[Scope, Receive, Send], Awaitable[None]]
"""The service behind its edge, as ASGI."""

_FINAL_CODES: Final = frozenset({b"insufficient_quota"})
"""Refusals that waiting within the window does not mend."""


@dataclass(slots=True)
class Answer:
    """What came back, whole."""

    status: int = 500
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    @property
    def succeeded(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300

    @property
    def waits(self) -> bool:
        """Whether a limit refused it that has room again later."""
        return self.status == 429 and not self._final

    @property
    def may_pass_again(self) -> bool:
        """Whether it failed for a reason that may pass."""
        return (self.status >= 500 or self.status == 408) and not self._final

    @property
    def _final(self) -> bool:
        told = self.headers.get(b"x-should-retry") == b"false"
        return told or self.headers.get(b"x-ali-error-code") in _FINAL_CODES

    @property
    def request_id(self) -> str:
        """Under which the service's log has it."""
        return self.headers.get(b"x-request-id", b"").decode("latin-1")


async def ask(
    route: Route, endpoint: str, body: bytes, *, headers: Mapping[bytes, bytes], principal: Principal
) -> Answer:
    """POST `body` to `endpoint` as `principal`, and read the answer to its end. Raises what is a bug."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": endpoint,
        "raw_path": endpoint.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *headers.items(),
        ],
        "client": None,
        "server": None,
        "state": {},
        PRINCIPAL: principal,
    }
    answer, parts = Answer(), []
    given = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            await asyncio.get_running_loop().create_future()  # nobody leaves before the answer is whole
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.lower(): value for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await route(scope, receive, send)
    answer.body = b"".join(parts)
    return answer
