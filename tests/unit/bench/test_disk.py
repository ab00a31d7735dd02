import os
import subprocess
from pathlib import Path

from bench.disk import copy_checkout, disk_use


def test_a_file_with_two_names_counts_once_and_a_later_part_counts_the_rest(tmp_path: Path) -> None:
    inner, outer = tmp_path / "home" / "data", tmp_path / "home"
    inner.mkdir(parents=True)
    (inner / "big").write_bytes(os.urandom(1_000_000))
    (outer / "link").hardlink_to(inner / "big")
    (outer / "other").write_bytes(os.urandom(500_000))
    sizes = disk_use({"inner": inner, "outer": outer, "absent": tmp_path / "absent"})
    assert 1_000_000 <= sizes["inner"] < 1_100_000
    assert 500_000 <= sizes["outer"] < 600_000
    assert sizes["absent"] == 0


def test_a_copy_of_the_checkout_holds_new_files_and_nothing_that_git_ignores(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(source)], check=True)  # noqa: S603, S607 - a repository for this test
    (source / ".gitignore").write_text("ignored\n")
    (source / "folder" / "new").write_text("new")
    (source / "ignored").write_text("ignored")
    copy_checkout(source, tmp_path / "target")
    found = {str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*") if path.is_file()}
    assert found == {".gitignore", "folder/new"}
