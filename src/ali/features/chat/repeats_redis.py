"""Exact repeats in Redis, shared by all processes of the installation.

Answers lie there sealed under the installation's secret, each under its own key: whoever reads Redis reads no answer,
and whoever writes there cannot pass one off as another.
"""

import hmac

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ali.kernel import log
from ali.kernel.aead import Undecipherable, decrypt, derived_key, encrypt

_LARGEST_BYTES = 1024 * 1024
_WAIT_S = 0.25
_PREFIX = b"ali:repeat:2:"


class RedisRepeats:
    """`RepeatCache` over Redis; every failure is a miss, and a wait is at most a quarter of a second.

    `secret` is the installation's; another one finds nothing of what was kept under this.
    """

    def __init__(self, url: str, *, secret: bytes) -> None:
        self._key = derived_key(secret, info=b"ali cached answers")
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=_WAIT_S, socket_connect_timeout=_WAIT_S, retry=Retry(NoBackoff(), 0)
        )  # its own retries would wait for seconds

    async def get(self, key: bytes) -> bytes | None:
        """The answer's bytes, or None."""
        try:
            sealed = await self._redis.get(self._place(key))
            return decrypt(sealed, key=self._key, name=key) if isinstance(sealed, bytes) else None
        except (RedisError, OSError, Undecipherable) as error:
            log.warning("repeats.unavailable", error_type=type(error).__name__)
            return None

    async def put(self, key: bytes, answer: bytes, *, ttl_s: int) -> None:
        """Keep an answer, unless it is too large."""
        if len(answer) > _LARGEST_BYTES:
            return
        sealed = encrypt(answer, key=self._key, name=key)
        try:
            await self._redis.set(self._place(key), sealed, ex=ttl_s)
        except (RedisError, OSError) as error:
            log.warning("repeats.unavailable", error_type=type(error).__name__)

    def _place(self, key: bytes) -> bytes:
        """Where an answer lies: a keyed hash, so that who reads Redis cannot confirm a guess at what was asked."""
        return _PREFIX + hmac.digest(self._key, key, "sha256")

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
