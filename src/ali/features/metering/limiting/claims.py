"""What a request asks of the limits, and what they say: claims, standings, verdicts. Pure values.

A window of `window_s` seconds is kept as 120 buckets; those that overlap it count whole. So never more than the limit
passes in any window, and a request is refused only if a window one bucket longer is full: at most 1/120 too few.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Literal

import msgspec

Scope = Literal["organization", "project", "key", "user", "model", "sign_in_account", "sign_in_address"]
Kind = Literal["requests", "tokens", "streams"]

BUCKETS: Final = 120
STREAM_RETRY_S: Final = 1.0
"""When a full set of streams is worth another try: any of them may end at any moment."""

_WORDS: Final[dict[str, str]] = {
    "organization": "organization",
    "project": "project",
    "key": "API key",
    "user": "user",
    "model": "model",
    "sign_in_account": "account",
    "sign_in_address": "network address",
}


class Claim(msgspec.Struct, frozen=True):
    """`amount` of what `limit` allows in any `window_s` seconds; for streams, one of at most `limit` at once.

    Claims with the same `key` are counted together, whatever their limit. Make one with `claim`.
    """

    key: bytes
    scope: Scope
    kind: Kind
    limit: int
    window_s: int
    width_us: int
    """Length of a bucket; 0 for streams, which are leases and know no window."""
    amount: int
    model: str | None = None
    """The model or pattern to which the limit is confined."""


def claim(
    *,
    scope: Scope,
    identity: bytes,
    kind: Kind,
    limit: int,
    window_s: int = 60,
    amount: int = 1,
    model: str | None = None,
) -> Claim:
    """A claim on the limit of `kind` that `identity` has in `scope`. Costs 2 µs: keep it, and ask `counting`.

    `identity` is what is counted (an id's bytes, an address); it leaves the process only as a keyed hash.
    """
    if limit < 0 or amount < 0 or window_s < 1:
        raise ValueError("a limit and its amount are at least 0, a window is at least 1 s")
    digest = blake2b(f"{scope}\0{kind}\0{window_s}\0{model or ''}\0".encode(), digest_size=16)
    digest.update(identity)
    # Rounded up: 120 buckets may cover more than the window, never less.
    width_us = 0 if kind == "streams" else -(-window_s * 1_000_000 // BUCKETS)
    return Claim(digest.digest(), scope, kind, limit, window_s, width_us, amount, model)


def counting(claims: Iterable[Claim], *, tokens: int, stream: bool) -> tuple[Claim, ...]:
    """`claims` for one request of `tokens` tokens, as estimated; those on streams only where it is one."""
    chosen = []
    for each in claims:
        if each.kind == "tokens":
            chosen.append(
                Claim(*(each.key, each.scope, each.kind, each.limit, each.window_s, each.width_us), tokens, each.model)
            )
        elif stream or each.kind == "requests":
            chosen.append(each)
    return tuple(chosen)


class Standing(msgspec.Struct, frozen=True):
    """How a claim's limit stands after the check. `reset_s`: until nothing counts against it any more."""

    claim: Claim
    remaining: int
    reset_s: float


class Verdict(msgspec.Struct, frozen=True):
    """What the limits say of one request: all of its claims were counted, or none was.

    `refusing`: the claim for which it must wait longest, `retry_after_s` seconds until the same request would pass; if
    `too_large`, it asks for more than the limit and never will.
    """

    allowed: bool
    standings: tuple[Standing, ...]
    refusing: Claim | None = None
    retry_after_s: float = 0.0
    too_large: bool = False
    store: str = ""
    """Where it was counted, at `at_us` of that store's clock: a later correction needs both."""
    at_us: int = 0
    lease: bytes = b""
    """Under which its stream is held, if it is one."""

    def tightest(self, kind: Kind) -> Standing | None:
        """The standing of `kind` with the least left, for the headers."""
        standings = [standing for standing in self.standings if standing.claim.kind == kind]
        return min(standings, key=lambda standing: (standing.remaining, -standing.reset_s), default=None)


class Amendment(msgspec.Struct, frozen=True):
    """A correction of what a claim counted at `at_us`: less is taken back from there, more counts as of now."""

    claim: Claim
    delta: int
    at_us: int


def weigh(claims: Sequence[Claim], answer: Sequence[int], *, store: str, lease: bytes) -> Verdict:
    """The verdict that a store's answer means.

    `answer`: its clock in µs; the refusing claim counted from 1, or 0; the wait in µs; and for each claim what is used
    of it after the check, and the µs until it is whole again.
    """
    at_us, refusing, wait_us, *rest = answer
    standings = tuple(
        Standing(each, max(each.limit - used, 0), reset_us / 1e6)
        for each, used, reset_us in zip(claims, rest[::2], rest[1::2], strict=True)
    )
    if not refusing:
        return Verdict(allowed=True, standings=standings, store=store, at_us=at_us, lease=lease)
    return refused(claims, claims[refusing - 1], standings=standings, wait_us=wait_us)


def refused(claims: Iterable[Claim], longest: Claim, *, standings: tuple[Standing, ...], wait_us: int) -> Verdict:
    """The verdict on a request that must wait `wait_us` for `longest`, unless one of `claims` can never be met."""
    too_large = next((each for each in claims if each.amount > each.limit), None)
    if too_large is not None:
        wait_us = too_large.window_s * 1_000_000
    return Verdict(
        allowed=False,
        standings=standings,
        refusing=too_large or longest,
        retry_after_s=max(wait_us / 1e6, 0.001),
        too_large=too_large is not None,
    )


def explain(verdict: Verdict) -> str:
    """A refusal for the person behind the request: which limit, and what to do."""
    claim = verdict.refusing
    if claim is None:
        return "The request is within its limits."
    of_model = f" for {claim.model}" if claim.model else ""
    owner = f"This {_WORDS[claim.scope]}"
    if claim.kind == "streams":
        return (
            f"{owner} has its {claim.limit} streams{of_model} open at once. "
            f"Let one end, then try again; the next attempt is welcome in {verdict.retry_after_s:.0f} s."
        )
    span = "minute" if claim.window_s == 60 else f"{claim.window_s} s"
    if verdict.too_large:
        return (
            f"The request is counted as {claim.amount} {claim.kind}, and this {_WORDS[claim.scope]} may use "
            f"{claim.limit} in any {span}{of_model}. Make the request smaller, or ask for a higher limit."
        )
    done = "sent" if claim.kind == "requests" else "used"
    return (
        f"{owner} has {done} its {claim.limit} {claim.kind} of this {span}{of_model}. "
        f"Try again in {verdict.retry_after_s:.1f} s."
    )
