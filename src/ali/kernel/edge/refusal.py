"""An error as a whole answer, for those who have no framework around them."""

from collections.abc import Awaitable

from ali.kernel.edge.bodies import Message, Send
from ali.kernel.edge.headers import RawHeaders, missing
from ali.kernel.envelopes import error_body, error_headers
from ali.kernel.errors import AliError
from ali.kernel.ids import new_id


def refusal(error: AliError, *, anthropic: bool) -> tuple[int, RawHeaders, bytes]:
    """Status, headers and body, in Anthropic's dialect or OpenAI's."""
    request_id = new_id("req")
    body = error_body(error, envelope="anthropic" if anthropic else "openai", request_id=request_id)
    headers: RawHeaders = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"request-id", request_id.encode()),
        *error_headers(error),
    ]
    return error.http_status, [*headers, *missing(headers, https=False)], body


def answered(send: Send) -> Send:
    """A `send` that answers a WebSocket's handshake with an HTTP response (ASGI, "WebSocket Denial Response")."""

    def denied(message: Message) -> Awaitable[None]:
        return send({**message, "type": f"websocket.{message['type']}"})

    return denied
