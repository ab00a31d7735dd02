"""Passwords: which are taken, and how they are stored and checked without ever blocking the loop.

argon2id with OWASP's parameters (19 MiB, two passes, one lane; about 40 ms), in a few threads with a bounded queue.
Which passwords are taken follows NIST SP 800-63B: length and a list of common ones, no rules of composition.
"""

import asyncio
import itertools
import re
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from ali.kernel.errors import Unavailable, Unprocessable

SHORTEST: Final = 12
LONGEST: Final = 256
_FEWEST_DIFFERENT: Final = 5

_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_DUMMY: Final = "$argon2id$v=19$m=19456,t=2,p=1$kMbPP2o5QiTocqF54qtn8g$9lVB/0nyIjImzeqs1h2o2qgSDuXqGFnLGUFeA/xuBiQ"
"""A hash of nothing that anybody knows: an unknown account costs what a known one does."""

_UNDISGUISED: Final = str.maketrans("@4301!5$7", "aaeoiisst")
_NOT_LETTERS: Final = re.compile(r"^[\W\d_]+|[\W\d_]+$")

Result = TypeVar("Result")


class PasswordRefused(Unprocessable):
    """422: the password is too short, too long, too common, or the account's own e-mail address."""

    code = "password_refused"


class HashingBusy(Unavailable):
    """503: as many passwords are being checked, and waiting for it, as this process takes."""

    code = "sign_in_busy"

    retry_after_s: Final = 2.0


class Passwords:
    """Hashes and checks passwords: `at_once` in threads, `waiting` more in line, and no more than that.

    Each running one holds 19 MiB. The first new password also loads the list of common ones (about 50 ms, 18 MB).
    """

    def __init__(self, *, at_once: int = 2, waiting: int = 64) -> None:
        self._threads = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="ali-passwords")
        self._places = threading.BoundedSemaphore(at_once + waiting)

    async def hashed(self, password: str, *, email: str) -> str:
        """A new password as it is stored. Raises `PasswordRefused` or `HashingBusy`."""
        return await self._in_thread(lambda: _checked_and_hashed(password, email=email))

    async def matches(self, password: str, *, stored: str | None) -> bool:
        """Whether `password` is the one of `stored`; for an account that is unknown or has none (`None`), False after
        the same work. Raises `HashingBusy`.
        """
        return await self._in_thread(lambda: _matches(password, stored=stored))

    def close(self) -> None:
        """Take no more, and wait for those that run."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if not self._places.acquire(blocking=False):
            raise HashingBusy("Too many sign-ins are being checked at once. Try again in a few seconds.")
        try:
            future = self._threads.submit(work)
        except RuntimeError as error:  # closed
            self._places.release()
            raise HashingBusy("The service is shutting down. Try again in a few seconds.") from error
        # The place is the thread's, not the awaiting task's: who is cancelled while it runs does not free it.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def needs_rehash(stored: str) -> bool:
    """Whether `stored` was made with other parameters than today's: hash anew at the next sign-in that succeeds."""
    try:
        return _HASHER.check_needs_rehash(stored)
    except InvalidHashError:
        return True


def check_password(password: str, *, email: str) -> str:
    """`password` as it is hashed (Unicode NFC). Raises `PasswordRefused`. The first call loads a list, off the loop."""
    try:
        normal = unicodedata.normalize("NFC", password)
        normal.encode()
    except UnicodeEncodeError as error:
        raise PasswordRefused("This password has characters that are no text. Choose another one.") from error
    if not SHORTEST <= len(normal) <= LONGEST:
        raise PasswordRefused(f"A password has {SHORTEST} to {LONGEST} characters; a sentence is easy to remember.")
    plain = normal.casefold()
    address = unicodedata.normalize("NFC", email).casefold()
    if plain.strip() in {address, address.partition("@")[0]}:
        raise PasswordRefused("Your own e-mail address is no password. Choose another one.")
    if _is_common(plain):
        raise PasswordRefused("This password is among the first that anybody tries. Choose another one.")
    return normal


def _checked_and_hashed(password: str, *, email: str) -> str:
    return _HASHER.hash(check_password(password, email=email))


def _matches(password: str, *, stored: str | None) -> bool:
    given = unicodedata.normalize("NFC", password[: LONGEST * 4]).encode("utf-8", "surrogatepass")
    try:
        _HASHER.verify(stored or _DUMMY, given)
    except (Argon2Error, InvalidHashError):
        return False
    return stored is not None


def _is_common(plain: str) -> bool:
    """Whether `plain` (case-folded) is of the list, also with digits and signs around it, in disguise or repeated; or a
    run as `abcdefgh…` or `1234…`; or made of a handful of characters.
    """
    steps = {(ord(after) - ord(before)) % 10 for before, after in itertools.pairwise(plain)}
    if len(set(plain)) < _FEWEST_DIFFERENT or (len(steps) == 1 and plain.isalnum()):
        return True
    common = _common_passwords()
    spellings = {plain, plain.translate(_UNDISGUISED)}
    spellings |= {_NOT_LETTERS.sub("", spelling) for spelling in spellings}
    spellings |= {_unit(spelling) for spelling in spellings}
    return not common.isdisjoint(spellings)


def _unit(text: str) -> str:
    """The shortest string of which `text` is a repetition: itself, where it is none."""
    return text[: (text + text).find(text, 1)] if text else text


@cache
def _common_passwords() -> frozenset[str]:
    """30,000 passwords of breaches, the most frequent first."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - 50 ms and 18 MB that only new passwords need

    return frozenset(FREQUENCY_LISTS["passwords"])
