"""From the outermost callable to the routes: settings in, an ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI

import ali
from ali.app.assembly import assemble
from ali.app.document import describe
from ali.app.operations import add_operator_routes
from ali.app.ordinary import Ordinary
from ali.app.stores import limiter_kind, repeats_kind
from ali.features.batches.http import MESSAGE_BATCHES_PATH
from ali.features.batches.http import ROUTERS as BATCHES_ROUTERS
from ali.features.batches.naming import MOST_MESSAGE_BYTES
from ali.features.chat.gateway import Receive, Scope, Send, arrive
from ali.features.chat.hot import refuse, serve
from ali.features.chat.http import ROUTERS as CHAT_ROUTERS
from ali.features.chat.operations import OPERATIONS, RESPONSE_COMPACT, RESPONSE_INPUT_TOKENS, RESPONSES
from ali.features.conversations import http as conversations_http
from ali.features.files.http import PARTS_PATH as FILE_PARTS_PATH
from ali.features.files.http import PATH as FILES_PATH
from ali.features.files.http import ROUTERS as FILES_ROUTERS
from ali.features.files.uploads import MOST_PART_BYTES
from ali.features.idempotency import Once
from ali.features.identity.http import ROUTERS as IDENTITY_ROUTERS
from ali.features.keys.http import ROUTERS as KEYS_ROUTERS
from ali.features.knowledge.http import ROUTERS as KNOWLEDGE_ROUTERS
from ali.features.metering.http import ROUTERS as METERING_ROUTERS
from ali.features.responses import http as responses_http
from ali.features.responses.compact import compact_response
from ali.features.responses.counting import count_input_tokens
from ali.features.responses.exchange import create_response
from ali.kernel.edge import Doorway, EdgeRules, answered
from ali.kernel.errors import MethodNotAllowed
from ali.kernel.log import configure_logging
from ali.kernel.settings import Settings
from ali.kernel.web import answer_errors

_FORM_BYTES: Final = 64 * 1024
"""What a form has around its file at most."""
_HOT: Final = {operation.path: operation for operation in OPERATIONS}


def create_app(settings: Settings, *, hmac_secret: bytes) -> "Edge":
    """The service. `hmac_secret` is the key under which API keys are stored.

    Nothing is connected until the ASGI lifespan starts.
    """
    return Edge(_fastapi(settings, hmac_secret), rules=_edge_rules(settings))


class Edge:
    """The outermost callable. Behind the doorway, hot operations go to their plain ASGI route, all else to FastAPI."""

    def __init__(self, api: FastAPI, *, rules: EdgeRules) -> None:
        self.api = api
        api.state.route = self._route
        self._ordinary = Ordinary(api, lambda: api.state.metrics)
        self._doorway = Doorway(Once(self._route, lambda: api.state.keeping), rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._doorway(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == RESPONSES.path:
            await self.api.state.sockets.serve(scope, receive, send, deny=answered(send))
            return
        operation = _HOT.get(scope["path"]) if scope["type"] == "http" else None
        if operation is None or (scope["method"] == "GET" and operation.lists_kept):
            await self._ordinary(scope, receive, send)
        elif scope["method"] != "POST":
            taken = ("GET", "POST") if operation.lists_kept else ("POST",)
            error = MethodNotAllowed(
                f"{operation.path} takes {' and '.join(taken)}, not {scope['method'][:10]}.",
                headers=(("allow", ", ".join(taken)),),
            )
            await refuse(error, operation=operation, arrival=arrive(scope), send=send)
        elif operation is RESPONSES:
            state = self.api.state
            await create_response(state.engine, state.background, scope, receive, send)
        elif operation is RESPONSE_INPUT_TOKENS:
            await count_input_tokens(self.api.state.engine, scope, receive, send)
        elif operation is RESPONSE_COMPACT:
            await compact_response(self.api.state.engine, scope, receive, send)
        else:
            await serve(self.api.state.gateway, operation, scope, receive, send)


def _edge_rules(settings: Settings) -> EdgeRules:
    return EdgeRules(
        hot_paths=_HOT.keys(),
        large_paths={
            FILES_PATH: settings.max_file_bytes + _FORM_BYTES,
            MESSAGE_BATCHES_PATH: min(MOST_MESSAGE_BYTES, settings.max_file_bytes),
        },
        large_within={FILE_PARTS_PATH: MOST_PART_BYTES + _FORM_BYTES},
        max_body_bytes=settings.max_body_bytes,
        max_json_bytes=settings.max_json_bytes,
        cors_origins=settings.cors_origins,
        cors_credentials=settings.cors_credentials,
        trusted_hosts=settings.trusted_hosts,
        trusted_proxies=settings.trusted_proxies,
        forwarded_header=settings.forwarded_header,
    )


def _fastapi(settings: Settings, hmac_secret: bytes) -> FastAPI:
    make_repeats = repeats_kind(settings, secret=hmac_secret)
    make_limiter = limiter_kind(settings, secret=hmac_secret)

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await assemble(
                *(api, settings, stack), hmac_secret=hmac_secret, make_repeats=make_repeats, make_limiter=make_limiter
            )
            yield

    api = FastAPI(
        title="Ali API",
        version=ali.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # Starlette's redirect repeats the Host header, which anybody can set
    )
    own = (*CHAT_ROUTERS, responses_http.router, conversations_http.router, *FILES_ROUTERS, *BATCHES_ROUTERS)
    for router in (*own, *KNOWLEDGE_ROUTERS, *IDENTITY_ROUTERS, *KEYS_ROUTERS, *METERING_ROUTERS):
        # As they are: `include_router` has each route built once more at the first request, 3 MB and 0.1 s for nothing.
        api.router.routes.extend(router.routes)
    answer_errors(api)
    add_operator_routes(api)
    describe(api)
    return api


def create_app_from_environment() -> Edge:
    """The service as its worker processes make it, from the environment and the home folder."""
    settings = Settings()
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    return create_app(settings, hmac_secret=settings.hmac_secret())
