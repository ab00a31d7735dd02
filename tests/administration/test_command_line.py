"""Administration on the command line: the same verbs, for who sits at the installation."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from ali.cli import app
from ali.features.identity.roles import ROLES, Permission
from ali.features.keys.secret import well_formed
from ali.kernel.errors import AliError
from ali.kernel.ids import uuid7
from tests.fixtures.database import HMAC_SECRET, Tenant, make_tenant

Run = Callable[..., Result]


@pytest.fixture
def tenant(database_dsn: str) -> Tenant:
    """The only organization of its database."""
    return make_tenant(database_dsn)


@pytest.fixture
def ali(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`ali` with these arguments, as the operator of the tenant's database runs it."""
    monkeypatch.setenv("ALI_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", tenant.dsn)
    monkeypatch.setenv("ALI_API_KEY_HMAC_SECRET", HMAC_SECRET)

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(app, [command, *arguments])

    return run


def said(result: Result) -> str:
    """What it answered. It must have succeeded."""
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def refused(result: Result) -> str:
    """The code of the expected failure."""
    assert isinstance(result.exception, AliError), result.exception
    return result.exception.error_code


def test_organizations_are_created_listed_and_shown(ali: Run, tenant: Tenant) -> None:
    organization, project = said(ali("organizations", "create", "Second house")).splitlines()
    assert organization.startswith("org-")
    assert {line.split()[0] for line in said(ali("organizations", "list")).splitlines()} == {
        organization,
        f"org-{tenant.organization_id.hex}",
    }
    assert "Second house" in said(ali("organizations", "show", "--organization", organization))
    assert project in said(ali("projects", "list", "--organization", organization))
    assert refused(ali("projects", "list")) == "invalid_request", "there are two now"
    assert refused(ali("organizations", "show", "--organization", "org-1")) == "not_found"


def test_projects_are_created_renamed_and_archived(ali: Run, tenant: Tenant) -> None:
    project = said(ali("projects", "create", "Second"))
    said(ali("projects", "rename", project, "Renamed"))
    assert "Renamed" in said(ali("projects", "list"))
    said(ali("projects", "archive", project))
    assert "Renamed" not in said(ali("projects", "list"))
    assert "archived" in said(ali("projects", "list", "--archived"))
    assert refused(ali("projects", "rename", project, "Again")) == "project_archived"
    assert refused(ali("projects", "archive", "proj_1")) == "project_not_found"
    listed = said(ali("audit", "list", "--json", "--type", "project.archived"))
    event = json.loads(listed)
    assert (event["actor_kind"], event["target"]) == ("operator", project)
    assert [line.split()[2:4] for line in said(ali("audit", "list")).splitlines()] == [
        ["project.archived", "operator"],
        ["project.updated", "operator"],
        ["project.created", "operator"],
    ]


def test_people_are_invited_listed_changed_and_removed(ali: Run, tenant: Tenant) -> None:
    token = said(ali("users", "invite", "Bia@Example.org", "--role", "admin", "--project", str(tenant.project_id)))
    assert "/accept-invitation#token=ali_inv_" in token.splitlines()[-1]
    assert refused(ali("users", "invite", "bia@example.org")) == "invite_exists"
    assert refused(ali("users", "invite", "nobody")) == "invalid_request"
    with psycopg.connect(tenant.dsn) as connection:
        for email, role in (("ana@example.org", "owner"), ("caio@example.org", "member")):
            connection.execute(
                "insert into ali.user_account (id, organization_id, email, role) values (%s, %s, %s, %s)",
                (uuid7(), tenant.organization_id, email, role),
            )
    said(ali("projects", "add-member", "caio@example.org", "--role", "developer"))
    assert "developer  caio@example.org" in said(ali("projects", "members"))
    assert refused(ali("projects", "add-member", "caio@example.org")) == "member_exists"
    said(ali("projects", "remove-member", "caio@example.org"))
    assert said(ali("projects", "members")) == ""
    said(ali("users", "set-role", "caio@example.org", "auditor"))
    said(ali("users", "disable", "caio@example.org"))
    assert "auditor  disabled" in said(ali("users", "list"))
    said(ali("users", "enable", "caio@example.org"))
    said(ali("users", "remove", "caio@example.org"))
    assert "caio" not in said(ali("users", "list"))
    for last in (
        ("set-role", "ana@example.org", "member"),
        ("disable", "ana@example.org"),
        ("remove", "ana@example.org"),
    ):
        assert refused(ali("users", *last)) == "last_owner"
    assert refused(ali("users", "remove", "user-1")) == "user_not_found"


def test_keys_are_issued_listed_shown_changed_and_revoked(ali: Run, tenant: Tenant) -> None:
    secret = said(
        ali("keys", "issue", "--name", "CI", "--role", "developer", "--permission", "inference", "--model", "m-1")
    )
    assert well_formed(secret)
    line = next(line for line in said(ali("keys", "list")).splitlines() if f"…{secret[-4:]}" in line)
    key = line.split()[0]
    shown = dict(line.split(maxsplit=1) for line in said(ali("keys", "show", key)).splitlines())
    assert (shown["role"], shown["permissions"], shown["models"]) == ("developer", "inference", "m-1")
    assert secret not in str(shown)
    said(ali("keys", "change", key, "--lift", "models", "--network", "10.0.0.0/8", "--expires-in-days", "1"))
    shown = dict(line.split(maxsplit=1) for line in said(ali("keys", "show", key)).splitlines())
    assert (shown["models"], shown["networks"], shown["permissions"]) == ("all", "10.0.0.0/8", "inference")
    assert refused(ali("keys", "change", key, "--lift", "models", "--model", "x")) == "invalid_request"
    assert refused(ali("keys", "change", key, "--role", "member", "--permission", "audit.read")) == "invalid_request"
    said(ali("keys", "revoke", key))
    assert "revoked" in said(ali("keys", "show", key))
    assert refused(ali("keys", "revoke", key)) == "key_not_found"
    assert refused(ali("keys", "show", "key_1")) == "key_not_found"
    assert refused(ali("keys", "issue", "--role", "emperor")) == "invalid_request"


def test_keys_of_the_organization_and_of_service_accounts_are_issued(ali: Run, tenant: Tenant) -> None:
    own = said(ali("keys", "issue", "--organization-wide", "--role", "owner"))
    assert f"…{own[-4:]}" in said(ali("keys", "list", "--organization-wide"))
    assert f"…{own[-4:]}" not in said(ali("keys", "list"))
    account, first = said(ali("service-accounts", "create", "CI", "--role", "developer")).splitlines()
    second = said(ali("keys", "issue", "--service-account", account))
    assert account in said(ali("service-accounts", "list"))
    listed = said(ali("keys", "list"))
    assert all(f"…{secret[-4:]}" in listed for secret in (first, second))
    assert refused(ali("keys", "issue", "--organization-wide", "--service-account", account)) == "invalid_request"
    said(ali("service-accounts", "delete", account))
    assert account not in said(ali("keys", "list"))
    assert refused(ali("service-accounts", "delete", account)) == "service_account_not_found"


def test_usage_and_costs_are_shown_by_day(ali: Run, tenant: Tenant) -> None:
    with psycopg.connect(tenant.dsn) as connection:
        for spent in (1_500_000, 250_000):
            connection.execute(
                "insert into ali.usage_record (id, organization_id, project_id, instance_id, operation, model, outcome,"
                " streamed, cached, attempts, usage_reported, input_tokens, cached_input_tokens, cache_write_tokens,"
                " output_tokens, reasoning_tokens, cost_microusd, started_at)"
                " values (%s, %s, %s, %s, 'messages', 'm-1', 'ok', false, false, 1, true, 70, 7, 0, 5, 0, %s, now())",
                (uuid7(), tenant.organization_id, tenant.project_id, uuid7(), spent),
            )
    assert said(ali("usage")).splitlines()[1].split()[1:] == ["m-1", "2", "140", "14", "10"]
    assert said(ali("costs", "--group-by", "project_id")).splitlines()[-1].split() == ["total", "1.750000"]
    assert said(ali("costs", "--project", str(uuid7()))).splitlines()[-1].split() == ["total", "0.000000"]


def test_conversations_are_listed_shown_and_deleted_without_what_was_said(ali: Run, tenant: Tenant) -> None:
    made = uuid7()
    name = f"conv_{made.hex}"
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.conversation (id, organization_id, project_id, metadata) values (%s, %s, %s, %s)",
            (made, tenant.organization_id, tenant.project_id, json.dumps({"topic": "demo"})),
        )
        connection.execute(
            "insert into ali.conversation_item (conversation_id, position, organization_id, project_id, item_id, kind,"
            " body) values (%s, 0, %s, %s, 'msg_1', 'message', 'Confidential')",
            (made, tenant.organization_id, tenant.project_id),
        )
    assert said(ali("conversations", "list")).split()[0] == name
    shown = said(ali("conversations", "show", name))
    assert "items         1" in shown
    assert "'topic': 'demo'" in shown
    assert "Confidential" not in shown
    assert said(ali("conversations", "delete", name)) == "Deleted."
    assert said(ali("conversations", "list")) == ""
    for verb in ("show", "delete"):
        assert refused(ali("conversations", verb, name)) == "conversation_not_found"
    assert "conversation.deleted" in said(ali("audit", "list"))


def test_responses_are_listed_shown_and_deleted_without_what_was_said(ali: Run, tenant: Tenant) -> None:
    made, before = uuid7(), uuid7()
    name = f"resp_{made.hex}"
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.response (id, organization_id, project_id, previous_id, status, background, head, input,"
            " output) values (%s, %s, %s, %s, 'completed', true, 'Confidential', 'Confidential', 'Confidential')",
            (made, tenant.organization_id, tenant.project_id, before),
        )
    listed = said(ali("responses", "list")).split()
    assert (listed[0], listed[-2:]) == (name, ["completed", "background"])
    shown = said(ali("responses", "show", name))
    assert f"goes on from  resp_{before.hex}" in shown
    assert "Confidential" not in shown
    assert said(ali("responses", "delete", name)) == "Deleted."
    assert said(ali("responses", "list")) == ""
    for verb in ("show", "delete"):
        assert refused(ali("responses", verb, name)) == "response_not_found"
    assert "response.deleted" in said(ali("audit", "list"))


def test_roles_are_listed_with_what_each_carries(ali: Run) -> None:
    table = json.loads(said(ali("roles", "--json")))
    assert {role: set(row["permissions"]) for role, row in table["roles"].items()} == {
        role: {permission.value for permission in carried} for role, carried in ROLES.items()
    }
    shown = said(ali("roles"))
    assert all(permission.value in shown for permission in Permission)


def test_without_an_installation_each_command_says_how_to_begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("ALI_HOME", str(tmp_path))
    assert refused(CliRunner().invoke(app, ["projects", "list"])) == "not_found"
