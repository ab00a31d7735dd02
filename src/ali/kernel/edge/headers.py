"""The headers that every answer carries, unless what answers has set its own.

They are for browsers: no answer of an API may be framed, sniffed, run, embedded by others or kept in a cache. A page
that needs more (the console) sets its own `content-security-policy` and `cache-control`, and these stay away.
Sources: OWASP's REST and HTTP headers cheat sheets.
"""

from typing import Final

RawHeaders = list[tuple[bytes, bytes]]

_ALWAYS: Final[RawHeaders] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"permissions-policy", b"accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_OVER_HTTPS: Final[RawHeaders] = [*_ALWAYS, (b"strict-transport-security", b"max-age=31536000")]
_NAMES: Final = frozenset(name for name, _ in _OVER_HTTPS)


def missing(own: RawHeaders, *, https: bool) -> RawHeaders:
    """What an answer with the headers `own` lacks. Names in `own` are lower-case, as ASGI has them."""
    wanted = _OVER_HTTPS if https else _ALWAYS
    names = {name for name, _ in own}
    if names.isdisjoint(_NAMES):
        return wanted
    return [header for header in wanted if header[0] not in names]
