"""What Alembic runs for each command: on the connection that the caller hands over, one transaction a revision."""

from alembic import context
from sqlalchemy import Connection

from ali.migrations import SCHEMA, VERSION_TABLE
from ali.migrations.metadata import metadata


def run(connection: Connection) -> None:
    """Apply the revisions. The schema exists already: the version table lies in it."""
    context.configure(
        connection=connection,
        target_metadata=metadata(),
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        include_schemas=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
