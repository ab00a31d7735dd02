"""Exact repeats in Redis, shared by all processes of the installation."""

import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

_LARGEST_BYTES = 1024 * 1024
_WAIT_S = 0.25
_PREFIX = b"ali:repeat:1:"


class RedisRepeats:
    """`RepeatCache` over Redis; every failure is a miss, and a wait is at most a quarter of a second."""

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=_WAIT_S, socket_connect_timeout=_WAIT_S, retry=Retry(NoBackoff(), 0)
        )  # its own retries would wait for seconds

    async def get(self, key: bytes) -> bytes | None:
        """The answer's bytes, or None."""
        try:
            answer = await self._redis.get(_PREFIX + key)
        except (RedisError, OSError) as error:
            log.warning("repeats.unavailable", error_type=type(error).__name__)
            return None
        return answer if isinstance(answer, bytes) else None

    async def put(self, key: bytes, answer: bytes, *, ttl_s: int) -> None:
        """Keep an answer, unless it is too large."""
        if len(answer) > _LARGEST_BYTES:
            return
        try:
            await self._redis.set(_PREFIX + key, answer, ex=ttl_s)
        except (RedisError, OSError) as error:
            log.warning("repeats.unavailable", error_type=type(error).__name__)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
