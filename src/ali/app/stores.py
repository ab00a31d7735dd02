"""Where the cache of repeats and the counters of limits are kept: in the process, in Redis, in PostgreSQL."""

from collections.abc import Callable

from ali.features.chat.repeats import InProcessRepeats, RepeatCache
from ali.features.metering.limiting import LEASE_S, Limiter, ProcessStore
from ali.features.metering.limiting.in_postgres import PostgresStore
from ali.features.metering.limiting.shared import SharedStore
from ali.kernel.db import Pool
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics


def repeats_kind(settings: Settings, *, secret: bytes) -> Callable[[], RepeatCache]:
    """How the cache of repeats is made; what it needs is imported now, not while a loop runs."""
    if settings.redis_url is None:
        return lambda: InProcessRepeats(max_bytes=settings.cache_max_bytes)
    from ali.features.chat.repeats_redis import RedisRepeats  # noqa: PLC0415 - an extra that may be absent

    url = settings.redis_url.get_secret_value()
    return lambda: RedisRepeats(url, secret=secret)


def limiter_kind(settings: Settings, *, secret: bytes) -> Callable[[Pool, Metrics], Limiter]:
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
