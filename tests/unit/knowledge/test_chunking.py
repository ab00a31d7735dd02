from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali.features.knowledge.chunk import Chunk
from ali.features.knowledge.reading import ReadingFailed, merged_text, place_of
from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.cutting import Tokens, chunks_of, read_chunking
from ali.features.knowledge.reading.formats.text import markdown_structure
from ali.providers.extractive.tokens import estimate_tokens

SENTENCE = "O empregado tem direito a trinta dias de férias depois de doze meses de trabalho. "
ACT = """LEI Nº 1.234

TÍTULO II
Dos Direitos

CAPÍTULO I
Das Férias

Art. 7º São direitos dos trabalhadores:
I - férias anuais;
II \u2013 décimo terceiro salário:
a) pago em duas parcelas;
b) pago de uma vez, conforme o
Art. 9º da lei anterior;
§ 3o Outros direitos constam de lei.
Parágrafo único. Vale também para avulsos.

Art. 10. Esta lei entra em vigor.

Art. 10-A. Revogam-se as disposições em contrário.
"""
CONTRACT = """CLÁUSULA PRIMEIRA - Objeto.
CLÁUSULA SEGUNDA - Preço.
Parágrafo único. É fixo.
CLÁUSULA TERCEIRA - Foro.
"""


def whole(text: str, **more: object) -> Content:
    return Content(pages=[text], bodies=[(0, len(text))], **more)  # type: ignore[arg-type] # the fields of Content


def paged(*pages: str) -> Content:
    return Content(pages=pages, bodies=[(0, len(page)) for page in pages], paged=True)


def assert_verbatim(chunks: Sequence[Chunk], content: Content) -> None:
    """Every chunk consists of slices of the pages, with one line end between two."""
    for chunk in chunks:
        at = 0
        for span in chunk.spans:
            page = content.pages[span.page or 0]
            assert (span.page is None) is not content.paged
            assert chunk.text[at : span.at] == ("\n" if at else "")
            assert chunk.text[span.at : span.at + span.end - span.start] == page[span.start : span.end]
            at = span.at + span.end - span.start
        assert at == len(chunk.text)
        assert chunk.text


def test_chunks_have_1000_to_1600_characters_and_end_with_a_sentence() -> None:
    content = whole(SENTENCE * 200)
    chunks = list(chunks_of(content))

    assert_verbatim(chunks, content)
    assert all(1000 <= len(chunk.text) <= 1600 for chunk in chunks[:-1])
    assert len(chunks[-1].text) >= 350
    assert all(chunk.text.endswith(".") and chunk.text.startswith("O empregado") for chunk in chunks)
    assert {chunk.language for chunk in chunks} == {"pt"}


def test_a_chunk_over_two_pages_says_which_part_is_on_which() -> None:
    content = paged(SENTENCE * 6, SENTENCE * 6)
    chunks = list(chunks_of(content))

    assert_verbatim(chunks, content)
    assert [span.page for span in chunks[0].spans] == [0, 1]
    assert place_of(chunks[0], 0).page == 0
    assert place_of(chunks[0], len(chunks[0].text) - 1).page == 1


def test_headers_and_footers_are_in_no_chunk() -> None:
    pages = [f"Manual da bomba\n{SENTENCE}\n{number}" for number in range(5)]
    content = Content(pages=pages, bodies=[(len("Manual da bomba\n"), len(page) - 2) for page in pages], paged=True)
    (chunk,) = chunks_of(content)

    assert_verbatim([chunk], content)
    assert "Manual" not in chunk.text
    assert len(chunk.spans) == 5


def test_an_offset_in_a_law_has_its_citation() -> None:
    (chunk,) = chunks_of(whole(ACT))

    def cited(words: str) -> str:
        return place_of(chunk, chunk.text.index(words)).law

    assert chunk.law == ()
    assert cited("Das Férias") == "Título II, Capítulo I"
    assert cited("São direitos") == "Art. 7º"
    assert cited("férias anuais") == "Art. 7º, I"
    assert cited("duas parcelas") == "Art. 7º, II, a"
    assert cited("da lei anterior") == "Art. 7º, II, b"
    assert cited("Outros direitos") == "Art. 7º, § 3º"
    assert cited("avulsos") == "Art. 7º, parágrafo único"
    assert cited("entra em vigor") == "Art. 10"
    assert cited("Revogam-se") == "Art. 10-A"


def test_a_chunk_that_begins_within_an_article_has_its_path() -> None:
    articles = "".join(
        f"Art. {number}{'º' if number < 10 else '.'} {SENTENCE}\n§ 1º {SENTENCE * 3}\n" for number in range(1, 21)
    )
    content = whole(f"CAPÍTULO IV\n{articles}")
    chunks = list(chunks_of(content))

    assert_verbatim(chunks, content)
    assert len(chunks) > 3
    for before, chunk in pairwise(chunks):
        assert chunk.law[0] == "Capítulo IV"
        last = before.articles[-1][1] if before.articles else before.law
        assert chunk.text.startswith(("Art.", "§")) or chunk.law == last


@pytest.mark.parametrize(
    ("text", "words", "citation"),
    [
        ("Section 1. Short title.\n(a) One.\n(1) Two.\n(2) Three.\n(b) Four.\nSection 2. X.\nSection 3. Y.\n", "Three",
         "Section 1(a)(2)"),
        ("Article 1\nA.\nArticle 2\nB.\nArticle 3\nC.\n", "B.", "Article 2"),
        (CONTRACT, "fixo", "Cláusula segunda, parágrafo único"),
        ("Cláusula 1ª Objeto.\nCláusula 2ª Preço.\nCláusula 3ª Foro.\n", "Preço", "Cláusula 2ª"),
        ("ARTIGO 1º - Um.\nARTIGO 2º - Dois.\nARTIGO 3º - Três.\n", "Dois", "Art. 2º"),
        ("Art. 1.º Um.\nArt. 2.º Dois.\nArt. 1.024. Três.\n", "Três", "Art. 1.024"),
    ],
)  # fmt: skip
def test_acts_and_contracts_are_cited_as_they_count(text: str, words: str, citation: str) -> None:
    (chunk,) = chunks_of(whole(text))

    assert place_of(chunk, chunk.text.index(words)).law == citation


def test_prose_that_refers_to_articles_is_no_act() -> None:
    (chunk,) = chunks_of(
        whole("O tribunal aplicou o\nArt. 5º da Constituição, e o\nArt. 7º da mesma, e ainda\nart. 9º.")
    )

    assert (chunk.law, chunk.articles) == ((), ())


def test_rows_of_a_long_table_keep_the_names_of_its_columns() -> None:
    writer = Writer("t.xlsx")
    writer.heading("Preços", level=1)
    writer.table([["Produto", "Preço", "Quantidade"], *([f"Maçã {n}", f"R$ {n},50", str(n)] for n in range(200))])
    writer.paragraph(SENTENCE * 5)
    content = writer.finished()
    chunks = list(chunks_of(content))

    assert_verbatim(chunks, content)
    tables = [chunk for chunk in chunks if chunk.table]
    assert len(tables) >= 3
    assert all("Produto | Preço | Quantidade" in chunk.text for chunk in tables)
    assert all(chunk.headings == ("Preços",) for chunk in chunks)
    assert [line.count("|") for chunk in tables[1:] for line in chunk.text.splitlines()].count(2) == sum(
        len(chunk.text.splitlines()) for chunk in tables[1:]
    )
    assert "".join(merged_text(chunks)).count("Produto") == 1


def test_titles_stand_above_their_chunks() -> None:
    text = f"# Manual\n\n{SENTENCE * 16}\n\n## Férias\n\n{SENTENCE * 16}\n\n```\n# no\n```\n\nOutro\n=====\n{SENTENCE}"
    headings, tables = markdown_structure(text)
    chunks = list(chunks_of(whole(text, headings=headings, tables=tables)))

    assert [heading.title for heading in headings] == ["Manual", "Férias", "Outro"]
    assert chunks[0].headings == ("Manual",)
    assert ("Manual", "Férias") in {chunk.headings for chunk in chunks}


def test_static_chunks_have_so_many_tokens_and_repeat_so_many() -> None:
    content = whole(SENTENCE * 300)
    chunks = list(chunks_of(content, tokens=Tokens(800, 400)))

    assert_verbatim(chunks, content)
    assert all(690 <= estimate_tokens([chunk.text]) <= 800 for chunk in chunks[:-1])
    for before, chunk in pairwise(chunks):
        shared = before.spans[-1].end - chunk.spans[0].start
        assert 380 <= estimate_tokens([before.text[-shared:]]) <= 420
    assert "".join(merged_text(chunks)).strip() == content.pages[0].strip()


@pytest.mark.parametrize("wrong", ["", "Auto", "800", "800/401", "0/0", "800/-1", "8e2/1"])
def test_an_unknown_way_of_cutting_is_a_fault(wrong: str) -> None:
    with pytest.raises(ReadingFailed):
        read_chunking(wrong)


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "," * 100_000, "\n" * 50_000 + "x", "é " * 50_000, '{"a":1},' * 20_000]
)
@pytest.mark.parametrize("chunking", ["auto", "100/50"])
def test_text_without_sentences_is_cut_too(text: str, chunking: str) -> None:
    content = whole(text)
    chunks = list(chunks_of(content, tokens=read_chunking(chunking)))

    assert_verbatim(chunks, content)
    assert "".join("".join(merged_text(chunks)).split()) == "".join(text.split())


_PAGES = st.lists(
    st.text(
        alphabet=st.sampled_from("aé1 .\n\t§|#-)IVº\u2028\U0001f600"), max_size=3000
    ) | st.sampled_from([ACT, SENTENCE * 9, "Art. 1º a.\n" * 200]),
    min_size=1,
    max_size=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(pages=_PAGES, chunking=st.sampled_from(["auto", "100/50", "100/0", "800/400", "1/0"]))
def test_whatever_the_text_nothing_is_lost_and_all_is_verbatim(pages: list[str], chunking: str) -> None:
    content = paged(*pages)
    chunks = list(chunks_of(content, tokens=read_chunking(chunking)))

    assert_verbatim(chunks, content)
    assert "".join("".join(merged_text(chunks)).split()) == "".join("".join(pages).split())
    for chunk in chunks:
        assert all(0 <= at < len(chunk.text) for at, _ in chunk.articles)
        assert list(chunk.articles) == sorted(chunk.articles)
        place_of(chunk, len(chunk.text) - 1)
