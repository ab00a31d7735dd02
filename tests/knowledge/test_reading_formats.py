"""What each format is read into: the text as its author sees it, with its titles, tables, numbers and pages."""

from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from ali.features.knowledge.reading.content import Content
from ali.features.knowledge.reading.failures import ReadingFailed
from ali.features.knowledge.reading.opening import read_content
from ali.features.knowledge.reading.recognition import Recognition
from ali.features.knowledge.reading.watch import Watch
from tests.knowledge.office import docx, epub, odt, pptx, shape, slide, word_document, word_part, xlsx, zipped

Read = Callable[[str, bytes | str], Content]


class Unhurried(Watch):
    """No limit of time: the test's own process must not be ended."""

    def step(self, seconds: float) -> None:
        pass


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def content_of(name: str, data: bytes | str) -> Content:
        path = tmp_path / "file"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_content(
            path, name=name, recognition=Recognition(), watch=Unhurried(), on_page=lambda _done, _pages: None
        )

    return content_of


def paragraph(text: str, *, style: str = "", properties: str = "") -> str:
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{styled}{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def titles(content: Content) -> list[tuple[int, str]]:
    for each in content.headings:
        assert content.pages[each.page][each.start : each.end]
    return [(each.level, each.title) for each in content.headings]


def heads(content: Content) -> list[str]:
    return [content.pages[each.page][each.start : each.head_end] for each in content.tables]


STYLES = word_part(
    "styles",
    '<w:style w:styleId="T"><w:name w:val="Title"/></w:style>'
    '<w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="Mine"><w:name w:val="Meu"/><w:basedOn w:val="H1"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr>'
    "</w:style>",
)


def test_word_keeps_every_character_of_the_text(read: Read) -> None:
    body = paragraph("P&amp;D: 5 &lt; 6, ap&#243;s &quot;aspas&quot;") + (
        "<w:p><w:r><w:t>antes</w:t><w:tab/><w:t>tab</w:t><w:br/><w:t>linha</w:t>"
        "<w:noBreakHyphen/><w:t>x</w:t></w:r></w:p>"
    )
    content = read("a.docx", docx(word_document(body)))

    assert content.pages == ['P&D: 5 < 6, após "aspas"\n\nantes\ttab\nlinha-x']
    assert not content.paged


def test_word_titles_are_known_by_their_style(read: Read) -> None:
    body = (
        paragraph("Manual", style="T")
        + paragraph("Férias", style="H1")
        + paragraph("Prazo", style="Mine")
        + paragraph("Texto.")
        + paragraph("Solto", properties='<w:outlineLvl w:val="0"/>')
    )
    content = read("a.docx", docx(word_document(body), more={"word/styles.xml": STYLES}))

    assert titles(content) == [(0, "Manual"), (1, "Férias"), (2, "Prazo"), (1, "Solto")]


def test_word_numbers_that_stand_in_no_text_are_written(read: Read) -> None:
    numbering = word_part(
        "numbering",
        '<w:abstractNum w:abstractNumId="7">'
        '<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="ordinal"/><w:lvlText w:val="Art. %1"/></w:lvl>'
        '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="%2 -"/></w:lvl>'
        '<w:lvl w:ilvl="2"><w:numFmt w:val="bullet"/><w:lvlText w:val="\uf0b7"/></w:lvl></w:abstractNum>'
        '<w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num>'
        '<w:num w:numId="4"><w:abstractNumId w:val="7"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="9"/>'
        "</w:lvlOverride></w:num>",
    )

    def item(text: str, level: int, list_id: int = 3) -> str:
        return paragraph(text, properties=f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>')

    body = item("Um", 0) + item("a", 1) + item("b", 1) + item("Dois", 0) + item("c", 1) + item("d", 2) + item("X", 0, 4)
    content = read("a.docx", docx(word_document(body), more={"word/numbering.xml": numbering}))

    assert content.pages[0].split("\n") == [
        "Art. 1º Um",
        "I - a",
        "II - b",
        "Art. 2º Dois",
        "I - c",
        "• d",
        "Art. 9º X",
    ]


def test_word_tables_are_rows_and_layout_by_tables_is_text(read: Read) -> None:
    def table(*rows: tuple[str, ...]) -> str:
        return "<w:tbl>" + "".join(
            "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>" for row in rows
        ) + "</w:tbl>"  # fmt: skip

    content = read("a.docx", docx(word_document(
        table(("Produto", "Preço"), ("Maçã", "3,50"), ("", "")) + paragraph("Depois.")
        + table(("x" * 700, "y"), ("a", "b"))
    )))  # fmt: skip

    assert content.pages[0].startswith("Produto | Preço\nMaçã | 3,50\n\nDepois.\n\nxxx")
    assert heads(content) == ["Produto | Preço"]


def test_word_leaves_out_what_is_deleted_struck_hidden_or_a_code(read: Read) -> None:
    body = (
        "<w:p><w:r><w:t>fica</w:t></w:r><w:del><w:r><w:delText>apagado</w:delText></w:r></w:del>"
        "<w:r><w:rPr><w:strike/></w:rPr><w:t>riscado</w:t></w:r>"
        '<w:r><w:rPr><w:strike w:val="0"/></w:rPr><w:t> isto</w:t></w:r>'
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>oculto</w:t></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>"
        "<w:ins><w:r><w:t> também</w:t></w:r></w:ins></w:p>"
    )
    notes = word_part(
        "footnotes",
        f'<w:footnote w:type="separator" w:id="-1">{paragraph("traço")}</w:footnote>'
        f'<w:footnote w:id="1">{paragraph("A nota.")}</w:footnote>',
    )
    content = read("a.docx", docx(word_document(body), more={"word/footnotes.xml": notes}))

    assert content.pages == ["fica isto também\n\nA nota."]


def test_a_sheet_shows_dates_shares_and_gaps_as_they_are_seen(read: Read) -> None:
    formats = (
        '<numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy"/>'
        '<numFmt numFmtId="165" formatCode="&quot;dia&quot; 0"/>'
        '</numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="10"/><xf numFmtId="165"/>'
        '<xf numFmtId="20"/></cellXfs>'
    )
    rows = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c>'
        '<c r="D1" t="inlineStr"><is><t>Obs</t></is></c></row>'
        '<row r="2"><c r="A2" s="1"><v>45293</v></c><c r="B2" s="2"><v>0.155</v></c><c r="D2"><v>3.5</v></c></row>'
        '<row r="3"><c r="A3" s="3"><v>7</v></c><c r="B3" t="b"><v>1</v></c><c r="D3" s="4"><v>0.5</v></c></row>'
        '<row r="9"><c r="A9" t="str"><f>x</f><v>sozinho</v></c></row>'
    )
    content = read("a.xlsx", xlsx({"Vendas & cia": rows, "Vazia": ""}, strings=["Data", "Taxa | %"], formats=formats))

    assert content.pages[0] == (
        "Vendas & cia\n\nData | Taxa | % |  | Obs\n2024-01-02 | 15.5% |  | 3.5\n7 | TRUE |  | 12:00:00\n\n"
        "sozinho\n\nVazia"
    )
    assert titles(content) == [(1, "Vendas & cia"), (1, "Vazia")]
    assert heads(content) == ["Data | Taxa | % |  | Obs"]


def test_slides_are_pages_with_titles_tables_and_notes(read: Read) -> None:
    cells = "".join(
        "<a:tr>" + "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>" for text in row)
        + "</a:tr>"
        for row in (("Ano", "Lucro"), ("2024", "10"))
    )  # fmt: skip
    content = read(
        "a.pptx",
        pptx(
            [
                slide(shape("Metas", kind="title") + shape("Crescer", "Poupar")),
                slide(shape("7", kind="sldNum") + f"<a:tbl>{cells}</a:tbl>"),
                slide(""),
            ],
            notes={0: slide(shape("Falar devagar") + shape("1", kind="sldNum"), root="notes")},
        ),
    )

    assert content.paged
    assert content.pages == ["Metas\n\nCrescer\nPoupar\n\nFalar devagar", "Ano | Lucro\n2024 | 10", ""]
    assert titles(content) == [(1, "Metas")]
    assert heads(content) == ["Ano | Lucro"]


def test_opendocument_text_has_titles_lists_tables_and_no_deletions(read: Read) -> None:
    body = (
        "<text:tracked-changes><text:p>apagado</text:p></text:tracked-changes>"
        '<text:h text:outline-level="2">Férias</text:h>'
        "<text:p>Trinta<text:s text:c='2'/>dias<text:tab/>úteis<text:line-break/>P&amp;D"
        "<office:annotation><text:p>comentário</text:p></office:annotation></text:p>"
        "<text:list><text:list-item><text:p>um</text:p></text:list-item><text:list-item><text:p>dois</text:p>"
        "</text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell>"
        "<text:p>b</text:p></table:table-cell></table:table-row><table:table-row><table:table-cell><text:p>1</text:p>"
        '</table:table-cell><table:table-cell table:number-columns-repeated="3"/></table:table-row></table:table>'
    )
    content = read("a.odt", odt(body))

    assert content.pages == ["Férias\n\nTrinta  dias\túteis\nP&D\num\ndois\n\na | b\n1"]
    assert titles(content) == [(2, "Férias")]
    assert heads(content) == ["a | b"]


def test_opendocument_slides_are_pages(read: Read) -> None:
    content = read(
        "a.odp",
        odt("<drawing:page><text:p>Um</text:p></drawing:page><drawing:page><text:p>Dois</text:p></drawing:page>",
            kind="presentation"),
    )  # fmt: skip

    assert (content.paged, content.pages) == (True, ["Um", "Dois"])


def test_html_is_read_as_it_is_seen(read: Read) -> None:
    content = read(
        "a.html",
        """<!DOCTYPE html><html><head><meta charset=utf-8><title>T</title><style>b{}</style>
        <script>x("<p>")</script></head>
        <body><nav>menu</nav><h1>Lei &amp; ordem</h1><p>Um  <b>forte</b>
        e <i>fraco</i>.<br>Linha<p>P&amp;D &lt; 5 &eacute;<p hidden>oculto</p><p style="display: none">oculto</p>
        <ul><li>um<li>dois</ul><ol start=3 type=a><li>três</li></ol>
        <strike>Art. 1º revogado</strike><p>Art. 1º Novo</p>
        <pre>  code_x  =  1
        y</pre><table><tr><th>A<th>B<tr><td>1<td>2 <table><tr><td>dentro</td></tr></table></table><h2>Fim</h2>""",
    )

    assert content.pages[0] == (
        "Lei & ordem\n\nUm forte e fraco.\nLinha\n\nP&D < 5 é\num\ndois\nc. três\n\nArt. 1º Novo\n\n"
        "code_x  =  1\n        y\n\nA | B\n1 | 2 dentro\n\nFim"
    )
    assert titles(content) == [(1, "Lei & ordem"), (2, "Fim")]
    assert heads(content) == ["A | B"]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "utf-8", "x-unknown"])
def test_html_is_read_in_the_encoding_that_it_names(read: Read, encoding: str) -> None:
    text = f'<html><meta http-equiv="Content-Type" content="text/html; charset={encoding}"><p>“Ação”</p>'
    content = read("a.htm", text.encode("utf-8" if encoding in {"utf-8", "x-unknown"} else "cp1252"))

    assert content.pages == ["“Ação”"]


def test_an_email_has_its_fields_its_text_and_what_it_forwards(read: Read) -> None:
    inner = EmailMessage()
    inner["Subject"], inner["From"] = "Antigo", "c@example.org"
    inner.set_content("Segue o de antes.")
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Relatório de março", "Ana <a@example.org>", "b@example.org"
    message.set_content("Olá,\nsegue o relatório: 10 < 20.\n")
    message.add_alternative("<p>Olá, <b>segue</b></p>", subtype="html")
    message.add_attachment(b"x", maintype="text", subtype="plain", filename="março.txt")
    message.add_attachment(inner)
    content = read("a.eml", message.as_bytes())

    assert content.pages[0] == (
        "Relatório de março\n\nFrom: Ana <a@example.org>\nTo: b@example.org\n\nOlá,\nsegue o relatório: 10 < 20.\n\n"
        "Attachments: março.txt\n\nAntigo\n\nFrom: c@example.org\n\nSegue o de antes."
    )
    assert titles(content) == [(1, "Relatório de março"), (2, "Antigo")]


def test_an_email_of_html_alone_is_read_too(read: Read) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["Date"] = "x", "a@example.org", "Mon, 1 Jan 2024 00:00:00 +0000"
    message.set_content("<h1>Aviso</h1><p>São 5 dias.</p>", subtype="html")

    assert read("no-suffix", message.as_bytes()).pages[0].endswith("Aviso\n\nSão 5 dias.")


def test_a_book_is_read_page_by_page(read: Read) -> None:
    pages = {"b.xhtml": "<html><body><h1>Um</h1><p>Texto</p></body></html>", "a.xhtml": "<html><p>Dois</p></html>"}

    assert read("a.epub", epub(pages)).pages == ["Um\n\nTexto\n\nDois"]


def test_rich_text_is_read_with_its_accents(read: Read) -> None:
    content = read(
        "a.rtf",
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl\f0 Arial;}{\*\generator x;}Ol\'e1 {\b mundo} \u8212?\par Fim"
        rb"\tab\u-10179?\u-8704? P&D\{\}}",
    )

    assert content.pages == ["Olá mundo \u2014\n\nFim\t\U0001f600 P&D{}"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.py", "def f():\r\n    return 'á'\r\n"), ("a.json", '{"a": [1, "é"]}'),
     ("a.xml", "<?xml version='1.0'?><a>é</a>"),
     ("LICENSE", "Texto & <sinais>\n"), ("a.log", "x\x0cy\n")],
)  # fmt: skip
def test_text_and_code_stay_as_they_are(read: Read, name: str, text: str) -> None:
    assert read(name, text).pages == [text.replace("\r\n", "\n")]
    assert read(name, text.encode("utf-16")).pages == [text.replace("\r\n", "\n")]


def test_separated_values_are_a_table(read: Read) -> None:
    content = read("a.csv", "nome;idade\nJoão;10\n")

    assert (content.pages, heads(content)) == (["nome;idade\nJoão;10\n"], ["nome;idade"])


def test_markdown_has_titles_and_tables_outside_code(read: Read) -> None:
    content = read(
        "a.md", "---\ntitle: x\n---\n# Um #\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n~~~\n# não\n~~~\nDois\n----\n"
    )

    assert titles(content) == [(1, "Um"), (2, "Dois")]
    assert heads(content) == ["| a | b |"]


def test_an_archive_that_is_no_document_says_so(read: Read) -> None:
    with pytest.raises(ReadingFailed, match="is a ZIP archive and no document") as failed:
        read("a.zip", zipped({"a.txt": b"hello"}))

    assert failed.value.code == "unsupported_file"


def test_an_opendocument_file_with_a_password_says_so(read: Read) -> None:
    locked = zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": b"\x00\x01",
                     "META-INF/manifest.xml": "<m><encryption-data/></m>"})  # fmt: skip
    with pytest.raises(ReadingFailed, match="encrypted"):
        read("a.odt", locked)
