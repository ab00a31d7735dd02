"""The ASGI wrapper around the whole application: a POST with an idempotency key is carried out once.

    request ── no key, or no POST ───────────────────────────► application
        │ key
        ├─ not authenticated ────────────────────────────────► application, which says 401
        ├─ the same runs in this process ─── wait ───────────► its answer, replayed
        └─ claim in PostgreSQL
             ├─ claimed ─► application ─► answer committed ─► last byte
             ├─ running in another process ─── wait, ask again
             ├─ done ────────────────────────────────────────► replay, or 409 where the answer was not kept
             └─ the key stands for something else ───────────► 422

What sets headers on every answer (the edge's) belongs around this, so that a replay carries them once.
"""

from collections.abc import Callable
from uuid import UUID

from ali.features.chat.gateway import ClientGone, Receive, Scope, Send, credential
from ali.features.idempotency.execution import App
from ali.features.idempotency.keyed import Keeping, KeyedRequest
from ali.features.idempotency.patience import Patience
from ali.features.idempotency.request import HEADER, asked_for, key_of, refuse_large
from ali.features.identity import Principal
from ali.features.identity.principal import PROJECT_HEADER, project_named
from ali.kernel import log
from ali.kernel.envelopes import envelope_of, error_body, error_headers
from ali.kernel.errors import AliError, Unavailable
from ali.kernel.ids import new_id


class Once:
    """Wraps `app`. `keeping` is called for each keyed request: what it gives is built when the lifespan begins."""

    def __init__(self, app: App, keeping: Callable[[], Keeping]) -> None:
        self._app = app
        self._keeping = keeping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. A request without a key costs one look at the names of its headers."""
        if scope["type"] == "http" and scope["method"] == "POST":
            for name, _ in scope["headers"]:
                if name == HEADER:
                    await self._keyed(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _keyed(self, scope: Scope, receive: Receive, send: Send) -> None:
        keeping = self._keeping()
        name = new_id("req")
        patience = Patience(receive, wait_s=keeping.wait_s)
        try:
            principal = await _principal(keeping, scope)
            if principal is None:
                await self._app(scope, receive, send)
                return
            key = key_of(scope["headers"])
            body = await _whole_body(scope, receive, limit_bytes=keeping.max_body_bytes)
            claim = keeping.claims.claim_for(
                asked_for(scope, key=key, body=body),
                organization_id=principal.organization_id,
                subject_id=_subject(principal),
            )
            request = KeyedRequest(keeping, claim, name=name, scope=scope, body=body, send=send, patience=patience)
            await request.run(self._app)
        except ClientGone:
            keeping.metrics.idempotent.labels("client_gone").inc()
        except AliError as error:
            keeping.metrics.idempotent.labels(error.error_code).inc()
            log.info("idempotency.refused", request_id=name, error=error.error_code, status=error.http_status)
            await _refuse(error, name=name, scope=scope, send=send)
        finally:
            await patience.end()


async def _principal(keeping: Keeping, scope: Scope) -> Principal | None:
    """Who asks; None where the application is to refuse them, in its own words. Raises `Unavailable`."""
    headers = dict(scope["headers"])
    secret = credential(headers)
    if secret is None:
        return None
    try:
        project = project_named(headers.get(PROJECT_HEADER.encode(), b"").decode("latin-1"))
        principal = keeping.authenticator.remembered(secret, project)
        if principal is None:
            principal = await keeping.authenticator.authenticate(secret, project=project)
        principal.require_network(client[0] if (client := scope.get("client")) else None)
    except Unavailable:
        raise  # a moment later the application might know them, and would execute without a claim
    except AliError:
        return None
    return principal


def _subject(principal: Principal) -> UUID:
    """Whose key it is: the API key's, or the person's, whatever session they are in."""
    return principal.key_id or principal.user_id or principal.organization_id


async def _whole_body(scope: Scope, receive: Receive, *, limit_bytes: int) -> bytes:
    """The body. Raises `PayloadTooLarge`, or `ClientGone` where it ends before its end."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            refuse_large(int(value), limit_bytes=limit_bytes)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        refuse_large(size, limit_bytes=limit_bytes)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


async def _refuse(error: AliError, *, name: str, scope: Scope, send: Send) -> None:
    envelope = envelope_of(scope["path"], anthropic_version=b"anthropic-version" in dict(scope["headers"]))
    body = error_body(error, envelope=envelope, request_id=name)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", name.encode()),
        (b"request-id", name.encode()),
        *error_headers(error),
    ]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
