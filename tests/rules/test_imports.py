"""The house's import contracts hold, and each of them can fail.

Layers that are only drawn on a page are gone within a year. The second test exists because a contract over a misspelt
module name, or one that ignores too much, is green for ever.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tests.rules.tree import PACKAGE, ROOT

VIOLATIONS: Final = {
    "Imports point down": ("kernel/ids.py", "import ali.providers.contract"),
    "What serves traffic cannot reach the installation's tools": ("app.py", "import ali.ops"),
    "Slices import only slices under them": ("features/identity/models.py", "import ali.features.metering"),
    "Providers know neither the database nor the web framework": ("providers/sse.py", "import ali.kernel.db"),
    "SQLAlchemy enters the kernel through kernel.db alone": ("kernel/ids.py", "import sqlalchemy.orm"),
    "Only a slice's http knows the web framework": ("features/keys/lifecycle.py", "import fastapi"),
    "No SDK, slow HTTP client, test or benchmark at run time": ("kernel/log.py", "import httpx"),
    "No deserialisation that runs code, no template engine": ("kernel/log.py", "import pickle"),
}
"""Each contract to a file and the line that, added to it, breaks it."""


def test_every_contract_is_kept() -> None:
    verdicts = _verdicts(ROOT / "src")
    assert set(verdicts) == set(_contracts())
    assert {name for name, kept in verdicts.items() if not kept} == set()


def test_every_contract_can_fail(tmp_path: Path) -> None:
    assert set(VIOLATIONS) == set(_contracts())
    copy = tmp_path / "ali"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, line in VIOLATIONS.values():
        with (copy / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    assert {name for name, kept in _verdicts(tmp_path).items() if kept} == set()


def _contracts() -> list[str]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [contract["name"] for contract in configuration["tool"]["importlinter"]["contracts"]]


def _verdicts(source: Path) -> dict[str, bool]:
    """Each contract's name to whether it is kept by the `ali` in the folder `source`."""
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [
            sys.executable,
            *("-c", "from importlinter.cli import lint_imports_command as main; main()"),
            *("--config", str(ROOT / "pyproject.toml"), "--no-cache"),
        ],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line.partition(" (")[0].strip() for line in result.stdout.splitlines()]
    verdicts = {name: f"{name} KEPT" in lines for name in _contracts() if {f"{name} KEPT", f"{name} BROKEN"} & {*lines}}
    assert verdicts, result.stdout + result.stderr
    return verdicts
