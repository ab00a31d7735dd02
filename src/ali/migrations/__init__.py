"""The schema's history, as Alembic revisions inside the wheel.

A revision's name is its file's name: `pre_…` expands (safe under the previous release's code, applied before the new
code runs) and `post_…` contracts (drops what no running release uses any more). `ali.ops.database` applies them.
"""

from pathlib import Path
from typing import Final

HEAD: Final = "pre_0004_limits"
"""The revision that this code needs; a test holds it equal to Alembic's own head."""

SCHEMA: Final = "ali"
VERSION_TABLE: Final = "alembic_version"


def known_revisions() -> frozenset[str]:
    """The names of all revisions of this release, read from the folder: importing Alembic costs 100 ms."""
    return frozenset(path.stem for path in (Path(__file__).parent / "versions").glob("p*_*.py"))
