"""What a file is: by its first bytes, or else by its name."""

import mimetypes
from typing import Final

PDF: Final = "application/pdf"
IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models are shown as images."""

_MAGIC: Final = (
    (b"%PDF-", PDF),
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


def media_type_of(name: str, content: bytes) -> str:
    """What a file is, by its first bytes, or else by its name."""
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    return mimetypes.guess_type(name)[0] or "text/plain"
