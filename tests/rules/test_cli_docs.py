"""The operator's reference pages are what the program itself says."""

import runpy
from pathlib import Path

from tests.rules.tree import ROOT


def test_the_command_line_and_the_settings_are_documented_as_they_are() -> None:
    """A renamed option or a changed default shows there. Mend with `.venv/bin/python scripts/generate-cli-docs`."""
    expected: dict[Path, str] = runpy.run_path(str(ROOT / "scripts" / "generate-cli-docs"))["pages"]()
    stale = [str(path) for path, text in expected.items() if not path.exists() or path.read_text("utf-8") != text]
    assert not stale, "\n".join(stale)
