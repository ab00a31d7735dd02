from hypothesis import given
from hypothesis import strategies as st

from ali.providers.extractive.documents import Document, Kind
from ali.providers.extractive.layout import body_spans, regions_of
from ali.providers.extractive.sentences import Role, split


def sentences(text: str) -> list[str]:
    return [text[s.start : s.end] for s in split(text, 0, len(text))]


def roles(text: str) -> list[Role]:
    return [s.role for s in split(text, 0, len(text))]


def test_abbreviations_and_initials_end_no_sentence() -> None:
    assert sentences("O Dr. J. Silva citou o art. 5º da Lei nº 8.112, p. 12, e.g. Assim foi. Depois saiu.") == [
        "O Dr. J. Silva citou o art. 5º da Lei nº 8.112, p. 12, e.g. Assim foi.",
        "Depois saiu.",
    ]


def test_clauses_of_a_law_are_told_apart_on_one_line() -> None:
    text = "Art. 1º São fundamentos: I - a soberania; II - a cidadania. Parágrafo único. Todo o poder emana do povo."

    assert sentences(text) == [
        "Art. 1º São fundamentos:",
        "I - a soberania;",
        "II - a cidadania.",
        "Parágrafo único. Todo o poder emana do povo.",
    ]
    assert roles(text) == [Role.PROSE, Role.ITEM, Role.ITEM, Role.PROSE]


def test_lines_of_a_paragraph_read_on_and_headings_stand_alone() -> None:
    text = (
        "2.1 Installing the package\nThe package manager reads the list of packages from the server and then\n"
        "installs what was asked for. A second sentence follows it on the very\nsame paragraph."
    )

    assert roles(text) == [Role.HEADING, Role.PROSE, Role.PROSE]
    assert sentences(text)[1].endswith("installs what was asked for.")


def test_tables_of_contents_are_debris() -> None:
    assert roles("1.1 Basics . . . . . . . . 3\n1.2 More . . . . . . . . . 4") == [Role.DEBRIS, Role.DEBRIS]


def test_bullets_stay_outside_and_a_question_is_no_statement() -> None:
    text = "- first thing here\n- second thing here\n\nWhat comes next?"

    assert sentences(text) == ["first thing here", "second thing here", "What comes next?"]
    assert roles(text) == [Role.ITEM, Role.ITEM, Role.QUESTION]


def test_repeated_headers_and_page_numbers_are_not_running_text() -> None:
    pages = [f"Relatório anual\nTexto da página {word}.\n{n}" for n, word in enumerate(("um", "dois", "três"), start=1)]

    assert [page[a:b].strip() for page, (a, b) in zip(pages, body_spans(pages), strict=True)] == [
        "Texto da página um.",
        "Texto da página dois.",
        "Texto da página três.",
    ]


@given(st.text(alphabet=st.sampled_from("ab Á1.?!:;-\n•§IV)(º,"), max_size=6000))
def test_sentences_and_regions_never_overlap_and_lie_inside_their_text(text: str) -> None:
    document = Document(name="x", pages=(text,), kind=Kind.TEXT)
    end = 0
    for region in regions_of([document]):
        for sentence in split(text, region.start, region.end):
            assert end <= sentence.start < sentence.end <= region.end
            end = sentence.end
