"""The client: each hop is checked, resolved once, checked again and pinned; then one exchange on a fresh connection."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from socket import IPPROTO_TCP, SOCK_STREAM
from typing import Final
from urllib.parse import urljoin

from ali.kernel import log
from ali.kernel.outbound.addresses import is_public
from ali.kernel.outbound.destination import Destination, check_url
from ali.kernel.outbound.errors import OutboundFailed, OutboundRefused, OutboundTimedOut
from ali.kernel.outbound.exchange import OutboundAnswer, OutboundReply, exchange

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to all its addresses, the best first. Raises OSError where there is none."""
Dial = Callable[..., Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""`asyncio.open_connection`, always called with an address and never with a name."""

MOST_REDIRECTS: Final = 3
_MOST_ADDRESSES_TRIED: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEPT_ACROSS_HOSTS: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
_READ_AHEAD_BYTES: Final = 64 * 1024


async def resolve(host: str, port: int) -> Sequence[str]:
    """The operating system's answer, asked in a thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM, proto=IPPROTO_TCP)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class OutboundClient:
    """Calls addresses that somebody else chose. Holds no connection, so there is nothing to close.

    `allowed`: the operator's exceptions (`read_allowed`). `tls`: whom to trust; by default the system's authorities.
    """

    def __init__(
        self,
        *,
        allowed: Collection[tuple[str, int]] = (),
        resolver: Resolver = resolve,
        dial: Dial = asyncio.open_connection,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = frozenset(allowed)
        self._resolve = resolver
        self._dial = dial
        self._given_tls = tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made when first needed: it reads the system's authorities, some 20 ms."""
        return self._given_tls or ssl.create_default_context()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        deadline_s: float,
        limit_bytes: int,
        follow_redirects: bool = False,
    ) -> OutboundReply:
        """The whole answer, whatever its status; at most `limit_bytes` of body, within `deadline_s` for everything.

        Redirects are answers like others, unless `follow_redirects`: then at most three, each through the whole guard,
        never from https to http, and with none of the request's own headers at another host. Raises `OutboundRefused`,
        `OutboundFailed`, `OutboundTimedOut`, and ValueError for headers that are the caller's mistake.
        """
        destination = self._checked(url)
        sent = dict(headers or {})
        try:
            async with asyncio.timeout(deadline_s):
                for _ in range(MOST_REDIRECTS + 1):
                    async with self._hop(
                        method, destination, headers=sent, body=body, limit_bytes=limit_bytes
                    ) as answer:
                        reply = await answer.whole()
                    location = reply.headers.get("location")
                    if not follow_redirects or reply.status not in _REDIRECTS or location is None:
                        return reply
                    url = _joined(url, location)
                    following = self._checked(url)
                    if destination.scheme == "https" and following.scheme != "https":
                        raise _refusal("The address redirects from https to http.", following.host, why="downgrade")
                    if following.origin != destination.origin:
                        sent = {name: value for name, value in sent.items() if name.lower() in _KEPT_ACROSS_HOSTS}
                    if reply.status == 303 or (reply.status in {301, 302} and method == "POST"):
                        method, body = ("HEAD" if method == "HEAD" else "GET"), b""
                    destination = following
        except TimeoutError as error:
            raise _timed_out(destination.host, deadline_s) from error
        raise OutboundFailed(f"The address redirects more than {MOST_REDIRECTS} times. Use the last one directly.")

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        deadline_s: float,
        limit_bytes: int,
    ) -> AsyncIterator[OutboundAnswer]:
        """The answer as it comes, for a body that may be left before its end; redirects are answers like others.

        Leaving closes the connection. The deadline is for everything, whatever the caller does meanwhile included.
        Raises as `request`.
        """
        destination = self._checked(url)
        deadline = asyncio.timeout(deadline_s)
        try:
            async with (
                deadline,
                self._hop(method, destination, headers=headers or {}, body=body, limit_bytes=limit_bytes) as answer,
            ):
                yield answer
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise _timed_out(destination.host, deadline_s) from error

    def _checked(self, url: str) -> Destination:
        try:
            return check_url(url, allowed=self._allowed)
        except OutboundRefused as error:
            log.info("outbound.refused", why="url", message=error.message)
            raise

    @asynccontextmanager
    async def _hop(
        self, method: str, destination: Destination, *, headers: Mapping[str, str], body: bytes, limit_bytes: int
    ) -> AsyncIterator[OutboundAnswer]:
        host = destination.host
        addresses = await self._addresses(destination)
        try:
            reader, writer = await self._connect(destination, addresses)
        except ssl.SSLError as error:
            raise OutboundFailed(
                f"{host} has no certificate that this service trusts, or none for its name. Mend its certificate."
            ) from error
        except OSError as error:
            raise OutboundFailed(f"{host} accepts no connection. Check the address, or try again later.") from error
        try:
            yield await exchange(
                reader,
                writer,
                method=method,
                destination=destination,
                headers=headers,
                body=body,
                limit_bytes=limit_bytes,
            )
        finally:
            writer.transport.abort()

    async def _addresses(self, destination: Destination) -> list[str]:
        """All addresses of the host, looked up once; each was checked."""
        try:
            found = list(await self._resolve(destination.host, destination.port))
        except (OSError, UnicodeError) as error:
            raise OutboundFailed(f"{destination.host} has no address. Check the host's name.") from error
        if not found:
            raise OutboundFailed(f"{destination.host} has no address. Check the host's name.")
        if not destination.allowed and not all(map(is_public, found)):
            raise _refusal(
                f"{destination.host} is not a public address. If it is meant, the operator can name it in "
                "ALI_OUTBOUND_ALLOWED_HOSTS.",
                destination.host,
                why="address",
            )
        return found

    async def _connect(
        self, destination: Destination, addresses: Sequence[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the checked addresses. TLS knows the host by its name, in SNI and in the certificate."""
        secure = destination.scheme == "https"
        failure: OSError | None = None
        for address in addresses[:_MOST_ADDRESSES_TRIED]:
            try:
                return await self._dial(
                    address,
                    destination.port,
                    ssl=self._tls if secure else None,
                    server_hostname=destination.host if secure else None,
                    limit=_READ_AHEAD_BYTES,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure or ConnectionError


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""  # refused like every other address that cannot be read


def _timed_out(host: str, deadline_s: float) -> OutboundTimedOut:
    return OutboundTimedOut(f"{host} did not answer within {deadline_s:g} s. Try again later.")


def _refusal(message: str, host: str, *, why: str) -> OutboundRefused:
    log.info("outbound.refused", why=why, host=host)
    return OutboundRefused(message)
