"""What tests of files look at beside the API: the folder of objects and the rows."""

from pathlib import Path

import psycopg

from tests.fixtures.database import Tenant


def objects_in(home: Path) -> list[Path]:
    """The objects that there are, begun ones too."""
    return [path for path in (home / "objects").rglob("*") if path.is_file()]


def rows_of(tenant: Tenant) -> list[tuple[str, str, bytes | None, int]]:
    """Object, state, digest and size of each of the project's rows."""
    with psycopg.connect(tenant.dsn) as connection:
        return connection.execute(
            "select object_name, state, digest, size_bytes from ali.file where project_id = %s order by id",
            (tenant.project_id,),
        ).fetchall()
