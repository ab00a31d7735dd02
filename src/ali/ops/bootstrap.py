"""What an installation needs before its first request: a secret of its own, and somebody who may use it."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import psycopg

from ali.features.keys.secret import digest, hint, mint
from ali.kernel.errors import Unavailable
from ali.kernel.ids import uuid7
from ali.kernel.settings import Settings
from ali.ops.database import connect

OWNER_KEY = "owner-api-key"
HMAC_SECRET = "api-key-hmac-secret"  # noqa: S105 - the name of a file

_SHORTEST_SECRET = 32
_LOCK = 0x616C69_0002

Report = Callable[[str], None]


class SecretMissing(Unavailable):
    """A secret that must be the operator's own was not given, or is none."""

    code = "secret_missing"


def owner_key_file(settings: Settings) -> Path:
    """Where the first owner's API key is kept."""
    return settings.credentials / OWNER_KEY


def api_key_hmac_secret(settings: Settings) -> bytes:
    """The key under which API keys are stored: `ALI_API_KEY_HMAC_SECRET`; embedded, one made once in the home folder.

    Raises `SecretMissing`: with a database of the operator's, which several replicas and a backup share, a secret made
    here would be another on each.
    """
    if settings.api_key_hmac_secret is not None:
        secret = settings.api_key_hmac_secret.get_secret_value()
        if len(secret) < _SHORTEST_SECRET:
            raise SecretMissing(
                f"ALI_API_KEY_HMAC_SECRET is shorter than {_SHORTEST_SECRET} characters. {_HOW_TO_MAKE_ONE}"
            )
        return secret.encode()
    if not settings.embedded:
        raise SecretMissing(
            "DATABASE_URL is set and ALI_API_KEY_HMAC_SECRET is not: API keys are stored under it, so every replica "
            f"needs the same. {_HOW_TO_MAKE_ONE}"
        )
    path = settings.credentials / HMAC_SECRET
    with contextlib.suppress(FileNotFoundError):
        return _content(path)
    fresh = _write_private(path, secrets.token_hex(32))
    try:
        # Unlike a rename, a link never replaces what another process has made in the meantime.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
    return _content(path)


_HOW_TO_MAKE_ONE = "Make one with `openssl rand -hex 32` and keep it: without it every API key is void."


def ensure_first_tenant(dsn: str, settings: Settings, *, report: Report) -> str | None:
    """Where there is no organization, make one with a project and an owner's API key, and return that key's secret.

    The secret is kept in `home/credentials/owner-api-key` too, and is nowhere else: the caller shows it once. Returns
    None where an organization exists. The schema must be current. Raises `SecretMissing` or `DatabaseUnreachable`.
    """
    hmac_secret = api_key_hmac_secret(settings)
    path = owner_key_file(settings)
    with connect(dsn) as connection:
        if _has_organization(connection):
            if settings.embedded and not path.exists():
                report(
                    f"The owner's API key is not in {path} any more. If it is lost, issue another with "
                    "`ali keys issue --role owner`, and revoke the lost one."
                )
            return None
        with connection.transaction():
            # Two replicas may start on one empty database.
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            if _has_organization(connection):
                return None
            report("Making the first organization, its project and an owner's API key")
            secret = mint()
            _insert(connection, secret, hmac_secret=hmac_secret)
            # Before the commit: a crash in between leaves a key that opens nothing, and the next start makes another.
            _write_private(path, secret).replace(path)
    return secret


def _has_organization(connection: psycopg.Connection) -> bool:
    return connection.execute("select 1 from ali.organization limit 1").fetchone() is not None


def _insert(connection: psycopg.Connection, secret: str, *, hmac_secret: bytes) -> None:
    organization_id, project_id = uuid7(), uuid7()
    connection.execute(
        "insert into ali.organization (id, name) values (%s, 'Default organization')", (organization_id,)
    )
    connection.execute(
        "insert into ali.project (id, organization_id, name) values (%s, %s, 'Default project')",
        (project_id, organization_id),
    )
    connection.execute(
        "insert into ali.api_key (id, organization_id, name, role, digest, hint)"
        " values (%s, %s, 'Owner key', 'owner', %s, %s)",
        (uuid7(), organization_id, digest(secret, hmac_secret=hmac_secret), hint(secret)),
    )


def _content(path: Path) -> bytes:
    content = path.read_text(encoding="utf-8").strip()
    if len(content) < _SHORTEST_SECRET:
        raise SecretMissing(
            f"{path} holds no secret. Restore it from a backup; or delete it, and the next start makes another, under "
            "which every API key of before is void."
        )
    return content.encode()


def _write_private(path: Path, content: str) -> Path:
    """`content` in a new file beside `path`, mode 0600, for the caller to rename or link."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(handle)
    return fresh
