"""What a request with an idempotency key asks for: the key itself, and all that tells it from another request. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ali.features.chat.gateway import Scope
from ali.kernel.errors import InvalidRequest, PayloadTooLarge

HEADER: Final = b"idempotency-key"
LONGEST_KEY: Final = 255

_PRINTABLE: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_MEANINGFUL: Final = (b"openai-project", b"anthropic-version", b"anthropic-beta", b"x-ali-cache-ttl", b"content-type")
"""Headers that change what is asked. All others may differ between a request and its repetition: clients count their
attempts in some, and a person's access token is renewed.
"""
_BOUNDARY: Final = re.compile(rb';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)


class IdempotencyKeyInvalid(InvalidRequest):
    """400: the Idempotency-Key header is no key, or there are several."""

    code = "idempotency_key_invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A keyed request: `parts` in a fixed order and number, byte for byte."""

    key: bytes
    parts: tuple[bytes, ...]


def key_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The one Idempotency-Key. Raises `IdempotencyKeyInvalid`."""
    keys = [value for name, value in headers if name == HEADER]
    if len(keys) != 1 or not _PRINTABLE.fullmatch(keys[0]):
        raise IdempotencyKeyInvalid(
            f"The Idempotency-Key header must be one value of 1 to {LONGEST_KEY} printable ASCII characters. Send a "
            "random one for each thing that you want done, such as a UUID.",
            param="Idempotency-Key",
        )
    return keys[0]


def asked_for(scope: Scope, *, key: bytes, body: bytes) -> Asked:
    """What `scope` and its whole `body` ask for.

    A multipart body counts without its boundary, which clients draw anew for each attempt.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _MEANINGFUL:
            headers[name] = headers[name] + b"\n" + value if name in headers else value
    content_type = headers.get(b"content-type", b"")
    if content_type[:10].lower() == b"multipart/" and (found := _BOUNDARY.search(content_type)):
        boundary = found[1] or found[2]
        headers[b"content-type"] = content_type.replace(boundary, b"")
        body = body.replace(b"--" + boundary, b"--")
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    return Asked(
        key=key,
        parts=(
            scope["method"].encode(),
            path,
            scope.get("query_string", b""),
            *(b"=" + headers[name] if name in headers else b"" for name in _MEANINGFUL),
            body,
        ),
    )


def refuse_large(size_bytes: int, *, limit_bytes: int) -> None:
    """Raises `PayloadTooLarge` above the limit: a body that cannot be held cannot be told from another."""
    if size_bytes > limit_bytes:
        raise PayloadTooLarge(
            f"A request with an Idempotency-Key may have a body of at most {limit_bytes} bytes here. Send less, leave "
            "the header out, or ask the operator to raise ALI_MAX_BODY_BYTES."
        )
