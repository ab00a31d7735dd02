"""The operator's own routes: does it live, can it serve, what does it count."""

import asyncio

import psycopg
import psycopg_pool
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse

from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import requires
from ali.kernel.db import Pool
from ali.migrations import HEAD, UNBOUND_ROLE

_READY_DEADLINE_S = 2.0


def add_operator_routes(api: FastAPI) -> None:
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
