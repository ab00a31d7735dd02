import pytest

from ali.kernel.errors import InvalidRequest
from ali.providers.extractive import Kind, UnreadableDocument, read_document
from tests.unit.extractive.pdf_bytes import MANUAL, make_pdf


def test_a_pdf_is_read_page_by_page() -> None:
    document = read_document(MANUAL, name="manual.pdf")

    assert document.kind is Kind.PDF
    assert len(document.pages) == 3
    assert document.pages[1].startswith("Manual da Bomba Hidráulica\n2.1 Manutenção\n")


def test_progress_is_told_for_every_page() -> None:
    told: list[tuple[int, int]] = []

    read_document(MANUAL, name="manual.pdf", on_page=lambda done, count: told.append((done, count)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_word_divided_at_a_line_end_is_put_together_in_the_text_of_the_page() -> None:
    page = read_document(MANUAL, name="manual.pdf").pages[1]

    assert "ambientes com poeira" in page.replace("\n", " ")
    assert "\ufffe" not in page


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["O presidente tornou-", "se conhecido."], "tornou-se"),
        (["O guarda-chuva azul. Um guarda-", "chuva verde."], "guarda-chuva verde"),
        (["Uma infor-", "mação."], "informação"),
    ],
)
def test_a_hyphen_stays_where_it_belongs_to_the_word(lines: list[str], expected: str) -> None:
    assert expected in read_document(make_pdf([lines]), name="x.pdf").pages[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (MANUAL[:900], "truncated"),
        (MANUAL[:-30], "truncated"),
        (b"%PDF-1.7\nnonsense\n%%EOF\n", "damaged"),
        (make_pdf([["secret"]], encrypted=True), "encrypted"),
        (make_pdf([[], []]), "no text layer"),
        (b"PK\x03\x04" + b"\x00" * 50, "ZIP container"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "picture"),
        (b"<!DOCTYPE html><html><p>x</p></html>", "HTML"),
        (b"abc\x00\x01\x02def", "neither a PDF nor text"),
        (bytes(range(1, 32)) * 20, "not text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason_that_names_the_file(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableDocument) as refused:
        read_document(data, name="contrato.pdf")

    assert reason in refused.value.message
    assert "contrato.pdf" in refused.value.message
    assert isinstance(refused.value, InvalidRequest)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_text_is_decoded_whatever_its_encoding(encoding: str) -> None:
    document = read_document("Ação à vista: 3 º".encode(encoding), name="notas.txt")

    assert document.pages == ("Ação à vista: 3 º",)
    assert document.kind is Kind.TEXT
