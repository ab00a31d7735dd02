"""A provider's event stream on its way to the caller: cut into events, watched by a relay, held to its deadlines."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from ali.providers.contract import (
    Deadlines,
    StreamRelay,
    UpstreamMalformed,
    UpstreamReply,
    UpstreamTimeout,
    UpstreamTooLarge,
)
from ali.providers.sse import EventSplitter


class LiveStream:
    """Bytes due to the caller. `begin` waits for the first of them; until then the caller has been told nothing.

    `mended`: what makes of an event of the provider's the one that the relay is to see.
    """

    __slots__ = (
        "_chunks",
        "_deadlines",
        "_feed",
        "_first",
        "_max_bytes",
        "_provider",
        "_reply",
        "_splitter",
        "dropped",
        "relay",
    )

    def __init__(
        self,
        reply: UpstreamReply,
        relay: StreamRelay,
        *,
        provider: str,
        deadlines: Deadlines,
        max_event_bytes: int,
        max_bytes: int,
        dropped: tuple[str, ...] = (),
        mended: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._reply = reply
        self.relay = relay
        self._feed = relay.feed if mended is None else lambda event: relay.feed(mended(event))
        self._provider = provider
        self._deadlines = deadlines
        self._splitter = EventSplitter(limit_bytes=max_event_bytes)
        self._chunks: AsyncIterator[bytes] = reply.chunks()
        self._first = b""
        self._max_bytes = max_bytes
        self.dropped = dropped

    async def begin(self) -> None:
        """Wait for the first event that carries something. Raises as `chunks` does, and when none ever comes."""
        relay, feed = self.relay, self._feed
        try:
            async with asyncio.timeout(self._deadlines.first_byte_s):
                async for chunk in self._chunks:
                    self._first += b"".join([feed(event) for event in self._splitter.feed(chunk)])
                    if relay.progress or relay.finished:
                        return
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"Provider {self._provider} opened a stream and sent nothing for {self._deadlines.first_byte_s:g} s.",
                provider=self._provider,
            ) from error
        raise self._cut_short()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """What is due, as it comes, without the terminal event. Ends when the upstream's terminal event was seen.

        Raises `UpstreamError` for a stream that stalls, breaks, ends early or is not the protocol.
        """
        if self._first:
            yield self._first
        relay, feed, split = self.relay, self._feed, self._splitter.feed
        loop = asyncio.get_running_loop()
        silence_s = self._deadlines.silence_s
        progress, moved_s = relay.progress, loop.time()
        if self.relay.finished:
            return
        size = 0
        async for chunk in self._chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise UpstreamTooLarge(
                    f"Provider {self._provider} streamed more than {self._max_bytes} bytes; the answer was cut off.",
                    provider=self._provider,
                )
            events = split(chunk)
            failure: Exception | None = None
            if len(events) == 1:
                due = feed(events[0])
            else:
                due, failure = self._fed(events)
            if due:
                yield due
            if failure is not None:
                raise failure
            if relay.finished:
                return
            if relay.progress != progress:
                progress, moved_s = relay.progress, loop.time()
            elif loop.time() - moved_s > silence_s:
                raise UpstreamTimeout(
                    f"Provider {self._provider} keeps its stream open without saying anything for {silence_s:g} s.",
                    provider=self._provider,
                )
        raise self._cut_short()

    def _fed(self, events: Sequence[bytes]) -> tuple[bytes, Exception | None]:
        """What several events are due; up to the one that is refused, with why. What came before it is not lost."""
        due: list[bytes] = []
        try:
            for event in events:
                due.append(self._feed(event))  # noqa: PERF401 - what came before a refused event is kept
        except Exception as error:  # noqa: BLE001 - raised by the caller, once it has passed on what is due
            return b"".join(due), error
        return b"".join(due), None

    def _cut_short(self) -> UpstreamMalformed:
        return UpstreamMalformed(
            f"Provider {self._provider} ended its stream before the answer was complete. Try again.",
            provider=self._provider,
        )

    async def close(self) -> None:
        """Free the connection."""
        await self._reply.close()
