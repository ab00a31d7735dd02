"""Which user PostgreSQL runs as. It refuses to run as root, so root's is another, which gets one folder of its own."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from ali.ops.embedded.errors import HomeUnusable

VARIABLE = "ALI_POSTGRES_USER"
"""Names the user to drop to when the service is started as root."""

_CUSTOMARY = ("postgres", "nobody")
_SHELL = "/bin/sh"


class Identity(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that change the user; none of them when no change is needed."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user that runs the server. `dropped`: it is not the one that runs us."""

    name: str
    uid: int
    gid: int
    dropped: bool

    @property
    def identity(self) -> Identity:
        """What makes a child process run as this account, with no group but its own."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.dropped else {}

    def can_enter(self, folder: Path) -> bool:
        """Whether this account reaches `folder`; asked of the kernel, which knows ACLs and mounts."""
        return self._try('cd -- "$1"', folder)

    def can_run(self, program: Path) -> bool:
        """Whether this account may execute `program`, which is run with `--version`."""
        return not self.dropped or self._try('exec "$1" --version', program)

    def _try(self, script: str, path: Path) -> bool:
        done = subprocess.run(  # noqa: S603 - a constant script; the path is an argument, not part of it
            [_SHELL, "-c", script, "ali", str(path)],
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            **self.identity,
        )
        return done.returncode == 0


def choose() -> Account:
    """Ourselves; for root `ALI_POSTGRES_USER`, else `postgres`, else `nobody`. Raises `HomeUnusable` if none exists."""
    if os.geteuid() != 0:
        return Account(name=str(os.geteuid()), uid=os.geteuid(), gid=os.getegid(), dropped=False)
    wanted = os.environ.get(VARIABLE)
    for name in (wanted,) if wanted else _CUSTOMARY:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid, dropped=True)
    raise HomeUnusable(
        "PostgreSQL does not run as root, and there is no other user to run it as "
        f"({wanted or ' or '.join(_CUSTOMARY)}). Set {VARIABLE} to one that exists and is not root, start the service "
        "as an ordinary user, or set DATABASE_URL."
    )


def private_folder(path: Path, *, mode: int = 0o700, owner: Account | None = None) -> None:
    """Make `path` a folder with exactly `mode`, of `owner` (ourselves if none); its parents only where missing.

    Raises `HomeUnusable` for a symbolic link, somebody else's folder, or a place where nothing can be made.
    """
    uid = owner.uid if owner else os.geteuid()
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(handle)
            if status.st_uid not in {uid, os.geteuid()}:
                raise HomeUnusable(
                    f"{path} belongs to the user with the number {status.st_uid}. Start the service as that user, "
                    "or set ALI_HOME to a folder of your own."
                )
            if status.st_uid != uid and owner:
                os.fchown(handle, owner.uid, owner.gid)
            if status.st_mode & 0o7777 != mode:
                os.fchmod(handle, mode)
        finally:
            os.close(handle)
    except OSError as error:
        raise HomeUnusable(
            f"{path} cannot be used: {error.strerror}. Set ALI_HOME to a folder of your own on a disk with space."
        ) from error
