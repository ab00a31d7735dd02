"""Where a URL leads, read so that no two parsers can differ on it; what is not written plainly is refused.

Nothing is looked up here. Parsers that disagree are how guards are passed (Open WebUI CVE-2026-45401), so nothing is
repaired, stripped or guessed: no userinfo, escapes in the host, backslashes, other digits than ASCII's, or IPv4 in any
spelling but four decimal numbers.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ali.kernel.outbound.addresses import is_public
from ali.kernel.outbound.errors import OutboundRefused

LONGEST_URL: Final = 2048
PORTS: Final = frozenset({443, 8443})

_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[!-~]+")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INNER_NAMES: Final = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|home\.arpa|arpa|test|invalid"
    r"|onion|svc|cluster|ec2|metadata\.goog)"
)
"""Names of machines, networks and metadata services (`metadata.google.internal`, `kubernetes.default.svc`), and those
that RFC 6761, 6762 and 8375 keep out of the public DNS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL taken apart. `host` is lower-case and without brackets; `allowed` if the operator named it."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as they go into the request line."""
    allowed: bool

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials belong to."""
        return (self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """The value of the `Host` header: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(self.scheme) else f"{host}:{self.port}"


def check_url(url: str, *, allowed: Collection[tuple[str, int]] = ()) -> Destination:
    """Take `url` apart. Raises `OutboundRefused` for what may not be called whatever its name resolves to.

    `allowed` are host and port of the exceptions that the operator has made (`read_allowed`): these may be private, at
    any port, and plain http.
    """
    if len(url) > LONGEST_URL:
        raise OutboundRefused(f"The URL is longer than {LONGEST_URL} characters.")
    if not _PLAIN.fullmatch(url) or "\\" in url:
        raise OutboundRefused(
            "The URL holds spaces, control characters, backslashes or letters beyond ASCII. "
            "Percent-encode its path, and write an international host name as xn--…."
        )
    found = _URL.fullmatch(url)
    if found is None:
        raise OutboundRefused("The URL must be absolute and look like https://host/path.")
    scheme = found["scheme"].lower()
    host, port = _host_and_port(found["authority"], scheme=scheme)
    exempt = (host, port) in allowed
    if not exempt:
        _require_public(scheme, host, port)
    target = found["target"]
    return Destination(
        scheme=scheme,
        host=host,
        port=port,
        target=target if target.startswith("/") else f"/{target}",
        allowed=exempt,
    )


def read_allowed(entries: Iterable[str]) -> frozenset[tuple[str, int]]:
    """The operator's exceptions, each `host:port`. Raises ValueError for one that is not."""
    found = set()
    for entry in entries:
        try:
            host, port = _host_and_port(entry, scheme="")
        except OutboundRefused as error:
            raise ValueError(f"{entry!r} must be host:port, such as idp.example.internal:8443") from error
        found.add((host, port))
    return frozenset(found)


def _default_port(scheme: str) -> int:
    return {"https": 443, "http": 80}.get(scheme, 0)


def _host_and_port(authority: str, *, scheme: str) -> tuple[str, int]:
    """The host in one spelling, and the port; well formed, whatever they lead to."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise OutboundRefused(
            "The URL's host must be a plain name or address, with nothing but a port beside it: no user name or "
            "password, no escapes."
        )
    port = int(found["port"]) if found["port"] else _default_port(scheme)
    if not 0 < port < 65536:
        raise OutboundRefused("The URL's port must be a number from 1 to 65535.")
    host = found["host"].lower()
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1]).compressed, port
        except ValueError as error:
            raise OutboundRefused("The URL's host is not an IPv6 address.") from error
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise OutboundRefused("The URL's host is not a host name. Write it without a dot at its end.")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host)), port
        except ValueError as error:
            raise OutboundRefused("Write an IPv4 address as four decimal numbers without leading zeros.") from error
    return host, port


def _require_public(scheme: str, host: str, port: int) -> None:
    exception = "If it is meant, the operator can name it in ALI_OUTBOUND_ALLOWED_HOSTS."
    if scheme != "https":
        raise OutboundRefused(f"The URL must be https. {exception}")
    if port not in PORTS:
        raise OutboundRefused(f"The URL's port must be one of {', '.join(map(str, sorted(PORTS)))}. {exception}")
    is_address = ":" in host or host.rpartition(".")[2].isdigit()
    if is_address and not is_public(host):
        raise OutboundRefused(f"The URL's address is not public. {exception}")
    if not is_address and ("." not in host or _INNER_NAMES.fullmatch(host)):
        raise OutboundRefused(f"The URL's host is a name of an inner network. {exception}")
