"""`./run bench access`: what recognising a caller costs, beside one HMAC, which no check of a secret can do without."""

import argparse
import hashlib
import hmac
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
import uvloop

from ali.features.identity.access_tokens import AccessTokens
from ali.features.identity.recognise_session import SessionRing
from ali.features.keys.authenticate import Authenticator
from ali.features.keys.recognise import KeyRing
from ali.features.keys.secret import digest, hint, mint
from ali.kernel.db import Pool, make_pool
from ali.kernel.epoch import EpochWatch
from ali.kernel.ids import uuid7
from ali.ops.sign_in import ensure_signing_key
from bench.database import migrated
from bench.gateway.machine import this_machine

NAME = "access"
SUMMARY = "What recognising an API key and an access token costs, remembered and not (about 10 seconds)."
GOAL_US = 10.0
_ROUNDS = 5
_SECRET = b"benchmark of access, not a secret"
_RESULT = Path(__file__).resolve().parent / "results" / "access.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the subcommand."""
    parser.add_argument("--checks", type=int, default=20_000, metavar="N", help="checks of a round (default 20000)")


def run(options: argparse.Namespace) -> int:
    """Measure, print, keep; 1 where a remembered key misses its goal."""
    with migrated() as server:
        tenant = _make(server.dsn)
        ensure_signing_key(server.dsn, hmac_secret=_SECRET, report=lambda _: None)
        figures = uvloop.run(_measure(server.service_dsn, tenant, checks=options.checks))
    hash_us = figures["one HMAC-SHA-256"]
    print(f"{this_machine()}. Medians of {_ROUNDS} rounds.\n")
    print("| a caller | µs | against one HMAC |\n|---|---:|---:|")
    for name, value in figures.items():
        print(f"| {name} | {value:.2f} | {value / hash_us:.1f} |")
    reached = figures["API key, remembered"] <= GOAL_US
    print(f"\nGoal for a remembered key: at most {GOAL_US:.0f} µs. Reached: {'yes' if reached else 'no'}.")
    _RESULT.parent.mkdir(parents=True, exist_ok=True)
    _RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if reached else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tenant:
    organization_id: UUID
    user_id: UUID
    session_id: UUID
    key: str


async def _measure(dsn: str, tenant: _Tenant, *, checks: int) -> dict[str, float]:
    """Microseconds, by what is recognised."""
    pool = make_pool(dsn, size=2)
    await pool.open(wait=True)
    tokens = AccessTokens(pool, hmac_secret=_SECRET, address="http://127.0.0.1:8000")
    await tokens.keys()
    token = tokens.issue(
        user_id=tenant.user_id,
        session_id=tenant.session_id,
        organization_id=tenant.organization_id,
        role="owner",
        now=datetime.now(UTC),
    )
    epoch = EpochWatch(pool)
    warm, cold = (_door(pool, tokens, epoch, capacity=capacity) for capacity in (10_000, 0))
    await epoch.poll()
    for secret in (tenant.key, token):
        await warm.authenticate(secret)
    plain = tenant.key.encode()
    try:
        return {
            "one HMAC-SHA-256": _timed(lambda: hmac.digest(_SECRET, plain, hashlib.sha256), checks),
            "API key, remembered": _timed(lambda: warm.remembered(tenant.key), checks),
            "access token, remembered": _timed(lambda: warm.remembered(token), checks),
            "API key, asked of PostgreSQL": await _awaited(lambda: cold.authenticate(tenant.key), checks // 20),
            "access token, verified and asked of PostgreSQL": await _awaited(
                lambda: cold.authenticate(token), checks // 20
            ),
        }
    finally:
        await pool.close()


@dataclass(frozen=True, slots=True)
class _Desk:
    """As much of sign-in as recognising a token asks for."""

    tokens: AccessTokens


def _door(pool: Pool, tokens: AccessTokens, epoch: EpochWatch, *, capacity: int) -> Authenticator:
    """What recognises callers. `capacity` 0: it remembers nobody, so each is asked of PostgreSQL."""
    return Authenticator(
        KeyRing(pool, hmac_secret=_SECRET, epoch=epoch, capacity=capacity),
        SessionRing(pool, desk=_Desk(tokens), epoch=epoch, capacity=capacity),
    )


def _make(dsn: str) -> _Tenant:
    made = _Tenant(organization_id=uuid7(), user_id=uuid7(), session_id=uuid7(), key=mint())
    project_id, organization_id = uuid7(), made.organization_id
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into ali.organization (id, name) values (%s, 'Bench')", (organization_id,))
        connection.execute(
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'Bench')",
            (project_id, organization_id),
        )
        connection.execute(
            "insert into ali.api_key (id, organization_id, name, role, digest, hint)"
            " values (%s, %s, 'Bench', 'owner', %s, %s)",
            (uuid7(), organization_id, digest(made.key, hmac_secret=_SECRET), hint(made.key)),
        )
        connection.execute(
            "insert into ali.user_account (id, organization_id, email, role)"
            " values (%s, %s, 'bench@example.org', 'owner')",
            (made.user_id, organization_id),
        )
        connection.execute(
            "insert into ali.session (id, organization_id, user_id, method, current)"
            " values (%s, %s, %s, 'password', %s)",
            (made.session_id, organization_id, made.user_id, bytes(32)),
        )
    return made


def _timed(check: Callable[[], object], checks: int) -> float:
    return statistics.median(_round(check, checks) for _ in range(_ROUNDS))


def _round(check: Callable[[], object], checks: int) -> float:
    began = time.perf_counter()
    for _ in range(checks):
        if check() is None:
            raise RuntimeError("a remembered caller was forgotten")
    return (time.perf_counter() - began) / checks * 1e6


async def _awaited(check: Callable[[], Awaitable[object]], checks: int) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(checks):
            await check()
        rounds.append((time.perf_counter() - began) / checks * 1e6)
    return statistics.median(rounds)
