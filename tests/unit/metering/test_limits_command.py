"""`ali limits`: the same verbs as the API, for who has the database."""

from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from ali.features.metering.limiting.cli import app
from ali.features.metering.limiting.drafts import limit_name
from ali.features.metering.scopes import scope_name
from ali.kernel.errors import AliError, Conflict, InvalidRequest, NotFound
from ali.kernel.ids import uuid7
from tests.fixtures.database import Tenant


@pytest.fixture(autouse=True)
def _environment(tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", tenant.dsn)
    monkeypatch.setenv("ALI_HOME", str(tmp_path))


def ali(tenant: Tenant, *arguments: str) -> list[str]:
    """The lines that `ali limits …` prints for the tenant's organization. Raises what it failed with."""
    result = CliRunner().invoke(app, [*arguments, "--organization", str(tenant.organization_id)])
    if isinstance(result.exception, AliError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_a_limit_is_set_changed_listed_and_deleted(tenant: Tenant) -> None:
    set_it = ("set", "--scope", "key", "--of", str(tenant.key_id), "--model", "gpt-4*")
    [line] = ali(tenant, *set_it, "--requests-per-minute", "5", "--concurrent-streams", "0")
    name = line.split()[0]
    assert line.split() == [
        *(name, scope_name("key", tenant.key_id), "gpt-4*"),
        *("5", "requests", "per", "minute,", "0", "concurrent", "streams"),
    ]
    [changed] = ali(tenant, *set_it, "--requests-per-minute", "6")
    assert changed.split()[:4] == [name, scope_name("key", tenant.key_id), "gpt-4*", "6"]
    assert "0 concurrent streams" in changed, "what is left out stays"
    [each] = ali(tenant, "set", "--scope", "key", "--tokens-per-minute", "100")
    assert each.split()[1:5] == ["each", "key", "all", "models"]
    assert ali(tenant, "list") == [each, changed]
    assert ali(tenant, "delete", name) == ["Deleted."]
    assert ali(tenant, "list") == [each]
    with psycopg.connect(tenant.dsn) as connection:
        found = connection.execute(
            "select action, actor_kind from ali.audit_event where organization_id = %s order by id",
            (tenant.organization_id,),
        ).fetchall()
    assert found == [(f"rate_limit.{verb}", "operator") for verb in ("created", "changed", "created", "deleted")]


def test_every_process_is_told_to_read_the_limits_again(tenant: Tenant) -> None:
    def epoch() -> int:
        with psycopg.connect(tenant.dsn) as connection:
            row = connection.execute("select value from ali.access_epoch").fetchone()
        assert row is not None
        return int(row[0])

    before = epoch()
    [line] = ali(tenant, "set", "--requests-per-minute", "5")
    assert scope_name("organization", tenant.organization_id) in line
    assert epoch() > before


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        (("set",), InvalidRequest),
        (("set", "--scope", "planet", "--requests-per-minute", "5"), InvalidRequest),
        (("set", "--model", "gpt*4", "--requests-per-minute", "5"), InvalidRequest),
        (("set", "--requests-per-minute", str(10**13)), InvalidRequest),
        (("set", "--scope", "key", "--of", "key_x", "--requests-per-minute", "5"), NotFound),
        (("set", "--scope", "user", "--of", str(uuid7()), "--requests-per-minute", "5"), NotFound),
        (("delete", "limit_x"), NotFound),
        (("delete", limit_name(uuid7())), NotFound),
    ],
)
def test_nonsense_is_explained(tenant: Tenant, arguments: tuple[str, ...], failure: type[AliError]) -> None:
    with pytest.raises(failure) as refused:
        ali(tenant, *arguments)
    assert not isinstance(refused.value, Conflict)
    assert ali(tenant, "list") == []


def test_an_organization_that_is_none_is_not_taken_for_one_without_limits(tenant: Tenant) -> None:
    result = CliRunner().invoke(app, ["list", "--organization", str(uuid7())])
    assert isinstance(result.exception, NotFound)
