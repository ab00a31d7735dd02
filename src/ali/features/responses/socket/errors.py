"""What can be wrong with a socket, or with a message on it.

InvalidRequest
└── MessageMalformed     400  a message that is no client event
RateLimited
├── TooManySockets       429  this caller has as many open as a process serves it
└── LaneFull             429  too much waits on this socket
Unavailable
└── SocketsExhausted     503  this process serves as many as it may
"""

from ali.kernel.errors import InvalidRequest, RateLimited, Unavailable


class MessageMalformed(InvalidRequest):
    """400: a message on a WebSocket is no event that a client may send."""

    code = "invalid_client_event"


class TooManySockets(RateLimited):
    """429: the caller has as many WebSockets open as it may."""

    code = "too_many_connections"


class LaneFull(RateLimited):
    """429: too many requests, or too many bytes of them, wait on this WebSocket."""

    code = "too_many_waiting_requests"


class SocketsExhausted(Unavailable):
    """503: this process serves as many WebSockets as it may."""

    code = "connections_exhausted"
