"""Back-off in the database, one count for all processes: whoever tries passes here first, and says how it went.

A try counts as failed from the moment it is let through until it has passed, so that of many at once one is looked at.
Keys are HMACs: the table tells nobody whose failures it counts.
"""

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.identity.backoff import (
    Failures,
    after_failure,
    after_failure_at_address,
    beyond_allowance,
    require_turn,
)
from ali.features.identity.models import SignInFailure

_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)
NONE: Final = Failures(count=0, last_at=_LONG_AGO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a try is counted under. `address` None: under the thing alone, wherever the try comes from. `thing` None:
    under the address alone, and only once it has failed.
    """

    thing: bytes | None = field(default=None, repr=False)
    address: bytes | None = field(default=None, repr=False)


class Turnstile:
    """One for the process; the counts are everybody's."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], *, secret: bytes) -> None:
        self._sessions = sessions
        self._secret = secret

    def turn(self, purpose: str, subject: str, *, address: str | None) -> Turn:
        """The turn of somebody at `address` who tries `purpose` with `subject`: an account's address or id."""
        place = _network_of(address)
        return Turn(thing=self._key(purpose, subject, place), address=self._key("address", place))

    def turn_of_account(self, purpose: str, subject: str) -> Turn:
        """The turn of an account, wherever the try comes from: for what only its owner gets as far as trying."""
        return Turn(thing=self._key(purpose, subject))

    def turn_of_address(self, address: str | None) -> Turn:
        """The turn of somebody at `address` who tries something that cannot be guessed."""
        return Turn(address=self._key("address", _network_of(address)))

    async def enter(self, turn: Turn, *, now: datetime) -> Failures:
        """Let a try through, and what was counted before it. Raises `TooManyAttempts` where it comes too soon; that
        does not count.
        """
        async with self._sessions() as session, session.begin():
            failures = NONE if turn.thing is None else await _locked(session, turn.thing)
            at_address = None
            if turn.address is not None:
                row = await session.get(SignInFailure, turn.address)
                at_address = None if row is None else Failures(count=row.count, last_at=row.last_at)
            require_turn(failures, beyond_allowance(at_address, now=now), now=now)
            if turn.thing is not None:
                await _write(session, turn.thing, after_failure(failures, now=now))
        return failures

    async def failed(self, turn: Turn, *, now: datetime) -> None:
        """The try has failed: its address counts one more too."""
        if turn.address is None:
            return
        async with self._sessions() as session, session.begin():
            await _write(session, turn.address, after_failure_at_address(await _locked(session, turn.address), now=now))

    async def passed(self, turn: Turn) -> None:
        """The try has succeeded: its count is dropped, and the address's is kept."""
        async with self._sessions() as session, session.begin():
            await session.execute(delete(SignInFailure).where(SignInFailure.key == turn.thing))

    async def withdraw(self, turn: Turn, before: Failures) -> None:
        """The try was not made in the end: count as `enter` found it."""
        if turn.thing is None:
            return
        async with self._sessions() as session, session.begin():
            await _write(session, turn.thing, before)

    def _key(self, *parts: str) -> bytes:
        message = "\0".join(("turn", *parts)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, message, "sha256")


async def _locked(session: AsyncSession, key: bytes) -> Failures:
    """The count of `key`, which nobody else changes until the transaction ends."""
    fresh = insert(SignInFailure).values(key=key, count=0, last_at=_LONG_AGO)
    await session.execute(fresh.on_conflict_do_nothing())
    row = (
        await session.execute(
            select(SignInFailure.count, SignInFailure.last_at).where(SignInFailure.key == key).with_for_update()
        )
    ).one()
    count, last_at = row
    return Failures(count=count, last_at=last_at)


async def _write(session: AsyncSession, key: bytes, failures: Failures) -> None:
    await session.execute(
        update(SignInFailure)
        .where(SignInFailure.key == key)
        .values(count=failures.count, last_at=failures.last_at)
        .execution_options(synchronize_session=False)
    )


def _network_of(address: str | None) -> str:
    """What counts as one address: of IPv6 the /64, for whoever has one address there has all of them."""
    try:
        read = ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(read, IPv6Address):
        return str(read.ipv4_mapped or ip_network((read, 64), strict=False))
    return str(read)
