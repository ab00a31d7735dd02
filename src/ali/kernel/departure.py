"""Learning that a caller has left while their request is being answered.

ASGI says it as a message, for which a task must wait; our own server's connection says it by a call, which costs
nothing until it comes. Where the scope names such a connection it is asked, else a task waits: under another server,
and for a request whose caller's leaving is not to be heard of (an idempotency key's).
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

CONNECTION: Final = "ali.connection"
"""The key of an ASGI scope under which our server puts the connection."""


class Connection(Protocol):
    """A connection that can be watched, by one request at a time."""

    is_gone: bool
    when_gone: Callable[[], None] | None
    when_stopping: Callable[[], None] | None


def watch(scope: Scope, receive: Receive, left: Callable[[], None]) -> Callable[[], None]:
    """Have `left` called once the caller is gone, perhaps at once. The watch ends when the answer is called.

    Call only when the request's body has been received whole: the next message is the disconnect.
    """
    connection: Connection | None = scope.get(CONNECTION)
    if connection is None:
        return _watch_messages(receive, left)
    if connection.is_gone:
        left()
    connection.when_gone = left

    def stop() -> None:
        if connection.when_gone is left:  # else the next request on the connection has begun to watch
            connection.when_gone = None

    return stop


def on_stopping(scope: Scope, stopping: Callable[[], None]) -> Callable[[], None]:
    """Have `stopping` called when the server begins to stop while this request is answered; ended as `watch` is.

    For answers without an end of their own. Under another server than ours nothing is called.
    """
    connection: Connection | None = scope.get(CONNECTION)
    if connection is None:
        return lambda: None
    connection.when_stopping = stopping

    def end() -> None:
        if connection.when_stopping is stopping:
            connection.when_stopping = None

    return end


def _watch_messages(receive: Receive, left: Callable[[], None]) -> Callable[[], None]:
    watcher = asyncio.ensure_future(receive())

    def hear(_watcher: asyncio.Future[Any]) -> None:
        left()

    watcher.add_done_callback(hear)

    def stop() -> None:
        watcher.remove_done_callback(hear)
        watcher.cancel()

    return stop
