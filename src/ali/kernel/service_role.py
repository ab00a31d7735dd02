"""The database role that serves traffic, and how a connection takes it."""

from typing import Final
from urllib.parse import quote

SERVICE_ROLE: Final = "ali_service"
"""The database role that carries the service's rights: no owner of anything, bound by row-level security."""


def with_role(dsn: str, role: str) -> str:
    """A libpq connection string, URL or key-value, under which each session begins with `set role`.

    A startup option, so that no round trip is spent; a pooler in transaction mode refuses it, and needs a login of the
    service's own instead.
    """
    setting = f"-c role={role}"
    if "://" not in dsn:
        return f"{dsn} options='{setting}'"
    return f"{dsn}{'&' if '?' in dsn else '?'}options={quote(setting, safe='')}"
