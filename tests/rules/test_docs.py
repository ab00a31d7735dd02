"""The documents say what the code does, and lead somewhere.

A page that was right last year costs its reader an evening. What can be compared is compared.
"""

import re
import runpy
import tomllib
from collections import Counter
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import AliasChoices

import ali
from ali.cli import COMMANDS
from ali.kernel.errors import AliError
from ali.kernel.settings import Settings
from tests.rules.tree import DOCS, ROOT, commands, pages, prose

LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SAME_TO_CALLERS: Final = {AliError.code, "upstream_refused"}
"""Codes of several classes that differ only in how the service carries them."""
HOST_PATHS: Final = re.compile(r"(?<![\w.~$/-])/(work|root|home|Users|mnt)/\w+")
REGISTRIES: Final = re.compile(r"https?://[\w.-]*(pypi|artifactory|nexus|devpi|npmjs|gcr|ghcr)[\w.-]*", re.IGNORECASE)


def test_generated_pages_are_up_to_date() -> None:
    """Errors and metrics are documented by the code itself. Mend with `.venv/bin/python scripts/generate-docs`."""
    expected: dict[Path, str] = _script("generate-docs")["pages"]()
    stale = [str(path) for path, text in expected.items() if not path.exists() or path.read_text("utf-8") != text]
    assert not stale, "\n".join(stale)


def test_every_error_has_a_code_of_its_own() -> None:
    """Callers switch on codes, so two errors never share one, and none inherits its parent's unseen. Only the root's
    may be inherited: what names no case of its own is a bug, and all bugs are one to a caller.
    """
    script = _script("generate-docs")
    script["import_everything"]()
    classes = script["error_classes"]()
    inherited = [str(cls) for cls in classes if "code" not in vars(cls) and cls.code != AliError.code]
    assert not inherited, "\n".join(inherited)
    shared = {code for code, count in Counter(cls.code for cls in classes).items() if count > 1}
    assert shared <= SAME_TO_CALLERS
    assert all(
        re.fullmatch(r"[a-z][a-z_]+[a-z]", code) for code in [*(c.code for c in classes), *script["finer_codes"]()]
    )


def test_every_setting_is_documented() -> None:
    """An operator can only set what can be found."""
    page = DOCS / "reference" / "settings.md"
    if not page.exists():
        pytest.skip("docs/reference/settings.md does not exist yet")
    names = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names |= {str(c) for c in alias.choices} if isinstance(alias, AliasChoices) else {f"ALI_{name.upper()}"}
    text = page.read_text(encoding="utf-8")
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


def test_every_link_between_pages_resolves() -> None:
    """Also the anchors: a heading that was renamed breaks them silently."""
    broken = []
    for page, text in pages().items():
        for target in LINK.findall(prose(text)):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append(f"{page}: {target}")
    assert not broken, "\n".join(broken)


def test_every_page_is_reachable_from_the_index() -> None:
    """A page that nothing links to is never corrected."""
    reached: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(prose(page.read_text(encoding="utf-8")))]
        waiting += [(page.parent / target).resolve() for target in targets if target.endswith(".md")]
    assert {str(page.relative_to(ROOT)) for page in set(DOCS.rglob("*.md")) - reached} == set()


def test_commands_in_the_documents_exist() -> None:
    """What a page tells people to type was typed once, and still works: the program and its subcommand are there."""
    unknown = []
    for page, text in pages().items():
        for line in commands(text):
            words = list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), line))
            if not words:
                continue
            if words[0] in {"./run", "ali"}:
                words = [*(["./run"] if words[0] == "ali" else []), *words]
                if words[1:2] == ["ali"] and words[2:] and words[2] not in {*COMMANDS, "--help", "--version"}:
                    unknown.append(f"{page}: {' '.join(words)}")
                if words[1:] and not words[1].startswith("-") and words[1] not in {"ali", "test", "bench"}:
                    unknown.append(f"{page}: {' '.join(words)}")
            elif "/" in words[0] and not words[0].startswith((".venv/", "/")) and not (ROOT / words[0]).exists():
                unknown.append(f"{page}: {' '.join(words)}")
    assert not unknown, "\n".join(unknown)


def test_both_readmes_say_the_same() -> None:
    """The Portuguese one is no second-class page: the same sections, commands and figures, in the same order."""
    english, portuguese = (pages()[name] for name in ("README.md", "README.pt-BR.md"))
    assert _levels(english) == _levels(portuguese)
    assert _code(english) == _code(portuguese)
    markers = re.compile(r"<!-- /?bench:\w+ -->")
    assert markers.findall(english) == markers.findall(portuguese) != []
    targets = [
        sorted(t for t in LINK.findall(prose(text)) if not t.startswith("README")) for text in (english, portuguese)
    ]
    assert targets[0] == targets[1]


def test_no_page_names_a_machine_or_a_registry() -> None:
    """A path of somebody's machine or a mirror's address means nothing to the reader, and says who wrote it."""
    named = [
        f"{page}: {found.group()}"
        for page, text in pages().items()
        for pattern in (HOST_PATHS, REGISTRIES)
        for found in pattern.finditer(text)
    ]
    assert not named, "\n".join(named)


def test_decisions_are_numbered_and_listed() -> None:
    """A decision that cannot be found is taken again, differently."""
    records = sorted(path for path in (DOCS / "adr").glob("[0-9]*.md") if not path.name.startswith("0000"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    index = pages()["docs/adr/README.md"]
    for path in records:
        text = path.read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        assert title.startswith(f"{int(path.name[:4])}. "), path.name
        assert f"[{title}]({path.name})" in index, path.name
        assert re.search(r"^Status: (proposed|accepted|superseded by \[)", text, re.MULTILINE), path.name
        for heading in ("Context", "Decision", "Consequences"):
            assert f"\n## {heading}\n" in text, (path.name, heading)


def test_every_changelog_fragment_can_be_used() -> None:
    """A malformed one would be found on the day of the release."""
    script = _script("assemble-changelog")
    script["section"]("Unreleased", script["fragments"](ROOT / "changes"))


def test_the_changelog_is_assembled_from_its_fragments(tmp_path: Path) -> None:
    script = _script("assemble-changelog")
    (tmp_path / "changes").mkdir()
    for name, text in {
        "README.md": "how to",
        "0002-first.md": "kind: added\n\nThe first.\nTwo lines.\n",
        "0003-hole.md": "kind: security\n\nA hole.\n",
    }.items():
        (tmp_path / "changes" / name).write_text(text, encoding="utf-8")
    script["assemble"](tmp_path, version="0.1.0", date="2026-01-02")
    (tmp_path / "changes" / "0004-more.md").write_text("kind: fixed\n\nMore.\n", encoding="utf-8")
    script["assemble"](tmp_path, version="0.2.0", date="2026-02-03")
    changelog = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.startswith(script["HEAD"])
    assert changelog.removeprefix(script["HEAD"]) == (
        "\n## 0.2.0 (2026-02-03)\n\n### Fixed\n\n- More. (#4)\n"
        "\n## 0.1.0 (2026-01-02)\n\n### Security\n\n- A hole. (#3)\n\n### Added\n\n- The first.\n  Two lines. (#2)\n"
    )
    assert [path.name for path in (tmp_path / "changes").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("0002-x.md", "added\n\nText.\n"),
        ("0002-x.md", "kind: improved\n\nText.\n"),
        ("0002-x.md", "kind: added\nText.\n"),
        ("0002-x.md", "kind: added\n\n\n"),
        ("2-x.md", "kind: added\n\nText.\n"),
        ("0002-Big Words.md", "kind: added\n\nText.\n"),
    ],
)
def test_a_malformed_fragment_is_refused(tmp_path: Path, name: str, text: str) -> None:
    script = _script("assemble-changelog")
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(script["Malformed"], match=re.escape(name)):
        script["read_fragment"](tmp_path / name)


def test_the_program_knows_its_version() -> None:
    """The constant spares each start 20 ms of reading metadata, at the price of this test."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert ali.__version__ == project["version"]


def _script(name: str) -> dict[str, Any]:
    """The global names of a script, without running it."""
    return runpy.run_path(str(ROOT / "scripts" / name), run_name="script")


def _anchors(file: Path) -> set[str]:
    """The anchors that a Markdown page's headings give."""
    headings = re.findall(r"^#+ (.*)$", prose(file.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), flags=re.MULTILINE)]


def _code(text: str) -> list[str]:
    """The fenced blocks of a page, without comments and sentences, which each language says its own way."""
    blocks = re.findall(r"^```(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"#.*", "", re.sub(r'"[^"\n]* [^"\n]*"', '""', _one_quote_a_line(block))) for block in blocks]


def _one_quote_a_line(block: str) -> str:
    """Each quoted string on a line of its own, so that what stands between two of them is not taken for one."""
    return re.sub(r'("[^"\n]*")', r"\1\n", block)
