"""Whose machine a request comes from, and over which scheme, where trusted proxies stand between.

Anybody can set `X-Forwarded-For`; only what a trusted proxy has added is true, and each proxy adds on the right. So the
list is read from the right, and the first address that is no trusted proxy is the client. What stands left of it is
hearsay. Source: RFC 7239, section 8.1.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]

_MOST_HOPS: Final = 32
_REMEMBERED: Final = 4096
_WITH_PORT: Final = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\](?::\d{1,5})?|(?P<v4>[0-9.]+):\d{1,5}")
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=(?:"([^"\\]*)"|([^\s";,]*))\s*')


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What is known of the client: its address, and the scheme it used, where a trusted proxy tells."""

    address: str | None = None
    scheme: Literal["http", "https"] | None = None


class Proxies:
    """The proxies that an operator trusts, and the one header in which they tell the client's address.

    Only one header is read: a proxy that writes the one passes on the other as the client made it up.
    """

    def __init__(self, trusted: Iterable[Network], *, header: ForwardedHeader = "x-forwarded-for") -> None:
        self._trusted = tuple(trusted)
        self._header = header.encode()
        self._trusts_text = lru_cache(maxsize=_REMEMBERED)(self._judge)

    def hop(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> Hop:
        """What the proxies say of a request whose connection comes from `peer`; nothing unless `peer` is trusted."""
        if peer is None or not self._trusts_text(peer):
            return Hop()
        said: list[bytes] = []
        protos: list[bytes] = []
        for name, value in headers:
            if name == self._header:
                said.append(value)
            elif name == b"x-forwarded-proto":
                protos.append(value)
        entries = b",".join(said).decode("latin-1").split(",")
        if self._header == b"forwarded":
            return self._read([_element(entry) for entry in entries])
        scheme = b",".join(protos).decode("latin-1").rpartition(",")[2].strip()
        found = self._read([(entry.strip(), "") for entry in entries])
        return Hop(address=found.address, scheme=_scheme(scheme))

    def _read(self, entries: Sequence[tuple[str, str]]) -> Hop:
        """The right-most entry that is no trusted proxy. An entry that is no address ends the reading: what stands left
        of it was passed on by nobody who is known.
        """
        hop = Hop()
        for text, scheme in entries[: -_MOST_HOPS - 1 : -1]:
            address = _address(text)
            if address is None:
                break
            hop = Hop(address=str(address), scheme=_scheme(scheme))
            if not self._trusts(address):
                break
        return hop

    def _judge(self, text: str) -> bool:
        address = _address(text)
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _scheme(text: str) -> Literal["http", "https"] | None:
    match text.lower():
        case "https":
            return "https"
        case "http":
            return "http"
        case _:
            return None


def _address(text: str) -> Address | None:
    """An address with or without port; IPv4 within IPv6 as IPv4. None for anything else, obfuscated names included."""
    found = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address((found["v6"] or found["v4"]) if found else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id is not None else address.ipv4_mapped or address
    return address


def _element(text: str) -> tuple[str, str]:
    """`for` and `proto` of one element of `Forwarded`; empty where they are missing or the element is malformed."""
    pairs: dict[str, str] = {}
    for part in text.split(";"):
        found = _PAIR.fullmatch(part)
        if found is None or found[1].lower() in pairs:
            return "", ""
        pairs[found[1].lower()] = found[2] if found[2] is not None else found[3]
    return pairs.get("for", ""), pairs.get("proto", "")
