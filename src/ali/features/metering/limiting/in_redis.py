"""Limits in Redis: one script, one round trip, one connection for the whole process."""

import asyncio
from collections.abc import Sequence
from hashlib import sha1
from typing import Any, Final, Literal

from ali.features.metering.limiting.claims import BUCKETS, STREAM_RETRY_S, Amendment, Claim, Verdict, claim, weigh
from ali.features.metering.limiting.redis_connection import Argument, RedisConnection, RedisRefused
from ali.features.metering.limiting.redis_scripts import AMEND, CHECK, RENEW
from ali.features.metering.limiting.shared import Held, StoreFailed, pseudonym

SILENCE_S: Final = 0.2
"""How long an answer is waited for; then the connection counts as dead, and all who wait are told."""

_PREFIX: Final = b"ali:limit:1:"
_PROBE: Final = claim(scope="model", identity=b"ali.probe", kind="requests", limit=2**40, window_s=1)


class _Script:
    """A script by its hash, and its text for a server that does not know it (any more)."""

    def __init__(self, text: str) -> None:
        self.text = text % {"buckets": BUCKETS, "ttl": BUCKETS + 2, "retry_us": int(STREAM_RETRY_S * 1e6)}
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_CHECK: Final = _Script(CHECK)
_AMEND: Final = _Script(AMEND)
_RENEW: Final = _Script(RENEW)


class RedisStore:
    """`SharedStore` over Redis 7 or newer, not a cluster. `secret`: of the pseudonyms, the same in all processes."""

    name: Literal["redis"] = "redis"

    def __init__(self, url: str, *, secret: bytes, lease_s: float, silence_s: float = SILENCE_S) -> None:
        self._url = url
        self._hidden = pseudonym(secret)
        self._lease_us = int(lease_s * 1e6)
        self._silence_s = silence_s
        self._connection: RedisConnection | None = None

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._connection is not None and self._connection.alive

    async def open(self) -> None:
        """Connect unless connected, and count something: a replica that only reads is no store."""
        if not self.alive:
            self._connection = await RedisConnection.connect(self._url, silence_s=self._silence_s)
        await self.check((_PROBE,))

    async def check(self, claims: Sequence[Claim], *, lease: bytes = b"", now_us: int = 0) -> Verdict:
        """Count all claims, or none. `now_us`: in place of the server's clock."""
        arguments: list[Argument] = [now_us, lease, self._lease_us]
        for each in claims:
            arguments += (each.limit, each.width_us, each.amount)
        answer = await self._run(_CHECK, [each.key for each in claims], arguments)
        return weigh(claims, answer, store=self.name, lease=lease)

    async def amend(self, amendments: Sequence[Amendment], *, now_us: int = 0) -> None:
        """Correct what was counted."""
        arguments: list[Argument] = [now_us]
        for each in amendments:
            arguments += (each.claim.width_us, each.delta, each.at_us)
        await self._run(_AMEND, [each.claim.key for each in amendments], arguments)

    async def renew(self, held: Held, *, now_us: int = 0) -> None:
        """Keep leases for their full time again."""
        arguments: list[Argument] = [now_us, self._lease_us, *(lease for _, lease in held)]
        await self._run(_RENEW, [each.key for each, _ in held], arguments)

    async def release(self, held: Held) -> None:
        """Free leases, all in one write."""
        connection = self._connected()
        await asyncio.gather(*(connection.call("ZREM", self._key(each.key), lease) for each, lease in held))

    async def tidy(self) -> None:
        """Nothing: every key lapses by itself."""

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()

    async def _run(self, script: _Script, keys: list[bytes], arguments: list[Argument]) -> Any:  # noqa: ANN401 - Redis' reply
        connection = self._connected()
        tail: list[Argument] = [len(keys), *map(self._key, keys), *arguments]
        try:
            return await connection.call("EVALSHA", script.sha, *tail)
        except RedisRefused as error:
            if error.args[0] != "NOSCRIPT":
                raise
        return await connection.call("EVAL", script.text, *tail)

    def _key(self, key: bytes) -> bytes:
        return _PREFIX + self._hidden(key).hex().encode()

    def _connected(self) -> RedisConnection:
        if self._connection is None:
            raise StoreFailed("closed")
        return self._connection
