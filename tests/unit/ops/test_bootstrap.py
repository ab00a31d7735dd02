"""The first tenant and the installation's own secret."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from ali.features.keys.secret import digest, well_formed
from ali.kernel.settings import Settings
from ali.ops.bootstrap import SecretMissing, api_key_hmac_secret, ensure_first_tenant, owner_key_file
from tests.fixtures.database import silent

SECRET = SecretStr("0123456789abcdef0123456789abcdef")

MAKE = """
import sys
from pathlib import Path
from ali.kernel.settings import Settings
from ali.ops.bootstrap import ensure_first_tenant
print(ensure_first_tenant(sys.argv[1], Settings(home=Path(sys.argv[2])), report=lambda _: None))
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An embedded installation's, with nothing in its home yet."""
    for name in ("DATABASE_URL", "ALI_API_KEY_HMAC_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return Settings(home=tmp_path)


def test_an_empty_database_gets_one_tenant_and_a_working_owners_key(settings: Settings, database_dsn: str) -> None:
    told: list[str] = []
    secret = ensure_first_tenant(database_dsn, settings, report=told.append)
    assert secret
    assert well_formed(secret)
    assert not any(secret in line for line in told)
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute(
            "select o.name, p.name, k.role, k.hint from ali.api_key k"
            " join ali.organization o on o.id = k.organization_id join ali.project p on o.id = p.organization_id"
            " where k.digest = %s and k.project_id is null",
            (digest(secret, hmac_secret=api_key_hmac_secret(settings)),),
        ).fetchall()
    assert rows == [("Default organization", "Default project", "owner", secret[-4:])]
    kept = owner_key_file(settings)
    assert kept.read_text(encoding="utf-8").strip() == secret
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_start_makes_nothing_and_says_nothing(settings: Settings, database_dsn: str) -> None:
    ensure_first_tenant(database_dsn, settings, report=silent)
    told: list[str] = []
    assert ensure_first_tenant(database_dsn, settings, report=told.append) is None
    assert told == []


def test_a_lost_owners_key_file_says_how_to_issue_another(settings: Settings, database_dsn: str) -> None:
    ensure_first_tenant(database_dsn, settings, report=silent)
    owner_key_file(settings).unlink()
    told: list[str] = []
    assert ensure_first_tenant(database_dsn, settings, report=told.append) is None
    assert "ali keys issue" in told[0]


def test_starts_at_once_on_one_database_make_one_tenant(settings: Settings, database_dsn: str) -> None:
    processes = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", MAKE, database_dsn, str(settings.home)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    made = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert sorted(secret == "None" for secret in made) == [False, True, True]
    assert owner_key_file(settings).read_text(encoding="utf-8").strip() in made
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("select count(*) from ali.organization").fetchone() == (1,)


def test_the_embedded_secret_is_made_once_and_private(settings: Settings) -> None:
    secret = api_key_hmac_secret(settings)
    assert len(secret) == 64
    assert api_key_hmac_secret(settings) == secret
    file = settings.credentials / "api-key-hmac-secret"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.credentials.iterdir()] == [file.name]


def test_a_given_secret_is_used_and_none_is_kept(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, api_key_hmac_secret=SECRET)
    assert api_key_hmac_secret(settings) == SECRET.get_secret_value().encode()
    assert not settings.credentials.exists()


def test_a_database_of_the_operators_needs_a_secret_of_the_operators(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://x@/x"), api_key_hmac_secret=None)
    with pytest.raises(SecretMissing, match=r"ALI_API_KEY_HMAC_SECRET is not.*openssl rand -hex 32"):
        api_key_hmac_secret(settings)


@pytest.mark.parametrize("secret", ["short", "x" * 31])
def test_a_short_secret_is_refused(tmp_path: Path, secret: str) -> None:
    with pytest.raises(SecretMissing, match="shorter than 32 characters"):
        api_key_hmac_secret(Settings(home=tmp_path, api_key_hmac_secret=SecretStr(secret)))


def test_an_emptied_secret_file_is_never_taken_for_a_secret(settings: Settings) -> None:
    api_key_hmac_secret(settings)
    (settings.credentials / "api-key-hmac-secret").write_text("", encoding="utf-8")
    with pytest.raises(SecretMissing, match="holds no secret"):
        api_key_hmac_secret(settings)
