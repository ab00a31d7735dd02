"""`ali knowledge` and `ali ask --store` as somebody at a terminal uses them, against a service that serves."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.service import ALI, clean_environment, started
from tests.unit.extractive.pdf_bytes import MANUAL, make_pdf

LAW = """Lei nº 9.999, de 1º de janeiro de 2020

Art. 1º Esta Lei dispõe sobre produtos duráveis.

Art. 2º A garantia dos produtos duráveis é de vinte e quatro meses.

§ 1º O prazo para o reparo é de trinta dias.

Art. 3º Esta Lei entra em vigor na data de sua publicação.
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that point at a service that runs."""
    home = tmp_path_factory.mktemp("home")
    serving = clean_environment(ALI_HOME=str(home), PORT="0")
    with started("serve", environment=serving) as program:
        address = program.wait_until_printed(r"(http://127\.0\.0\.1:\d+)")
        yield clean_environment(ALI_HOME=str(home), ALI_URL=address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents that can be read, one of them in a folder, and what cannot."""
    place = tmp_path / "documents"
    (place / "leis").mkdir(parents=True)
    (place / ".git").mkdir()
    (place / "leis" / "lei.md").write_text(LAW, encoding="utf-8")
    (place / "manual.pdf").write_bytes(MANUAL)
    (place / ".git" / "hidden.txt").write_text("hidden", encoding="utf-8")
    return place


def ali(environment: dict[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own command
        [*ALI, *map(str, words)], env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def test_a_folder_is_imported_and_asked(environment: dict[str, str], folder: Path) -> None:
    imported = ali(environment, "knowledge", "import", folder, "--store", "acervo")
    assert (imported.returncode, imported.stderr) == (0, "")
    assert imported.stdout.startswith("acervo (vs_")
    assert imported.stdout.endswith("): 2 read.\n")

    answered = ali(environment, "ask", "Qual é o prazo para o reparo?", "--store", "acervo")
    assert answered.returncode == 0
    assert "“§ 1º O prazo para o reparo é de trinta dias.” (lei.md, Art. 2º, § 1º)" in answered.stdout

    told = json.loads(ali(environment, "ask", "Quem projetou a bomba?", "--store", "acervo", "--json").stdout)
    citation = told["citations"][0]
    assert (citation["filename"], citation["citation"]["page"]) == ("manual.pdf", 1)
    assert citation["citation"]["cited_text"] == "A bomba foi projetada por Ana Souza em Recife."

    nothing = ali(environment, "ask", "Qual é a capital da França?", "--store", "acervo")
    assert (nothing.returncode, nothing.stdout.startswith("Não encontrei")) == (3, True)


def test_a_second_import_sends_what_is_new_or_changed(environment: dict[str, str], folder: Path) -> None:
    store = ("--store", "twice")
    ali(environment, "knowledge", "import", folder, *store)
    (folder / "leis" / "lei.md").write_text(LAW.replace("trinta", "sessenta"), encoding="utf-8")
    (folder / "notas.txt").write_text("A reunião foi adiada.", encoding="utf-8")

    again = ali(environment, "knowledge", "import", folder, *store)

    assert again.returncode == 0
    assert again.stdout.endswith("): 2 read (1 in place of older ones), 1 unchanged.\n")
    answered = ali(environment, "ask", "Qual é o prazo para o reparo?", *store).stdout
    assert "sessenta dias" in answered
    assert "trinta dias" not in answered
    listed = ali(environment, "knowledge", "files", "twice").stdout.splitlines()
    assert sorted(line.split()[-1] for line in listed) == ["leis/lei.md", "manual.pdf", "notas.txt"]


def test_what_cannot_be_read_fails_alone_with_its_reason(environment: dict[str, str], folder: Path) -> None:
    (folder / "locked.pdf").write_bytes(make_pdf([["x"]], encrypted=True))
    (folder / "empty.txt").write_bytes(b"")

    imported = ali(environment, "knowledge", "import", folder, "--store", "partly")

    assert imported.returncode == 1
    assert imported.stdout.endswith("): 2 read, 2 failed.\n")
    assert "locked.pdf: locked.pdf is encrypted" in imported.stderr
    assert "empty.txt: empty.txt is empty" in imported.stderr
    assert len(ali(environment, "knowledge", "files", "partly").stdout.splitlines()) == 2


def test_stores_are_listed_searched_and_deleted(environment: dict[str, str], folder: Path) -> None:
    ali(environment, "knowledge", "import", folder / "manual.pdf", "--store", "short-lived")
    stores = ali(environment, "knowledge", "stores").stdout
    assert "completed    1 of 1 files" in next(line for line in stores.splitlines() if line.endswith("short-lived"))
    found = ali(environment, "knowledge", "search", "short-lived", "Quem projetou a bomba?", "--limit", 1).stdout
    assert "manual.pdf" in found
    assert "Ana Souza" in found
    assert ali(environment, "knowledge", "delete", "short-lived").stdout == "Deleted.\n"
    assert "short-lived" not in ali(environment, "knowledge", "stores").stdout


def test_bad_input_says_what_to_do(environment: dict[str, str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for words, says in (
        (("knowledge", "import", tmp_path / "none", "--store", "x"), "there is no such file or folder"),
        (("knowledge", "import", tmp_path / "nothing", "--store", "x"), "There are no files in it"),
        (("knowledge", "files", "unknown"), "There is no store named unknown. `ali knowledge stores`"),
        (("knowledge", "search", "vs_" + "0" * 32, "x"), "The service refused: "),
        (("ask", "Why?", "--store", "unknown"), "There is no store named unknown"),
        (("ask", "Why?"), "Name the files to answer from, or a store with --store"),
        (("ask", "Why?", folder / "manual.pdf", "--store", "x"), "or a store with --store"),
        (("knowledge", "stores", "--url", "ftp://x"), "--url ftp://x"),
        (("knowledge", "stores", "--api-key", "wrong"), "The service refused: "),
    ):
        done = ali(environment, *words)
        assert (done.returncode, done.stdout) == (2, ""), (words, done)
        assert says in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr
    nobody = ali({**environment, "ALI_URL": "http://127.0.0.1:9"}, "knowledge", "stores")
    assert nobody.returncode == 1
    assert "No service answers at" in nobody.stderr
