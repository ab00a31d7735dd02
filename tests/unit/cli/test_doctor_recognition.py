"""`ali doctor` on text recognition."""

from pathlib import Path

import pytest

from ali.cli.doctor_recognition import recognition
from ali.kernel.checks import CheckStatus


@pytest.mark.parametrize(
    ("languages", "status", "says"),
    [
        (None, CheckStatus.WARN, "not installed"),
        ("fra", CheckStatus.WARN, "neither"),
        ("eng", CheckStatus.WARN, "lacks Portuguese"),
        ("eng osd por", CheckStatus.OK, "reads Portuguese and English"),
    ],
)
def test_what_tesseract_reads_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, languages: str | None, status: CheckStatus, says: str
) -> None:
    if languages is not None:
        program = tmp_path / "tesseract"
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' 'List of languages:' {languages}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = recognition()

    assert (found.status, says in found.detail) == (status, True), found
    assert ("apt-get install" in found.hint) is (status is CheckStatus.WARN)
