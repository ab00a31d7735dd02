"""Composition root of the API: settings in, an ASGI application out. Process-wide objects are made here alone."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import psycopg_pool
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from sqlalchemy.ext.asyncio import async_sessionmaker
from starlette.responses import JSONResponse

import ali
from ali.features.chat import http as chat_http
from ali.features.chat.failover import Failover
from ali.features.chat.gateway import Gateway, Receive, Scope, Send, arrive
from ali.features.chat.hot import refuse, serve
from ali.features.chat.openapi import error_schemas, hot_paths
from ali.features.chat.operations import OPERATIONS
from ali.features.chat.repeats import InProcessRepeats, RepeatCache
from ali.features.chat.resilience import RetryBudget
from ali.features.chat.routing import AliasSpec, OwnPrice, Router
from ali.features.chat.tally import Tally
from ali.features.idempotency import Claims, Keeping, Once, Sealer, describe_keys
from ali.features.identity import Permission, Principal
from ali.features.identity.http import ROUTERS as IDENTITY_ROUTERS
from ali.features.identity.http.access import operations_of, requires
from ali.features.keys.authenticate import Authenticator
from ali.features.keys.http import ROUTERS as KEYS_ROUTERS
from ali.features.keys.recognise import KeyRing
from ali.features.metering import Ledger
from ali.features.metering.budgets import BudgetBook, BudgetKeeper, Reservations
from ali.features.metering.budgets.webhook import Post
from ali.features.metering.http import ROUTERS as METERING_ROUTERS
from ali.features.metering.limiting import LEASE_S, Limiter, ProcessStore, RuleBook
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.shared import SharedStore
from ali.kernel.db import Pool, make_engine, make_pool
from ali.kernel.edge import Doorway, EdgeRules
from ali.kernel.epoch import EpochWatch
from ali.kernel.errors import MethodNotAllowed
from ali.kernel.ids import uuid7
from ali.kernel.log import configure_logging
from ali.kernel.outbound import read_allowed
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics
from ali.kernel.web import answer_errors
from ali.migrations import HEAD, UNBOUND_ROLE
from ali.providers.catalog import Prices, load_catalog, load_defaults
from ali.providers.contract import Deadlines, Dialect, Upstream
from ali.providers.extractive import ExtractiveUpstream
from ali.providers.http import HttpUpstream

_READY_DEADLINE_S = 2.0
_WEBHOOK_DEADLINE_S = 10.0
_WEBHOOK_ANSWER_BYTES = 64 * 1024
_HOT = {operation.path: operation for operation in OPERATIONS}


def create_app(settings: Settings, *, hmac_secret: bytes) -> "Edge":
    """The service. `hmac_secret` is the key under which API keys are stored.

    Nothing is connected until the ASGI lifespan starts.
    """
    return Edge(_fastapi(settings, hmac_secret), rules=_edge_rules(settings))


class Edge:
    """The outermost callable. Behind the doorway, hot operations go to their plain ASGI route, all else to FastAPI."""

    def __init__(self, api: FastAPI, *, rules: EdgeRules) -> None:
        self.api = api
        self._doorway = Doorway(Once(self._route, lambda: api.state.keeping), rules)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._doorway(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = _HOT.get(scope["path"]) if scope["type"] == "http" else None
        if operation is None:
            await self.api(scope, receive, send)
        elif scope["method"] == "POST":
            await serve(self.api.state.gateway, operation, scope, receive, send)
        else:
            error = MethodNotAllowed(
                f"{operation.path} takes POST, not {scope['method'][:10]}.", headers=(("allow", "POST"),)
            )
            await refuse(error, operation=operation, arrival=arrive(scope), send=send)


def _edge_rules(settings: Settings) -> EdgeRules:
    return EdgeRules(
        hot_paths=_HOT.keys(),
        max_body_bytes=settings.max_body_bytes,
        max_json_bytes=settings.max_json_bytes,
        cors_origins=settings.cors_origins,
        cors_credentials=settings.cors_credentials,
        trusted_hosts=settings.trusted_hosts,
        trusted_proxies=settings.trusted_proxies,
        forwarded_header=settings.forwarded_header,
    )


def _fastapi(settings: Settings, hmac_secret: bytes) -> FastAPI:
    make_repeats = _repeats_kind(settings, secret=hmac_secret)
    make_limiter = _limiter_kind(settings, secret=hmac_secret)

    @asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _start(
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
    for router in (chat_http.router, *IDENTITY_ROUTERS, *KEYS_ROUTERS, *METERING_ROUTERS):
        api.include_router(router)
    answer_errors(api)
    _add_operator_routes(api)
    _describe(api)
    return api


async def _start(
    api: FastAPI,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    hmac_secret: bytes,
    make_repeats: Callable[[], RepeatCache],
    make_limiter: Callable[[Pool, Metrics], Limiter],
) -> None:
    """Build the process-wide objects and leave their ends on `stack`."""
    metrics = Metrics()
    dsn = settings.service_dsn()
    pool = make_pool(dsn, size=settings.database_pool_size)
    await pool.open()
    stack.push_async_callback(pool.close, timeout=2)
    engine = make_engine(dsn, size=settings.database_pool_size)
    stack.push_async_callback(engine.dispose)
    upstreams = _upstreams(settings)
    for upstream in upstreams.values():
        stack.push_async_callback(upstream.close)
    repeats = make_repeats()
    stack.push_async_callback(repeats.close)
    epoch = EpochWatch(pool)
    keys = KeyRing(pool, hmac_secret=hmac_secret, epoch=epoch)
    epoch.beside(keys.mark_used)
    authenticator = Authenticator(keys)
    rules = RuleBook(requests_per_key=settings.requests_per_minute)
    epoch.reload_on_change(lambda: rules.reload(pool))
    instance_id = uuid7()
    ledger = Ledger(dsn, pool, instance_id=instance_id, metrics=metrics, prepares=settings.embedded)
    limiter = make_limiter(pool, metrics)
    await limiter.open()
    stack.push_async_callback(limiter.close)
    claims = Claims(
        pool,
        Sealer(hmac_secret),
        instance_id=instance_id,
        ttl_s=settings.idempotency_ttl_s,
        max_answer_bytes=settings.idempotency_max_answer_bytes,
    )
    epoch.beside(claims.keep_house)
    book = BudgetBook(pool)
    epoch.reload_on_change(book.load)
    reservations = Reservations(pool, book, instance_id=instance_id, metrics=metrics)
    keeper = BudgetKeeper(
        pool, book, reservations, hmac_secret=hmac_secret, post=_webhook_post(settings), metrics=metrics
    )
    await epoch.poll()
    running = (
        *(epoch.run(), ledger.run(), ledger.keep_house(), limiter.run()),
        *(keeper.keep_house(), keeper.tell_thresholds()),
    )
    chores = [asyncio.create_task(chore) for chore in running]
    stack.push_async_callback(_stop, chores)
    stack.push_async_callback(limiter.drain)
    stack.push_async_callback(ledger.drain, deadline_s=5)
    router = Router(
        upstreams=upstreams,
        catalog=load_catalog(),
        aliases=_aliases(settings, upstreams),
        compatible_models={model: server.name for server in settings.compatible_providers for model in server.models},
        own_prices=_own_prices(settings),
    )
    metrics.circuits_open.set_function(lambda: sum(not closed for closed in router.health().values()))
    tally = Tally(metrics)
    api.state.authenticator = authenticator
    api.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    api.state.hmac_secret = hmac_secret
    api.state.deliver_invitation = None
    api.state.router = router
    api.state.pool = pool
    api.state.metrics = metrics
    api.state.keeping = Keeping(
        authenticator=authenticator,
        claims=claims,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        wait_s=settings.idempotency_wait_s,
    )
    api.state.gateway = Gateway(
        authenticator=authenticator,
        router=router,
        failover=Failover(budget=RetryBudget(), tally=tally, rng=random.SystemRandom()),
        ledger=ledger,
        reservations=reservations,
        limiter=limiter,
        rules=rules,
        repeats=repeats,
        metrics=metrics,
        tally=tally,
        deadlines=Deadlines(
            connect_s=settings.upstream_connect_s,
            first_byte_s=settings.upstream_first_byte_s,
            silence_s=settings.upstream_silence_s,
            total_s=settings.upstream_total_s,
        ),
        max_body_bytes=settings.max_body_bytes,
        max_upstream_body_bytes=settings.max_upstream_body_bytes,
        max_event_bytes=settings.max_event_bytes,
    )


def _webhook_post(settings: Settings) -> Post:
    """How webhooks leave: through the guard of outbound addresses."""
    from ali.kernel.outbound.client import OutboundClient  # noqa: PLC0415 - for few installations; 20 ms of import

    client = OutboundClient(allowed=read_allowed(settings.outbound_allowed_hosts))

    async def post(url: str, *, body: bytes, headers: Mapping[str, str]) -> int:
        reply = await client.request(
            "POST", url, headers=headers, body=body, deadline_s=_WEBHOOK_DEADLINE_S, limit_bytes=_WEBHOOK_ANSWER_BYTES
        )
        return reply.status

    return post


async def _stop(chores: list[asyncio.Task[None]]) -> None:
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)


def _upstreams(settings: Settings) -> dict[str, Upstream]:
    """The providers that this installation has the means to reach."""
    upstreams: dict[str, Upstream] = {"extractive": ExtractiveUpstream()}
    if settings.openai_api_key:
        upstreams["openai"] = HttpUpstream(
            name="openai",
            dialect=Dialect.OPENAI,
            base_url=settings.openai_base_url,
            headers={"authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"},
        )
    if settings.anthropic_api_key:
        upstreams["anthropic"] = HttpUpstream(
            name="anthropic",
            dialect=Dialect.ANTHROPIC,
            base_url=settings.anthropic_base_url,
            headers={"x-api-key": settings.anthropic_api_key.get_secret_value()},
        )
    for server in settings.compatible_providers:
        headers = {"authorization": f"Bearer {server.api_key.get_secret_value()}"} if server.api_key else {}
        upstreams[server.name] = HttpUpstream(
            name=server.name, dialect=Dialect.OPENAI, base_url=server.base_url, headers=headers
        )
    return upstreams


def _aliases(settings: Settings, upstreams: dict[str, Upstream]) -> dict[str, AliasSpec]:
    """The operator's aliases, and `ali-default`: OpenAI, then Anthropic, then the model that needs neither."""
    at_openai, at_anthropic = load_defaults()
    configured = [
        model for provider, model in (("openai", at_openai), ("anthropic", at_anthropic)) if provider in upstreams
    ]
    aliases = {"ali-default": AliasSpec(targets=tuple(configured) or ("ali-extractive",))}
    for name, alias in settings.aliases.items():
        aliases[name] = AliasSpec(targets=alias.targets, weights=alias.weights, cache_ttl_s=alias.cache_ttl_s)
    return aliases


def _own_prices(settings: Settings) -> dict[str, OwnPrice]:
    """The operator's prices, in nano-dollars a token."""
    return {
        name: OwnPrice(
            prices=Prices(
                input=int(price.input * 1000),
                cached_input=int((price.input if price.cached_input is None else price.cached_input) * 1000),
                cache_write=int((price.input if price.cache_write is None else price.cache_write) * 1000),
                output=int(price.output * 1000),
            ),
            max_output_tokens=price.max_output_tokens,
        )
        for name, price in settings.model_prices.items()
    }


def _repeats_kind(settings: Settings, *, secret: bytes) -> Callable[[], RepeatCache]:
    """How the cache of repeats is made; what it needs is imported now, not while a loop runs."""
    if settings.redis_url is None:
        return lambda: InProcessRepeats(max_bytes=settings.cache_max_bytes)
    from ali.features.chat.repeats_redis import RedisRepeats  # noqa: PLC0415 - an extra that may be absent

    url = settings.redis_url.get_secret_value()
    return lambda: RedisRepeats(url, secret=secret)


def _limiter_kind(settings: Settings, *, secret: bytes) -> Callable[[Pool, Metrics], Limiter]:
    """How the limiter is made; what it needs is imported now, as for the cache of repeats."""
    redis_url = settings.redis_url
    if settings.limits_counted_in == "process":
        return lambda _, metrics: Limiter(ProcessStore(lease_s=LEASE_S), metrics=metrics)
    if settings.limits_counted_in == "postgres" or redis_url is None:
        return lambda pool, metrics: Limiter([PostgresStore(pool, secret=secret, lease_s=LEASE_S)], metrics=metrics)
    from ali.features.metering.limiting.in_redis import RedisStore  # noqa: PLC0415 - an extra that may be absent

    url = redis_url.get_secret_value()

    def with_redis(pool: Pool, metrics: Metrics) -> Limiter:
        stores: list[SharedStore] = [
            RedisStore(url, secret=secret, lease_s=LEASE_S),
            PostgresStore(pool, secret=secret, lease_s=LEASE_S),
        ]
        return Limiter(stores, metrics=metrics)

    return with_redis


def _add_operator_routes(api: FastAPI) -> None:
    """Health and metrics."""

    @api.get("/healthz", tags=["operations"], summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/readyz", tags=["operations"], summary="The process can serve", responses={503: {"description": "Not"}})
    async def readyz(request: Request) -> JSONResponse:
        problem = await _not_ready(request.app.state.pool)
        if problem is None:
            degraded = request.app.state.gateway.limiter.degraded
            return JSONResponse({"status": "ready"} | ({"degraded": list(degraded)} if degraded else {}))
        return JSONResponse({"status": "not ready", "reason": problem}, status_code=503)

    @api.get("/metrics", tags=["operations"], summary="Metrics in Prometheus' format", response_class=Response)
    async def metrics(request: Request, _reader: Principal = requires(Permission.METRICS_READ)) -> Response:
        return Response(request.app.state.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _not_ready(pool: Pool) -> str | None:
    """Why the database keeps this process from serving, or None."""
    try:
        async with asyncio.timeout(_READY_DEADLINE_S), pool.connection() as connection:
            cursor = await connection.execute("select version_num from ali.alembic_version")
            row = await cursor.fetchone()
            unbound = await (await connection.execute(UNBOUND_ROLE)).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return "the database was never migrated: run `ali database migrate`"
    except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError):
        return "the database does not answer"
    if row is None or row[0] != HEAD:
        return "the database's schema is not this program's: run `ali database migrate`"
    if unbound is None or unbound[0]:
        return "row-level security does not bind the service's database role: run `ali doctor`"
    return None


def _describe(api: FastAPI) -> None:
    """Put the hot operations and each operation's permission into the OpenAPI document, beside what FastAPI knows."""

    def document() -> dict[str, Any]:
        if api.openapi_schema is None:
            schema = get_openapi(title=api.title, version=api.version, routes=api.routes)
            for method, path, asked in operations_of(api.routes):
                described = schema["paths"].get(path, {}).get(method.lower())
                if described is not None and asked:
                    described["x-ali-permission"] = ", ".join(sorted(permission.value for permission in asked))
            schema["paths"] |= hot_paths()
            describe_keys(schema["paths"])
            schema.setdefault("components", {}).setdefault("schemas", {}).update(error_schemas())
            api.openapi_schema = schema
        return api.openapi_schema

    api.openapi = document  # type: ignore[method-assign] # FastAPI's documented way to extend the document


def create_app_from_environment() -> Edge:
    """The service as its worker processes make it, from the environment and the home folder."""
    settings = Settings()
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    return create_app(settings, hmac_secret=settings.hmac_secret())
