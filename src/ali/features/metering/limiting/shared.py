"""What a store that several processes share must offer, and how its names are kept from telling who is counted."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Literal, Protocol

from ali.features.metering.limiting.claims import Amendment, Claim, Verdict

Held = Sequence[tuple[Claim, bytes]]
"""Streams that are held: the claim on the limit, and the lease."""


class StoreFailed(Exception):
    """A shared store did not answer, or refused; `args[0]` names the kind of failure. Nothing is known of the count."""


class SharedStore(Protocol):
    """Counters outside of the process. All methods raise `StoreFailed`, and none waits longer than a second."""

    @property
    def name(self) -> Literal["redis", "postgres"]:
        """As metrics and health call it."""
        ...

    @property
    def alive(self) -> bool:
        """False: it is known to be gone, without asking."""
        ...

    async def open(self) -> None:
        """Connect where that is needed, and prove that counting works."""
        ...

    async def check(self, claims: Sequence[Claim], *, lease: bytes = b"") -> Verdict:
        """Count all claims, or none: one round trip. Keys differ among `claims`."""
        ...

    async def amend(self, amendments: Sequence[Amendment]) -> None:
        """Correct what was counted."""
        ...

    async def renew(self, held: Held) -> None:
        """Keep leases for their full time again; one that was lost is taken anew, above the limit if need be."""
        ...

    async def release(self, held: Held) -> None:
        """Free leases."""
        ...

    async def tidy(self) -> None:
        """Remove what no window needs any more, a bounded number of rows."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def pseudonym(secret: bytes) -> Callable[[bytes], bytes]:
    """From a claim's key to the 16 bytes by which a shared store knows it.

    Keyed, for a plain hash of an e-mail or IPv4 address is soon guessed: BLAKE2b (RFC 7693) under a key that is derived
    from `secret`.
    """
    key = blake2b(secret, digest_size=32, person=b"ali.limits").digest()

    def hidden(name: bytes) -> bytes:
        return blake2b(name, digest_size=16, key=key).digest()

    return hidden
