"""The schema's history, as Alembic revisions inside the wheel.

A revision's name is its file's name: `pre_…` expands (safe under the previous release's code, applied before the new
code runs) and `post_…` contracts (drops what no running release uses any more). `ali.ops.database` applies them.
"""

from pathlib import Path
from typing import Final

HEAD: Final = "pre_0015_chunk_vectors"
"""The revision that this code needs; a test holds it equal to Alembic's own head."""

SCHEMA: Final = "ali"
VERSION_TABLE: Final = "alembic_version"


UNBOUND_ROLE: Final = """
select r.rolsuper or r.rolbypassrls or exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'ali' and c.relkind = 'r' and c.relowner = r.oid
)
from pg_roles r where r.rolname = current_user
"""
"""Whether row-level security does not bind the present role, or could be lifted by it."""


def known_revisions() -> frozenset[str]:
    """The names of all revisions of this release, read from the folder: importing Alembic costs 100 ms."""
    return frozenset(path.stem for path in (Path(__file__).parent / "versions").glob("p*_*.py"))
