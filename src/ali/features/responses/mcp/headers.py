"""What a request may send along to an MCP server: its own credentials, and nothing that is the transport's."""

import re
from typing import Final

from pydantic import SecretStr

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_object, caller_text

_MOST: Final = 32
_LARGEST_BYTES: Final = 16 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~\t]*[!-~])?")
_TOKEN: Final = re.compile(r"[!-~]+")
_OURS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "last-event-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
_OUR_PREFIXES: Final = ("mcp-", "proxy-", "sec-", "x-forwarded-")


def read_headers(value: object, *, param: str) -> dict[str, str]:
    """The tool's `headers`, their names in lower case. Raises `InvalidRequest`; no message holds a value."""
    if value is None:
        return {}
    written = caller_object(value, param=param)
    if len(written) > _MOST:
        raise InvalidRequest(f"{param} has more than {_MOST} headers.", param=param)
    found: dict[str, str] = {}
    for name, text in written.items():
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise InvalidRequest(f"{param} has a name that is no HTTP header's.", param=param)
        if lower in _OURS or lower.startswith(_OUR_PREFIXES):
            raise InvalidRequest(f"{param}.{name} belongs to the transport. Leave it out.", param=f"{param}.{name}")
        if lower in found:
            raise InvalidRequest(f"{param}.{name} stands twice, in two spellings.", param=f"{param}.{name}")
        if not isinstance(text, str) or not _VALUE.fullmatch(text):
            raise InvalidRequest(
                f"{param}.{name} must be a string of visible ASCII, without spaces around it.", param=f"{param}.{name}"
            )
        found[lower] = text
    if sum(len(name) + len(text) for name, text in found.items()) > _LARGEST_BYTES:
        raise InvalidRequest(f"{param} is larger than {_LARGEST_BYTES} bytes.", param=param)
    return found


def read_authorization(value: object, *, param: str) -> SecretStr | None:
    """The tool's `authorization`: a bearer token. Raises `InvalidRequest`; no message holds it."""
    if value is None:
        return None
    token = caller_text(value, param=param)
    if not _TOKEN.fullmatch(token) or len(token) > _LARGEST_BYTES:
        raise InvalidRequest(
            f"{param} must be an access token, without the word Bearer: visible ASCII, at most {_LARGEST_BYTES} bytes.",
            param=param,
        )
    return SecretStr(token)
