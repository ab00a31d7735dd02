"""The schema: made by migrations alone, the same as the models say, whoever else migrates at the same moment."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects.postgresql.base import ischema_names

import ali
from ali import migrations
from ali.features.knowledge.embedding.models import Halfvec
from ali.kernel.db import sqlalchemy_url
from ali.kernel.settings import Settings
from ali.migrations.metadata import MODULES, metadata
from ali.ops import database, embedded
from tests.fixtures.database import make_tenant, silent, temporary_home

MIGRATE = "import sys; from ali.ops.database import migrate; migrate(sys.argv[1], report=print)"


@pytest.fixture(scope="module")
def postgres_16() -> Iterator[tuple[str, str]]:
    """The oldest server that is supported: the connection strings of its owner `ali` and of its superuser."""
    with temporary_home() as home, embedded.start(home, report=silent, durable=False, major=16) as server:
        password = (home / "credentials" / "postgres-superuser-password").read_text(encoding="utf-8").strip()
        yield server.dsn, psycopg.conninfo.make_conninfo(server.dsn, user="postgres", password=password)


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "ali:migrations")
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def test_the_head_constant_is_alembics_only_head() -> None:
    assert scripts().get_heads() == [migrations.HEAD]


def test_revisions_are_named_for_their_phase_and_file() -> None:
    names = [Path(script.path).stem for script in scripts().walk_revisions()]
    assert names == [script.revision for script in scripts().walk_revisions()]
    assert set(names) == migrations.known_revisions()
    assert all(name.startswith(("pre_", "post_")) for name in names)


def test_every_slice_with_tables_is_in_the_metadata() -> None:
    root = Path(ali.__file__).parent
    found = {
        ".".join(("ali", *path.relative_to(root).with_suffix("").parts)) for path in root.glob("features/**/models.py")
    }
    assert {module.__name__ for module in MODULES} == found
    assert all(import_module(name) for name in found)


def _ours(name: str | None, kind: str, _parents: object) -> bool:
    """What models describe: the schema, but for the partitions of one of its tables."""
    if kind == "table":
        return not str(name).startswith("chunk_vector_")
    return kind != "schema" or name == migrations.SCHEMA


def test_the_migrated_schema_is_what_the_models_say(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ischema_names, "halfvec", Halfvec)
    engine = sa.create_engine(sqlalchemy_url(database_dsn), poolclass=sa.NullPool)
    options = {
        "include_schemas": True,
        "include_name": _ours,
        "version_table_schema": migrations.SCHEMA,
        "compare_server_default": True,
    }
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata()) == []
        inspector = sa.inspect(connection)
        for table in metadata().tables.values():
            # Alembic compares no check constraints.
            assert {check["name"] for check in inspector.get_check_constraints(table.name, schema=table.schema)} == {
                check.name for check in table.constraints if isinstance(check, sa.CheckConstraint)
            }


def test_the_access_epoch_has_one_row_and_takes_no_second(database_dsn: str) -> None:
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        assert connection.execute("select count(*) from ali.access_epoch").fetchone() == (1,)
        for value in (True, False):
            with pytest.raises(psycopg.errors.IntegrityError):
                connection.execute('insert into ali.access_epoch ("only", value) values (%s, 0)', (value,))


def test_migrating_again_does_nothing_and_says_nothing(empty_database_dsn: str) -> None:
    told: list[str] = []
    database.migrate(empty_database_dsn, report=told.append)
    assert told == [f"Migrating the database from nothing to {migrations.HEAD}"]
    told.clear()
    began = time.perf_counter()
    database.migrate(empty_database_dsn, report=told.append)
    assert told == []
    assert time.perf_counter() - began < 0.5


def test_nothing_to_migrate_imports_neither_alembic_nor_sqlalchemy(database_dsn: str) -> None:
    program = f"{MIGRATE}; assert not {{'alembic', 'sqlalchemy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program, database_dsn], check=True, timeout=30)  # noqa: S603 - our own program


def test_four_processes_migrate_at_once_and_one_does_the_work(empty_database_dsn: str) -> None:
    processes = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", MIGRATE, empty_database_dsn], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    told = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum("Migrating" in words for words in told) == 1
    assert database.status(empty_database_dsn).current


def test_a_migration_waits_briefly_for_a_lock_and_tries_again(empty_database_dsn: str) -> None:
    told: list[str] = []
    with psycopg.connect(empty_database_dsn) as holder:
        holder.execute("create schema ali")
        holder.execute("create table ali.alembic_version (version_num varchar(32) primary key)")
        holder.commit()
        holder.execute("lock table ali.alembic_version in share mode")
        release = threading.Timer(5.5, holder.rollback)
        release.start()
        database.migrate(empty_database_dsn, report=told.append)
        release.join()
    assert "A migration waited too long for a lock; trying again" in told
    assert database.status(empty_database_dsn).current


def test_a_schema_newer_than_the_code_is_refused(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("update ali.alembic_version set version_num = 'pre_9999_future'")
    with pytest.raises(database.SchemaNewer, match=r"pre_9999_future.*newer than this release.*Start the release"):
        database.migrate(database_dsn, report=silent)
    with pytest.raises(database.SchemaNewer):
        database.require_current(database_dsn)


def test_a_schema_that_is_behind_says_what_to_run(empty_database_dsn: str) -> None:
    with pytest.raises(database.SchemaBehind, match="ali database migrate"):
        database.require_current(empty_database_dsn)
    database.migrate(empty_database_dsn, report=silent)
    database.require_current(empty_database_dsn)


def test_status_tells_versions_and_size(database_dsn: str) -> None:
    found = database.status(database_dsn)
    assert found.current
    assert found.revision == found.head == migrations.HEAD
    assert found.tables == len(metadata().tables) + 1
    assert found.size_bytes > 1024**2


def test_the_oldest_supported_server_takes_the_schema(postgres_16: tuple[str, str]) -> None:
    dsn, _ = postgres_16
    database.migrate(dsn, report=silent)
    assert database.status(dsn).server_version.startswith("16.")
    tenant = make_tenant(dsn)
    with psycopg.connect(dsn) as connection:
        found = connection.execute("select id from ali.api_key where project_id = %s", (tenant.project_id,)).fetchone()
    assert found == (tenant.key_id,)


def test_a_role_that_may_not_migrate_is_told_what_to_grant(postgres_16: tuple[str, str]) -> None:
    dsn, superuser = postgres_16
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("create role guest login password 'a guest'")
        connection.execute("create database visited")
    limited = psycopg.conninfo.make_conninfo(dsn, user="guest", password="a guest", dbname="visited")
    url = dsn.replace(dsn.split("@", maxsplit=1)[0], "postgresql://guest:a%20guest").replace("/ali?", "/visited?")
    assert psycopg.conninfo.conninfo_to_dict(url) == psycopg.conninfo.conninfo_to_dict(limited)
    with pytest.raises(database.DatabaseUnsuitable, match=r"permission denied.*Grant it CREATE"):
        database.migrate(url, report=silent)


def test_a_database_without_pgvector_that_the_role_may_not_add_says_who_can(postgres_16: tuple[str, str]) -> None:
    dsn, superuser = postgres_16
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("create role lodger login password 'lodger'")
        connection.execute("create database bare")
        connection.execute(
            "do $$ begin create role ali_service nologin; exception when duplicate_object then null; end $$"
        )
        connection.execute("grant ali_service to lodger")
    with psycopg.connect(superuser, dbname="bare", autocommit=True) as connection:
        connection.execute("drop extension vector")
        connection.execute("create schema ali authorization lodger")
    url = dsn.replace(dsn.split("@", maxsplit=1)[0], "postgresql://lodger:lodger").replace("/ali?", "/bare?")
    with pytest.raises(database.DatabaseUnsuitable, match="create extension vector"):
        database.migrate(url, report=silent)
    with psycopg.connect(superuser, dbname="bare", autocommit=True) as connection:
        connection.execute("create schema elsewhere")
        connection.execute("grant usage on schema elsewhere to public")
        connection.execute("create extension vector with schema elsewhere")
    database.migrate(url, report=silent)
    assert database.status(url).current
    assert database.extension_version(url, "vector")


def test_an_unreachable_database_is_named_without_its_password() -> None:
    dsn = "postgresql://ali:canary@127.0.0.1:1/ali"
    told: list[str] = []
    with pytest.raises(database.DatabaseUnreachable, match="DATABASE_URL") as caught:
        database.wait_until_up(dsn, timeout_s=0.2, report=told.append)
    assert "canary" not in caught.value.message
    assert told == ["Waiting for the database"]


def test_a_command_starts_an_embedded_server_only_where_none_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with temporary_home() as home:
        settings = Settings(home=home)
        with embedded.start(home, report=silent, durable=False) as server:
            with database.reached(settings, report=silent) as dsn:
                assert dsn == server.dsn
            assert server.running()
        with database.reached(settings, report=silent) as dsn:
            database.migrate(dsn, report=silent)
            assert database.status(dsn).current
        with pytest.raises(database.DatabaseUnreachable):
            database.status(dsn)
