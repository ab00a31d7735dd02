"""What the sender of a file asks for beside its bytes: its name, what it is for, and how long it is kept."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

from ali.features.files.form import FileForm
from ali.features.files.naming import MOST_BATCH_BYTES, UPLOADED, USER_DATA
from ali.kernel.errors import InvalidRequest, PayloadTooLarge

BATCH_TTL_S: Final = 30 * 86_400
"""What is for a batch, or comes of one, expires after so long unless its sender says otherwise."""
SHORTEST_TTL_S: Final = 3600
LONGEST_TTL_S: Final = 2_592_000
LONGEST_MESSAGES_TTL_S: Final = 7_776_000
"""In Anthropic's dialect. Source: its API reference, "Upload File"."""
_NAMELESS: Final = "unnamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a file is to be. `ttl_s`: how long it is kept; None: until it is deleted."""

    name: str
    purpose: str
    ttl_s: int | None
    media_type: str | None = None


def openai_wishes(form: FileForm, *, size_bytes: int) -> Wishes:
    """What a form of OpenAI's asks for a file of this size. Raises `InvalidRequest`, `PayloadTooLarge`."""
    name = form.require_file() or "file"
    purpose = read_purpose(form.fields.get("purpose"), size_bytes=size_bytes)
    anchor, seconds = (form.fields.get(f"expires_after[{each}]") for each in ("anchor", "seconds"))
    ttl_s = read_ttl(anchor, None if seconds is None else _whole(seconds), purpose=purpose)
    return Wishes(name=name, purpose=purpose, ttl_s=ttl_s, media_type=form.media_type)


def read_purpose(purpose: str | None, *, size_bytes: int) -> str:
    """What a file of this size is for. Raises `InvalidRequest`, `PayloadTooLarge`."""
    if purpose not in UPLOADED:
        raise InvalidRequest(f"purpose is one of: {', '.join(UPLOADED)}.", param="purpose")
    if purpose == "batch" and size_bytes > MOST_BATCH_BYTES:
        raise PayloadTooLarge(f"The input of a batch has at most {MOST_BATCH_BYTES} bytes. Split it.", param="file")
    return purpose


def read_ttl(anchor: str | None, seconds: int | None, *, purpose: str) -> int | None:
    """`expires_after` in seconds; where neither is given, what goes with the purpose. Raises `InvalidRequest`."""
    if anchor is None and seconds is None:
        return BATCH_TTL_S if purpose == "batch" else None
    if anchor != "created_at":
        raise InvalidRequest("expires_after.anchor is created_at.", param="expires_after.anchor")
    if seconds is None or not SHORTEST_TTL_S <= seconds <= LONGEST_TTL_S:
        raise InvalidRequest(
            f"expires_after.seconds is a whole number from {SHORTEST_TTL_S} to {LONGEST_TTL_S}.",
            param="expires_after.seconds",
        )
    return seconds


def anthropic_wishes(form: FileForm) -> Wishes:
    """What a form of Anthropic's asks for; it has no purposes. Raises `InvalidRequest`."""
    return Wishes(
        name=_last_component(form.require_file()) or _NAMELESS + _extension_of(form.media_type),
        purpose=USER_DATA,
        ttl_s=_anthropic_ttl(form.fields),
        media_type=form.media_type,
    )


def _anthropic_ttl(fields: Mapping[str, str]) -> int | None:
    given = fields.get("expires_in_seconds")
    if given is None:
        return None
    seconds = _whole(given)
    if not SHORTEST_TTL_S <= seconds <= LONGEST_MESSAGES_TTL_S:
        raise InvalidRequest(
            f"expires_in_seconds is a whole number from {SHORTEST_TTL_S} to {LONGEST_MESSAGES_TTL_S}.",
            param="expires_in_seconds",
        )
    return seconds


def _whole(text: str) -> int:
    """A whole number; for what is none, one that no bound allows."""
    return int(text) if re.fullmatch(r"[0-9]{1,8}", text) else -1


def _last_component(name: str) -> str:
    last = PureWindowsPath(PurePosixPath(name).name).name
    return "" if last in {".", ".."} else last


def _extension_of(media_type: str | None) -> str:
    return (mimetypes.guess_extension(media_type) if media_type else None) or ""
