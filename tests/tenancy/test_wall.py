"""The second wall: what PostgreSQL itself refuses the service's role, whatever the code above it forgot."""

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import tuple_row

from ali.kernel.ids import uuid7
from ali.kernel.service_role import with_role
from ali.migrations import UNBOUND_ROLE
from tests.fixtures.database import Tenant, make_tenant

NOT_A_TENANTS = {
    *("alembic_version", "access_epoch", "service_instance", "limit_bucket", "limit_lease"),
    *("openid_attempt", "sign_in_failure", "signing_key", "vector_shelf", "vector_space"),
}
"""Tables that hold nothing of anybody's: counters of limits and failures know keyed hashes alone, and sealed values."""


@pytest.fixture
def service_dsn(worker_dsn: str) -> str:
    """The shared database as the service reaches it."""
    return with_role(worker_dsn, "ali_service")


@pytest.fixture
def connection(service_dsn: str) -> Iterator[psycopg.Connection]:
    """A session of the service's role with no tenant set."""
    with psycopg.connect(service_dsn, row_factory=tuple_row) as connection:
        yield connection


def enter(connection: psycopg.Connection, organization: UUID, project: UUID | str = "*") -> None:
    connection.execute(
        "select set_config('ali.organization', %s, true), set_config('ali.project', %s, true)",
        (str(organization), str(project)),
    )


def tables(dsn: str) -> list[tuple[str, bool, bool]]:
    """Each table of the schema: its name, whether row-level security is on, and whether it is forced."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "select c.relname, c.relrowsecurity, c.relforcerowsecurity from pg_class c join pg_namespace n"
            " on n.oid = c.relnamespace where n.nspname = 'ali' and c.relkind in ('r', 'p')"
        ).fetchall()


def test_every_table_of_a_tenant_is_walled_and_the_list_of_others_is_exact(worker_dsn: str) -> None:
    found = tables(worker_dsn)
    assert {name for name, on, forced in found if not (on and forced)} == NOT_A_TENANTS


def test_every_walled_table_carries_its_organization(worker_dsn: str) -> None:
    with psycopg.connect(worker_dsn) as connection:
        carrying = {
            row[0]
            for row in connection.execute(
                "select table_name from information_schema.columns where table_schema = 'ali'"
                " and column_name = 'organization_id' and is_nullable = 'NO'"
            )
        }
    assert {name for name, *_ in tables(worker_dsn)} - NOT_A_TENANTS - {"organization"} == carrying


def test_the_services_role_is_neither_owner_nor_above_the_wall(connection: psycopg.Connection, worker_dsn: str) -> None:
    assert connection.execute("select current_user").fetchone() == ("ali_service",)
    assert connection.execute(UNBOUND_ROLE).fetchone() == (False,)
    with psycopg.connect(worker_dsn) as owner:
        assert owner.execute(UNBOUND_ROLE).fetchone() == (True,)


ORGANIZATION = "(organization_id = ( SELECT (current_setting('ali.organization'::text))::uuid AS current_setting))"
PROJECT = (
    "(( SELECT (current_setting('ali.project'::text) = '*'::text)) OR "
    "(project_id = ( SELECT (NULLIF(current_setting('ali.project'::text), '*'::text))::uuid AS \"nullif\")))"
)


def test_every_policy_is_one_of_two_and_checks_what_is_written_as_what_is_read(worker_dsn: str) -> None:
    with psycopg.connect(worker_dsn) as connection:
        policies = connection.execute(
            "select tablename, policyname, permissive, roles::text[], cmd, qual, with_check from pg_policies"
            " where schemaname = 'ali'"
        ).fetchall()
    tenants = {name: (qual, check) for name, policy, *_, qual, check in policies if policy == "tenant"}
    for name, (qual, check) in tenants.items():
        column_as_elsewhere = qual.replace("(id =", "(organization_id =") if name == "organization" else qual
        assert column_as_elsewhere in (ORGANIZATION, f"({ORGANIZATION} AND {PROJECT})"), name
        assert qual == check, name
    others = [row for row in policies if row[1] != "tenant"]
    assert {row[1] for row in others} == {"owner"}
    assert all(row[3] == ["ali"] for row in others), "the way past the wall is the owner's alone"
    assert all(row[3] == ["ali_service"] for row in policies if row[1] == "tenant")
    assert tenants.keys() == {name for name, *_ in tables(worker_dsn)} - NOT_A_TENANTS


@pytest.mark.parametrize("table", ["organization", "project", "api_key"])
def test_without_a_tenant_a_query_errs(connection: psycopg.Connection, tenant: Tenant, table: str) -> None:
    """An error, not all rows, and not none either: a forgotten tenant must be found by its first test."""
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute(psycopg.sql.SQL("select * from ali.{}").format(psycopg.sql.Identifier(table)))


def test_without_a_project_a_query_of_a_projects_table_errs(connection: psycopg.Connection, tenant: Tenant) -> None:
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "insert into ali.service_account (id, organization_id, project_id, name, role)"
            " values (%s, %s, %s, 'x', 'member')",
            (uuid7(), tenant.organization_id, tenant.project_id),
        )
    connection.execute("select set_config('ali.organization', %s, true)", (str(tenant.organization_id),))
    with pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("select * from ali.service_account")


def test_a_pooled_session_forgets_the_tenant_with_its_transaction(
    connection: psycopg.Connection, tenant: Tenant
) -> None:
    enter(connection, tenant.organization_id)
    assert connection.execute("select count(*) from ali.project").fetchone() == (1,)
    connection.commit()
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        connection.execute("select count(*) from ali.project")


def test_another_organizations_rows_are_neither_seen_nor_changed_nor_added_to(
    connection: psycopg.Connection, tenant: Tenant
) -> None:
    other = make_tenant(tenant.dsn)
    enter(connection, tenant.organization_id)
    for table, column in (("organization", "id"), ("project", "organization_id"), ("api_key", "organization_id")):
        query = psycopg.sql.SQL("select distinct {} from ali.{}").format(
            psycopg.sql.Identifier(column), psycopg.sql.Identifier(table)
        )
        assert connection.execute(query).fetchall() == [(tenant.organization_id,)]
    changed = connection.execute("update ali.project set name = 'x' where id = %s", (other.project_id,))
    assert changed.rowcount == 0
    assert connection.execute("delete from ali.api_key where id = %s", (other.key_id,)).rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'smuggled')",
            (uuid7(), other.organization_id),
        )


def test_a_caller_bound_to_a_project_sees_that_projects_rows_alone(tenant: Tenant, service_dsn: str) -> None:
    second = uuid7()
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "insert into ali.project (id, organization_id, name) values (%s, %s, 'Second')",
            (second, tenant.organization_id),
        )
        for project in (tenant.project_id, second):
            owner.execute(
                "insert into ali.service_account (id, organization_id, project_id, name, role)"
                " values (%s, %s, %s, 'x', 'member')",
                (uuid7(), tenant.organization_id, project),
            )
    with psycopg.connect(service_dsn) as connection:
        enter(connection, tenant.organization_id, tenant.project_id)
        assert connection.execute("select project_id from ali.service_account").fetchall() == [(tenant.project_id,)]
        enter(connection, tenant.organization_id)
        assert connection.execute("select count(*) from ali.service_account").fetchone() == (2,)


@pytest.mark.parametrize(
    "statement",
    [
        "alter table ali.project disable row level security",
        "drop policy tenant on ali.project",
        "create table ali.mine (id int)",
        "update ali.access_epoch set value = 0",
        "update ali.audit_event set action = 'x'",
        "delete from ali.audit_event",
        "truncate ali.usage_record",
        "delete from ali.usage_record",
        "insert into ali.organization (id, name) values (gen_random_uuid(), 'x')",
        "copy ali.project to program 'true'",
    ],
)
def test_the_services_role_cannot_lift_the_wall_or_touch_what_is_not_its_own(service_dsn: str, statement: str) -> None:
    with psycopg.connect(service_dsn) as connection:
        enter(connection, uuid7())
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
            connection.execute(statement)


def test_functions_that_act_as_the_owner_are_the_services_alone_and_fix_their_search_path(worker_dsn: str) -> None:
    with psycopg.connect(worker_dsn) as connection:
        functions = connection.execute(
            "select p.proname, p.prosecdef, coalesce(p.proconfig, '{}')::text like '%%search_path=pg_catalog%%',"
            " coalesce((select array_agg(a.grantee::regrole::text order by 1) from aclexplode(p.proacl) a"
            " where a.grantee <> p.proowner), '{}'), p.proacl is null"
            " from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'ali'"
        ).fetchall()
    assert functions
    for name, as_owner, fixed, grantees, never_revoked in functions:
        assert not never_revoked, f"{name} is open to everybody"
        assert set(grantees) <= {"ali_service"}, name
        if grantees:
            assert as_owner, f"{name} is called by the service, and needs no door if it acts as the caller"
        if as_owner:
            assert fixed, f"{name} acts as the owner with the caller's search_path"
