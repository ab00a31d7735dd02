"""The data folder: made whole or not at all, and the settings that every start imposes."""

import base64
import hashlib
import hmac
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ali.ops.embedded.account import Account
from ali.ops.embedded.binaries import Installation
from ali.ops.embedded.errors import DataTooOld, EmbeddedPostgresFailed, HomeUnusable

OWNER = "ali"
SERVICE = "ali_service"
DATABASE = "ali"
SUPERUSER = "postgres"

_NEEDED_BYTES = 256 * 1024 * 1024
_INITDB_TIMEOUT_S = 180
_STATEMENTS_TIMEOUT_S = 60
_SCRAM_ITERATIONS = 4096
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""The server gets nothing of ours: PGDATA and the like would mislead it, and our secrets are none of its business."""


def settings(*, run: Path, major: int, durable: bool, max_connections: int) -> dict[str, str]:
    """What every start passes on the command line: one machine, a small one, reached by its socket alone.

    On the command line and not in the data folder's files: they follow the release, and when started by root nothing
    is written into a folder that another user owns.
    """
    chosen = {
        "cluster_name": "ali",
        "listen_addresses": "",
        "unix_socket_directories": str(run),
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "max_connections": str(max_connections),
        "superuser_reserved_connections": "2",
        "shared_buffers": "64MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "max_worker_processes": "4",
        "autovacuum_max_workers": "2",
        "max_wal_senders": "3",
        "max_replication_slots": "3",
        "max_logical_replication_workers": "0",
        "min_wal_size": "16MB",
        "max_wal_size": "256MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "off",
        # DETAIL lines quote the rows' values, which people wrote.
        "log_error_verbosity": "terse",
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_lock_waits": "on",
        "idle_in_transaction_session_timeout": "5min",
    }
    if major >= 18:
        # Three reading processes less; this database fits into memory.
        chosen["io_method"] = "sync"
    if not durable:
        chosen |= {"fsync": "off", "full_page_writes": "off"}
    return chosen


def arguments(values: Mapping[str, str]) -> list[str]:
    """Settings as the server's command line takes them."""
    return [argument for name, value in values.items() for argument in ("-c", f"{name}={value}")]


def matching(available: list[Installation], *, data: Path) -> Installation:
    """The installation that can run `data`: of its version; the newest for a new one. Raises `DataTooOld`."""
    try:
        major = int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return available[0]
    for installation in available:
        if installation.major == major:
            return installation
    have = " and ".join(str(installation.major) for installation in available)
    raise DataTooOld(
        f"The data in {data} was made by PostgreSQL {major}, and the binaries here are of {have}. Install the version "
        "of the extra that it was made with, `pg_dump` the database, move the folder away, start, and `pg_restore`."
    )


def make(
    data: Path, *, installation: Installation, account: Account, passwords: Mapping[str, str], durable: bool
) -> None:
    """A new cluster at `data`, complete with role, database and pgvector, under `passwords` by role.

    Made beside `data` and renamed at the end, so that a start that is cut short leaves nothing to be mistaken for one.
    No server listens meanwhile, and no line of `pg_hba.conf` is ever other than SCRAM.
    """
    site = data.parent
    for leftover in (*site.glob("data.new-*"), *site.glob("password.new-*")):
        if leftover.is_dir():
            # A killed start's initdb may be writing there still; what remains goes with the next new cluster.
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink()
    if shutil.disk_usage(site).free < _NEEDED_BYTES:
        raise HomeUnusable(
            f"There is less than {_NEEDED_BYTES // 1024**2} MB free in {site}. Free some space, set ALI_HOME to a "
            "folder on another disk, or set DATABASE_URL."
        )
    suffix = secrets.token_hex(4)
    fresh, password = site / f"data.new-{suffix}", site / f"password.new-{suffix}"
    _write_private(password, passwords[SUPERUSER], owner=account)
    try:
        _run(
            [
                *(str(installation.program("initdb")), f"--pgdata={fresh}", f"--pwfile={password}"),
                *(f"--username={SUPERUSER}", "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"),
                *("--wal-segsize=4", "--no-instructions", *_locale(installation.major)),
                *(() if durable else ("--no-sync",)),
            ],
            account=account,
            timeout_s=_INITDB_TIMEOUT_S,
        )
    finally:
        password.unlink()
    # Into the template: every database made later has it, and no role needs to be superuser for it.
    execute(["create extension vector"], database="template1", data=fresh, installation=installation, account=account)
    execute(
        [
            f"create role {OWNER} login password '{verifier(passwords[OWNER])}'",
            # Row-level security binds this one: it owns nothing.
            f"create role {SERVICE} login password '{verifier(passwords[SERVICE])}'",
            f"grant {SERVICE} to {OWNER} with inherit false",
            # The default, "$user", would be the schema of the same name: SQL that names no schema would work here only.
            f"alter role {OWNER} set search_path = public",
            f"create database {DATABASE} owner {OWNER}",
        ],
        data=fresh,
        installation=installation,
        account=account,
    )
    fresh.rename(data)
    handle = os.open(site, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def set_password(data: Path, *, role: str, password: str, installation: Installation, account: Account) -> None:
    """Give a role of a cluster that is down a new password."""
    execute(
        [f"alter role {role} password '{verifier(password)}'"], data=data, installation=installation, account=account
    )


def execute(
    statements: list[str], *, data: Path, installation: Installation, account: Account, database: str = SUPERUSER
) -> None:
    """Run statements of one line each as superuser on a cluster that is down; the first error ends it.

    PostgreSQL's single-user mode: no socket, no authentication to loosen. Raises `EmbeddedPostgresFailed`.
    """
    _run(
        [
            *(str(installation.program("postgres")), "--single", "-D", str(data)),
            *arguments({"exit_on_error": "on", "log_checkpoints": "off", "log_min_error_statement": "panic"}),
            database,
        ],
        account=account,
        timeout_s=_STATEMENTS_TIMEOUT_S,
        statements="".join(f"{statement};\n" for statement in statements),
    )


def verifier(password: str) -> str:
    """`password` as PostgreSQL stores it (RFC 5802, RFC 7677), so that it never reaches a server's log.

    For ASCII passwords: no SASLprep is done.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(value).decode() for value in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def environment(**extra: str) -> dict[str, str]:
    """The environment of every PostgreSQL process."""
    return _ENVIRONMENT | extra


def _locale(major: int) -> list[str]:
    """Unicode case rules and byte order, the same on every machine: an upgrade of libc cannot corrupt an index."""
    libc = "C.UTF-8" if sys.platform == "linux" else "C"
    if major >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", f"--locale={libc}"]
    return [f"--locale={libc}"]


def _write_private(path: Path, content: str, *, owner: Account) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
        if owner.dropped:
            os.fchown(handle, owner.uid, owner.gid)


def _run(command: list[str], *, account: Account, timeout_s: float, statements: str | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own programs and arguments
            command,
            check=False,
            cwd="/",
            env=environment(),
            input=statements,
            stdin=None if statements is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            start_new_session=True,
            umask=0o077,
            **account.identity,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedPostgresFailed(f"{Path(command[0]).name} could not be run: {error}. {_INSTEAD}") from error
    if done.returncode != 0:
        raise failed(f"{Path(command[0]).name} failed", output=done.stdout)


_INSTEAD = "Mend that, or set DATABASE_URL to a server of your own."


def failed(what: str, *, output: str) -> EmbeddedPostgresFailed:
    """The error for a PostgreSQL program that ended badly, with its last words and what to do."""
    words = "\n".join(line for line in output.strip().splitlines()[-8:] if "password" not in line.casefold())
    if "No space left on device" in output:
        return HomeUnusable(f"{what}: the disk is full. Free some space, or set DATABASE_URL.\n{words}")
    return EmbeddedPostgresFailed(f"{what}. {_INSTEAD} PostgreSQL said:\n{words}")
