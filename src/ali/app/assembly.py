"""The process-wide objects, made here alone: each one, what it is given, and how it ends."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import async_sessionmaker

from ali.app.batches import assemble_batches, assemble_files
from ali.app.chores import stop
from ali.app.knowledge import assemble_knowledge
from ali.app.outbound import webhook_post
from ali.app.responses import assemble_responses
from ali.app.sign_in import sign_in_desk
from ali.app.upstreams import deadlines, reachable, router_over
from ali.features.chat.failover import Failover
from ali.features.chat.gateway import Gateway
from ali.features.chat.own_calls import OwnCalls
from ali.features.chat.repeats import RepeatCache
from ali.features.chat.resilience import RetryBudget
from ali.features.chat.stored.settlement import CompletionKeeper
from ali.features.chat.tally import Tally
from ali.features.idempotency import Claims, Keeping, Sealer
from ali.features.identity.housekeeping import Housekeeping
from ali.features.identity.recognise_session import SessionRing
from ali.features.keys.authenticate import Authenticator
from ali.features.keys.recognise import KeyRing
from ali.features.metering import Ledger
from ali.features.metering.budgets import BudgetBook, BudgetKeeper, Reservations
from ali.features.metering.limiting import Limiter, RuleBook
from ali.features.responses.file_search.stores import VectorStores
from ali.features.responses.state import ResponseState
from ali.kernel.db import Pool, make_engine, make_pool
from ali.kernel.epoch import EpochWatch
from ali.kernel.ids import uuid7
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics


async def assemble(
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
    upstreams = reachable(settings)
    for upstream in upstreams.values():
        stack.push_async_callback(upstream.close)
    repeats = make_repeats()
    stack.push_async_callback(repeats.close)
    epoch = EpochWatch(pool)
    keys = KeyRing(pool, hmac_secret=hmac_secret, epoch=epoch)
    epoch.beside(keys.mark_used)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    desk = sign_in_desk(settings, sessions, pool, hmac_secret=hmac_secret, metrics=metrics)
    stack.callback(desk.passwords.close)
    authenticator = Authenticator(keys, SessionRing(pool, desk=desk, epoch=epoch))
    epoch.on_change(desk.forget)
    epoch.beside(Housekeeping(pool).tidy)
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
        pool, book, reservations, hmac_secret=hmac_secret, post=webhook_post(settings), metrics=metrics
    )
    await epoch.poll()
    running = (
        *(epoch.run(), ledger.run(), ledger.keep_house(), limiter.run()),
        *(keeper.keep_house(), keeper.tell_thresholds()),
        *(desk.letters.run(), desk.records.run()),
    )
    stack.push_async_callback(stop, [asyncio.create_task(chore) for chore in running])
    stack.push_async_callback(limiter.drain)
    stack.push_async_callback(ledger.drain, deadline_s=5)
    router = router_over(upstreams, settings)
    metrics.circuits_open.set_function(lambda: sum(not closed for closed in router.health().values()))
    tally = Tally(metrics)
    _offer(
        api,
        epoch=epoch,
        authenticator=authenticator,
        sessions=sessions,
        desk=desk,
        hmac_secret=hmac_secret,
        router=router,
        pool=pool,
        metrics=metrics,
    )
    api.state.keeping = Keeping(
        authenticator=authenticator,
        claims=claims,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        wait_s=settings.idempotency_wait_s,
    )
    files = assemble_files(api, settings, stack, pool=pool, metrics=metrics)
    api.state.gateway = gateway = Gateway(
        authenticator=authenticator,
        router=router,
        failover=Failover(budget=RetryBudget(), tally=tally, rng=random.SystemRandom()),
        ledger=ledger,
        completions=CompletionKeeper(pool, ledger, instance_id=instance_id),
        reservations=reservations,
        limiter=limiter,
        rules=rules,
        repeats=repeats,
        metrics=metrics,
        tally=tally,
        files=files,
        deadlines=deadlines(settings),
        max_body_bytes=settings.max_body_bytes,
        max_upstream_body_bytes=settings.max_upstream_body_bytes,
        max_event_bytes=settings.max_event_bytes,
    )
    knowledge = assemble_knowledge(
        *(api, settings, stack),
        pool=pool,
        files=files,
        metrics=metrics,
        instance_id=instance_id,
        hmac_secret=hmac_secret,
        calls=OwnCalls(gateway),
    )
    state = ResponseState(pool, instance_id=instance_id)
    assemble_responses(
        *(api, settings, stack),
        gateway=gateway,
        state=state,
        files=files,
        vector_stores=VectorStores(pool, knowledge.searcher, knowledge.activity),
        hmac_secret=hmac_secret,
    )
    assemble_batches(
        *(api, settings, stack),
        pool=pool,
        files=files,
        authenticator=authenticator,
        metrics=metrics,
        instance_id=instance_id,
    )


def _offer(api: FastAPI, **objects: object) -> None:
    """What routes find in `request.app.state`."""
    for name, value in objects.items():
        setattr(api.state, name, value)
