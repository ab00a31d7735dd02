"""Starting and stopping the embedded PostgreSQL."""

import contextlib
import fcntl
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from ali.ops.embedded import cluster, process
from ali.ops.embedded.account import Account, choose, private_folder
from ali.ops.embedded.binaries import Installation, installations, within_reach
from ali.ops.embedded.credentials import DSN_FILES, dsn_of, keep, kept_password
from ali.ops.embedded.errors import EmbeddedPostgresFailed, HomeInUse, HomeUnusable
from ali.ops.embedded.journal import Journal
from ali.ops.embedded.places import Places, settle

_READY_TIMEOUT_S = 60.0
_RETRY_FOR_S = 10.0
_TICK_S = 0.02
_STOP_TIMEOUT_S = 10.0

Report = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class EmbeddedPostgres:
    """A running server, and the lock on its home. Ends with `stop()`, with its `with` block, or with our process."""

    dsn: str
    """A libpq URL of the owner's role: `postgresql://ali:…@/ali?host=<socket folder>`."""
    service_dsn: str
    """That of the role which serves traffic, and which row-level security binds."""
    version: str
    data: Path
    _run: Path
    _server: subprocess.Popen[bytes]
    _guard: subprocess.Popen[bytes]
    _journal: Journal
    _lock: int

    @property
    def pid(self) -> int:
        """The process of the postmaster."""
        return self._server.pid

    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._server.poll() is None

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """End the server: sessions are cut, what was committed is kept. After `timeout_s` without waiting for anything.

        Harmless when called twice.
        """
        if self._lock < 0:
            return
        process.end(self._server, timeout_s=timeout_s)
        process.dismiss(self._guard)
        self._journal.close()
        if not self._run.is_relative_to(self.data.parent):
            with contextlib.suppress(OSError):  # not empty after a kill; then the next start uses it again
                self._run.rmdir()
        os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    home: Path, *, report: Report, durable: bool = True, major: int | None = None, max_connections: int = 50
) -> EmbeddedPostgres:
    """Start the PostgreSQL of `home`, making it at the first time; ready for connections when this returns.

    Takes about 1 s at the first time and 0.1 s later. Leaves the connection strings in `home/credentials`:
    the owner's in `database-url`, the service's in `service-database-url`.
    `report` gets a line for the person at the terminal before whatever takes time. Not `durable`: a power cut may cost
    all data, for tests. `major`: a PostgreSQL other than the newest, for a new home.
    Raises a leaf of `EmbeddedPostgresFailed`.
    """
    account = choose()
    available = installations()
    if major is not None:
        available = [one for one in available if one.major == major]
        if not available:
            raise EmbeddedPostgresFailed(f"There are no binaries of PostgreSQL {major} here.")
    lock = _lock(home)
    try:
        places = settle(home, account=account)
        installation = cluster.matching(available, data=places.data)
        if account.dropped:
            installation = within_reach(installation, account, site=places.site)
        return _Start(
            places=places,
            installation=installation,
            account=account,
            report=report,
            durable=durable,
            max_connections=max_connections,
            lock=lock,
        ).run()
    except BaseException as error:
        os.close(lock)
        if isinstance(error, OSError):
            raise _unusable(home, error) from error
        raise


def _lock(home: Path) -> int:
    """An exclusive lock on the home's PostgreSQL, held until closed. Raises `HomeInUse`."""
    folder = home / "postgres"
    private_folder(folder, mode=0o711 if os.geteuid() == 0 else 0o700)
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(home, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        raise HomeInUse(
            f"The home folder {home} is in use by another process ({holder or 'unknown'}). Stop that one, or set "
            "ALI_HOME to another folder."
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _unusable(home: Path, error: OSError) -> HomeUnusable:
    where = f" ({error.filename})" if error.filename else ""
    return HomeUnusable(
        f"The home folder {home} cannot be used: {error.strerror}{where}. Mend that, set ALI_HOME to a folder of your "
        "own on a disk with space, or set DATABASE_URL."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """The facts of one start, settled before anything runs."""

    places: Places
    installation: Installation
    account: Account
    report: Report
    durable: bool
    max_connections: int
    lock: int

    def run(self) -> EmbeddedPostgres:
        stale = self._prepare()
        dsns = {role: self._dsn(role) for role in DSN_FILES}
        deadline = time.monotonic() + _RETRY_FOR_S
        while True:
            started = self._launch(dsns, stale=stale)
            try:
                self._await_ready(started)
            except _EndedEarly as early:
                self._give_up(started)
                # After a kill, the dead server's children may hold its memory for a moment still.
                if stale is None or time.monotonic() > deadline:
                    raise cluster.failed("PostgreSQL did not start", output=early.output) from early
                time.sleep(_TICK_S * 5)
            except _WrongPassword:
                self._give_up(started)
                self.report("Giving the database roles new passwords: the kept ones are not their own")
                dsns = {role: self._new_password(role) for role in DSN_FILES}
            except BaseException:
                self._give_up(started)
                raise
            else:
                return started

    def _prepare(self) -> int | None:
        """Whatever must be so before the launch. Returns the pid in a `postmaster.pid` that nobody stands behind."""
        if (self.places.data / "PG_VERSION").exists():
            return process.end_orphan(self.places.data, report=self.report)
        self.report(f"Making a PostgreSQL {self.installation.version} database in {self.places.data}")
        passwords = {role: secrets.token_urlsafe(32) for role in (cluster.SUPERUSER, *DSN_FILES)}
        keep(self.places, name="postgres-superuser-password", content=passwords[cluster.SUPERUSER])
        for role, name in DSN_FILES.items():
            keep(self.places, name=name, content=dsn_of(role, passwords[role], run=self.places.run))
        cluster.make(
            self.places.data,
            installation=self.installation,
            account=self.account,
            passwords=passwords,
            durable=self.durable,
        )
        return None

    def _dsn(self, role: str) -> str:
        """The role's connection string for the present socket folder, kept for other processes."""
        password = kept_password(self.places, role=role)
        if password is None:
            self.report(f"Giving the database role {role} a new password: the kept one is lost")
            return self._new_password(role)
        dsn = dsn_of(role, password, run=self.places.run)
        keep(self.places, name=DSN_FILES[role], content=dsn)
        return dsn

    def _new_password(self, role: str) -> str:
        password = secrets.token_urlsafe(32)
        cluster.set_password(
            self.places.data,
            role=role,
            password=password,
            installation=self.installation,
            account=self.account,
        )
        dsn = dsn_of(role, password, run=self.places.run)
        keep(self.places, name=DSN_FILES[role], content=dsn)
        return dsn

    def _launch(self, dsns: dict[str, str], *, stale: int | None) -> EmbeddedPostgres:
        settings = cluster.settings(
            run=self.places.run,
            major=self.installation.major,
            durable=self.durable,
            max_connections=self.max_connections,
        )
        # PostgreSQL takes a lock file for stale that names its own launcher's process: so a stranger that got the dead
        # server's number does not stop the start, and the check for memory still in use is kept.
        extra = {} if stale is None else {"PG_GRANDPARENT_PID": str(stale)}
        server = process.launch(
            [
                *(str(self.installation.program("postgres")), "-D", str(self.places.data)),
                *cluster.arguments(settings),
            ],
            account=self.account,
            environment=cluster.environment(**extra),
        )
        guard = process.guard(server.pid, account=self.account)
        if server.stderr is None:
            raise EmbeddedPostgresFailed("PostgreSQL was started without a pipe for its log.")
        return EmbeddedPostgres(
            dsn=dsns[cluster.OWNER],
            service_dsn=dsns[cluster.SERVICE],
            version=self.installation.version,
            data=self.places.data,
            _run=self.places.run,
            _server=server,
            _guard=guard,
            _journal=Journal(server.stderr, folder=self.places.log),
            _lock=self.lock,
        )

    def _await_ready(self, started: EmbeddedPostgres) -> None:
        """Returns once a connection was made, with the very credentials that others will use."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        told = False
        while True:
            if not started.running():
                started._journal.close()  # noqa: SLF001 - one module
                raise _EndedEarly(started._journal.tail())  # noqa: SLF001 - one module
            try:
                for dsn in (started.dsn, started.service_dsn):
                    psycopg.connect(dsn, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if "authentication failed" in str(error):
                    raise _WrongPassword from error
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresFailed(
                        f"PostgreSQL did not become ready in {_READY_TIMEOUT_S:.0f} s. Its log is in {self.places.log}."
                    ) from error
            else:
                return
            if not told and time.monotonic() > deadline - _READY_TIMEOUT_S + 2:
                self.report("PostgreSQL is recovering what the last run left unfinished")
                told = True
            time.sleep(_TICK_S)

    def _give_up(self, started: EmbeddedPostgres) -> None:
        process.end(started._server, timeout_s=_STOP_TIMEOUT_S)  # noqa: SLF001 - one module
        process.dismiss(started._guard)  # noqa: SLF001 - one module
        started._journal.close()  # noqa: SLF001 - one module


class _EndedEarly(Exception):
    """The server ended before it was ready."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        self.output = output


class _WrongPassword(Exception):
    """The server is up and does not know the kept password."""
