"""The door that every request passes, before any framework: pure ASGI, about 2 µs on the hot path."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect

from ali.kernel import log
from ali.kernel.edge.bodies import (
    CappedBody,
    Message,
    Receive,
    Scope,
    Send,
    check_media_type,
    is_json,
    read_json,
    too_large,
)
from ali.kernel.edge.errors import HostNotServed, MediaTypeRefused, OriginRefused
from ali.kernel.edge.headers import missing
from ali.kernel.edge.origins import Origins
from ali.kernel.edge.proxies import ForwardedHeader, Network, Proxies
from ali.kernel.edge.refusal import answered, refusal
from ali.kernel.errors import AliError

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WANTED: Final = frozenset(
    {b"host", b"origin", b"content-type", b"content-length", b"content-encoding", b"anthropic-version"}
)
_MOST_DIGITS: Final = 20
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRules:
    """What an operator lets in. The default of each is the closed one, except that any `Host` is answered: nothing that
    is decided here or behind depends on it.
    """

    hot_paths: Collection[str] = ()
    """Their bodies are read and capped by the hot path itself."""
    large_paths: Mapping[str, int] = field(default_factory=dict)
    """To how many bytes: their operations read bodies themselves as they come, of whatever kind."""
    large_within: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """As `large_paths`, for all paths that begin and end so."""
    max_body_bytes: int
    max_json_bytes: int
    cors_origins: Collection[str] = ()
    cors_credentials: bool = False
    trusted_hosts: Collection[str] = ()
    """Exact names, or `*.example.com` for all under it; none: any."""
    trusted_proxies: Iterable[Network] = ()
    forwarded_header: ForwardedHeader = "x-forwarded-for"

    def large_bytes(self, path: str) -> int | None:
        """The most bytes of a body that the operation at `path` reads itself; None for an operation that does not."""
        if path in self.large_paths:
            return self.large_paths[path]
        for (beginning, end), most in self.large_within.items():
            if path.startswith(beginning) and path.endswith(end):
                return most
        return None


class Doorway:
    """`app` behind the edge."""

    def __init__(self, app: App, rules: EdgeRules) -> None:
        self._app = app
        self._rules = rules
        self._hot = frozenset(rules.hot_paths)
        networks = tuple(rules.trusted_proxies)
        self._proxies = Proxies(networks, header=rules.forwarded_header) if networks else None
        self._hosts = frozenset(host for host in rules.trusted_hosts if not host.startswith("*"))
        self._domains = tuple(host[1:] for host in rules.trusted_hosts if host.startswith("*"))
        self._origins = (
            Origins(self._enter, origins=rules.cors_origins, credentials=rules.cors_credentials)
            if rules.cors_origins
            else None
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            await self._shake_hands(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._proxies is not None:
            _apply(self._proxies, scope)
        https = scope["scheme"] == "https"
        with_vary = False

        def dressed(message: Message) -> Awaitable[None]:
            """No coroutine of its own: a stream's chunks pass here."""
            if message["type"] == "http.response.start":
                own = message.get("headers", ())
                message["headers"] = [*own, *missing(own, https=https)]
                if with_vary:
                    message["headers"].append((b"vary", b"Origin"))
            return send(message)

        if self._origins is None:
            await self._enter(scope, receive, dressed)
        elif any(name == b"origin" for name, _ in scope["headers"]):
            await self._origins(scope, receive, dressed)
        else:
            with_vary = True
            await self._enter(scope, receive, dressed)

    async def _shake_hands(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket's handshake. Browsers send it from any page unasked, so the origin is judged here."""
        if self._proxies is not None:
            _apply(self._proxies, scope)
            scope["scheme"] = {"https": "wss", "http": "ws"}.get(scope["scheme"], scope["scheme"])
        https = scope["scheme"] == "wss"

        def dressed(message: Message) -> Awaitable[None]:
            if message["type"] == "websocket.http.response.start":
                own = message.get("headers", ())
                message["headers"] = [*own, *missing(own, https=https)]
            return send(message)

        found = {name: value for name, value in scope["headers"] if name in _WANTED}
        try:
            self._check_host(found)
            self._check_origin(found.get(b"origin"))
        except AliError as error:
            await self._refuse(scope, answered(dressed), error)
            return
        await self._app(scope, receive, dressed)

    def _check_origin(self, origin: bytes | None) -> None:
        allowed = self._rules.cors_origins
        if origin is not None and "*" not in allowed and origin.decode("latin-1") not in allowed:
            raise OriginRefused("Pages of this origin may not connect. The operator can allow it in ALI_CORS_ORIGINS.")

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge the head; refuse, or let the request through with its body capped."""
        found = {name: value for name, value in scope["headers"] if name in _WANTED}
        hot = scope["path"] in self._hot
        try:
            self._check_host(found)
            if found.get(b"content-encoding", b"identity") != b"identity":
                raise MediaTypeRefused("Compressed bodies are not taken. Send it without content-encoding.")
            content_type = found.get(b"content-type")
            may_have_body = scope["method"] in _WITH_BODY
            bodiless = not may_have_body or found.get(b"content-length") == b"0"  # some name a type for no body at all
            if content_type != b"application/json" and content_type is not None and not bodiless:
                check_media_type(content_type, hot=hot)
            if not hot and may_have_body:
                large_bytes = self._rules.large_bytes(scope["path"])
                if large_bytes or (b"content-type" in found and not is_json(found[b"content-type"])):
                    limit_bytes = large_bytes or self._rules.max_body_bytes
                    await self._take_upload(scope, receive, send, found, limit_bytes=limit_bytes)
                    return
                limit_bytes = min(self._rules.max_body_bytes, self._rules.max_json_bytes)
                receive = await read_json(receive, limit_bytes=limit_bytes, declared=_declared(found))
        except AliError as error:
            await self._refuse(scope, send, error)
            return
        await self._app(scope, receive, send)

    def _check_host(self, found: dict[bytes, bytes]) -> None:
        if not (self._hosts or self._domains):
            return
        host = found.get(b"host", b"").decode("latin-1").lower()
        if not host.endswith("]"):
            head, colon, port = host.rpartition(":")
            host = head if colon and (port.isdigit() or not port) else host
        if host not in self._hosts and not host.endswith(self._domains or "\0"):
            raise HostNotServed("This host is not served here. Use the address that the operator has given.")

    async def _take_upload(
        self, scope: Scope, receive: Receive, send: Send, found: dict[bytes, bytes], *, limit_bytes: int
    ) -> None:
        if (_declared(found) or 0) > limit_bytes:
            raise too_large(limit_bytes)
        body = CappedBody(receive, send, limit_bytes=limit_bytes, refuse=partial(self._refuse, scope, send))
        try:
            await self._app(scope, body.receive, body.send)
        except ClientDisconnect:
            if not body.refused:
                raise

    async def _refuse(self, scope: Scope, send: Send, error: AliError) -> None:
        log.info("request.refused", status=error.http_status, error=error.error_code)
        anthropic = scope["path"].startswith("/v1/messages") or any(
            name == b"anthropic-version" for name, _ in scope["headers"]
        )
        status, headers, body = refusal(error, anthropic=anthropic)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _declared(found: dict[bytes, bytes]) -> int | None:
    """The body's length as declared; the protocol has refused every other spelling than digits."""
    value = found.get(b"content-length", b"")
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None


def _apply(proxies: Proxies, scope: Scope) -> None:
    """Put what trusted proxies say of the client into the scope. Its port is not known: 0."""
    client = scope.get("client")
    hop = proxies.hop(client[0] if client else None, scope["headers"])
    if hop.address is not None:
        scope["client"] = (hop.address, 0)
    if hop.scheme is not None:
        scope["scheme"] = hop.scheme
