"""The embedded server's credentials in the home folder, readable by its owner alone."""

import os
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ali.ops.embedded import cluster
from ali.ops.embedded.places import Places

DSN_FILES: Final = {cluster.OWNER: "database-url", cluster.SERVICE: "service-database-url"}
"""The connection string of each role that logs in, by the name of its file."""


def dsn_of(role: str, password: str, *, run: Path) -> str:
    """The libpq URL of a role on the socket in `run`."""
    # The port names the socket's file; left out, a PGPORT in the user's environment would choose another.
    place = f"host={quote(str(run), safe='/')}&port=5432"
    return f"postgresql://{role}:{quote(password, safe='')}@/{cluster.DATABASE}?{place}"


def keep(places: Places, *, name: str, content: str) -> None:
    """Write a credential, whole or not at all, if it is not there already."""
    path = places.credentials / name
    if _read(path) == content:
        return
    fresh = path.with_name(f".{name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(handle)
    fresh.replace(path)


def kept_password(places: Places, *, role: str) -> str | None:
    """The password in the role's kept connection string; None when it is lost or is none of ours."""
    content = _read(places.credentials / DSN_FILES[role])
    parts = urlsplit(content or "")
    if parts.scheme != "postgresql" or parts.username != role or not parts.password:
        return None
    return unquote(parts.password)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except FileNotFoundError:
        return None
