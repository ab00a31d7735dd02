"""How an issuer is asked: through a function that the composition root passes in, and that guards where it leads."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from ali.kernel.errors import AliError

DEADLINE_S: Final = 10.0
LARGEST_BYTES: Final = 512 * 1024
QUIET_AFTER_FAILURE: Final = timedelta(seconds=5)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)

Document = TypeVar("Document")


class IssuerFailed(AliError):
    """502: the issuer of OpenID Connect does not answer, or not as the protocol demands."""

    status = 502
    code = "openid_issuer_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer, read whole; the names of `headers` in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Fetch = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Reply]]
"""(method, URL, headers, body) to the reply. Follows no redirect. Raises `AliError` or OSError."""


async def asked(
    fetch: Fetch, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Reply:
    """The issuer's reply, within `DEADLINE_S` and `LARGEST_BYTES`. Raises `IssuerFailed`, or what `fetch` refuses."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            reply = await fetch(method, url, {"accept": "application/json", **(headers or {})}, body)
    except OSError as error:  # TimeoutError is one
        raise IssuerFailed(
            "The issuer's server does not answer. Try again shortly; if it lasts, tell the administrator."
        ) from error
    if len(reply.body) > LARGEST_BYTES:
        raise IssuerFailed("The issuer's answer is larger than any that the protocol needs. Tell the administrator.")
    return reply


async def fetched_object(fetch: Fetch, url: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at `url`. Raises `IssuerFailed`."""
    reply = await asked(fetch, "GET", url, headers=headers)
    if reply.status != 200:
        raise IssuerFailed(f"The issuer answered with status {reply.status}. Try again; if it lasts, see its own log.")
    return json_object(reply.body)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises `IssuerFailed`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise IssuerFailed("The issuer's answer is not JSON. Check the issuer in ALI_OPENID_PROVIDERS.") from error
    if not isinstance(value, dict):
        raise IssuerFailed("The issuer's answer is no JSON object. Check the issuer in ALI_OPENID_PROVIDERS.")
    return value


class Kept(Generic[Document]):
    """What was fetched last. Those who want it at once wait for one request; after a failure nobody asks for a while,
    so that a line of waiting sign-ins does not become a line of deadlines.
    """

    def __init__(self, read: Callable[[], Awaitable[Document]]) -> None:
        self._read = read
        self._document: Document | None = None
        self._read_at = _NEVER
        self._failed_at = _NEVER
        self._reading = asyncio.Lock()

    async def no_older_than(self, age: timedelta, *, now: datetime) -> Document:
        """The document, fetched anew where it is `age` old. Raises what reading it raises."""
        async with self._reading:
            if self._document is not None and now - self._read_at < age:
                return self._document
            if now - self._failed_at < QUIET_AFTER_FAILURE:
                raise IssuerFailed("The issuer's server has just failed to answer. Try again in a few seconds.")
            try:
                self._document = await self._read()
            except AliError:
                self._failed_at = now
                raise
            self._read_at = now
            return self._document
