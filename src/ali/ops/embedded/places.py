"""Where the parts of the embedded PostgreSQL lie.

    home/credentials/         0700, ours
    home/postgres/            lock, location, socket; log/
    SITE/server/              0700, the server account's: data/, run/ (the socket)
    SITE/postgresql-18.4/     a copy of the binaries, where the account cannot reach the installed ones

SITE is `home/postgres`, unless the service was started by root and the account that the server runs as cannot get
there (a home under /root): then it is a folder in /var/lib/ali, written down in `home/postgres/location`. Data that
exist are never left for another place: that would be a start with an empty database.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ali.ops.embedded.account import Account, private_folder
from ali.ops.embedded.errors import HomeUnusable

ELSEWHERE = Path("/var/lib/ali")

_SOCKET_NAME = "/.s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103
"""`sun_path` holds 108 bytes with its NUL on Linux, 104 elsewhere."""
_SEPARATORS = frozenset(b"\"', ")
"""Bytes that separate or quote in a list of folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders that exist, with the right owners and modes; `data` appears when the cluster has been made."""

    credentials: Path
    log: Path
    site: Path
    data: Path
    run: Path


def settle(home: Path, *, account: Account) -> Places:
    """Make the folders of `home`, whose `postgres` exists, for a server run by `account`. Raises `HomeUnusable`."""
    home = home.absolute()
    private_folder(home / "credentials")
    private_folder(home / "postgres" / "log")
    site = _site(home, account=account)
    private_folder(site / "server", owner=account)
    return Places(
        credentials=home / "credentials",
        log=home / "postgres" / "log",
        site=site,
        data=site / "server" / "data",
        run=_socket_folder(home, server=site / "server", account=account),
    )


def _site(home: Path, *, account: Account) -> Path:
    record = home / "postgres" / "location"
    with contextlib.suppress(FileNotFoundError):
        site = Path(record.read_text(encoding="utf-8").removesuffix("\n"))
        if not (site / "server").is_dir():
            raise HomeUnusable(
                f"The database of {home} lies in {site}, as {record} says, and is not there. Put it back; or delete "
                f"{record} to start with an empty one."
            )
        return site
    site = home / "postgres"
    if account.dropped and not account.can_enter(site):
        if (site / "server" / "data").is_dir():
            raise HomeUnusable(
                f"The database lies in {site}, and the user {account.name}, as whom PostgreSQL is to run, cannot get "
                "there. Let that user pass through the folders above it, or start the service as the user that it was "
                "made by."
            )
        site = ELSEWHERE / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        private_folder(ELSEWHERE, mode=0o755)
        private_folder(site, mode=0o711)
        private_folder(site / "server", owner=account)
        if not account.can_enter(site / "server"):
            raise HomeUnusable(
                f"The user {account.name}, as whom PostgreSQL is to run, reaches neither {home} nor {site}. Set "
                "ALI_HOME to a folder that it can reach, or DATABASE_URL."
            )
        _record(record, site)
    return site


def _socket_folder(home: Path, *, server: Path, account: Account) -> Path:
    """`server/run`; or, where a socket cannot lie there, a private folder with a short name that is written down."""
    run = server / "run"
    if _fit(run):
        private_folder(run, owner=account)
        return run
    record = home / "postgres" / "socket"
    with contextlib.suppress(FileNotFoundError):
        kept = Path(record.read_text(encoding="utf-8").removesuffix("\n"))
        if _private(kept, uid=account.uid):
            return kept
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    inside = runtime if not account.dropped and _fit(Path(runtime, "ali-12345678")) else ""
    if not (inside and _private(Path(inside), uid=account.uid)):
        inside = "/tmp"  # noqa: S108 - short everywhere, unlike TMPDIR; mkdtemp makes a private folder in it
    run = Path(tempfile.mkdtemp(prefix="ali-", dir=inside))
    private_folder(run, owner=account)
    _record(record, run)
    return run


def _fit(folder: Path) -> bool:
    """Whether a socket can lie in `folder`, and both libpq and PostgreSQL take its name as one plain folder."""
    name = os.fsencode(folder)
    return len(name) + len(_SOCKET_NAME) <= _LONGEST_SOCKET_PATH and not set(name) & _SEPARATORS


def _private(folder: Path, *, uid: int) -> bool:
    """Whether `folder` is a real folder that only `uid` may enter."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and status.st_mode & 0o077 == 0


def _record(file: Path, place: Path) -> None:
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(f"{place}\n", encoding="utf-8")
    fresh.replace(file)
