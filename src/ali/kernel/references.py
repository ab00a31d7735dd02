"""Secrets given by reference: `file:///run/secrets/NAME`, read once at start."""

from pathlib import Path
from urllib.parse import urlsplit


def resolved(value: object) -> object:
    """A `file://` reference as the content of its file, one trailing newline off; anything else as it is."""
    if isinstance(value, str) and value.startswith("file://"):
        path = Path(urlsplit(value).path)
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n")
        except OSError as error:
            raise ValueError(f"the secret's file {path} cannot be read: {error.strerror}") from error
    return value
