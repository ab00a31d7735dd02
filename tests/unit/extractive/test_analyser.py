import pytest

from ali.providers.extractive.analyser import analyse, plain_number
from ali.providers.extractive.language import Language, fold, language_of


def surfaces(text: str) -> set[str]:
    return {term.surface for term in analyse(text, Language.PORTUGUESE)}


def test_words_are_folded_and_stemmed_by_language() -> None:
    (portuguese,) = analyse("Informações", Language.PORTUGUESE)
    (english,) = analyse("libraries", Language.ENGLISH)

    assert (portuguese.surface, portuguese.stem) == ("informacoes", analyse("informação", Language.PORTUGUESE)[0].stem)
    assert english.stem == analyse("library", Language.ENGLISH)[0].stem


def test_a_word_divided_at_a_line_end_or_written_in_parts_is_one_term() -> None:
    assert surfaces("informa-\nção") == {"informacao"}
    assert surfaces("informac\u0327a\u0303o") == {"informacao"}


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Lei nº 8.112/90", "lei:8112"),
        ("Lei 8112, de 1990", "lei:8112"),
        ("Lei Complementar n. 101", "lei:101"),
        ("Decreto-Lei nº 2.848", "decreto-lei:2848"),
        ("art. 7º", "art:7"),
        ("Artigo 7", "art:7"),
        ("art. 5o", "art:5"),
        ("Art. 1.024", "art:1024"),
        ("Art. 103-A", "art:103-a"),
        ("§ 3º", "par:3"),
        ("parágrafo único", "par:unico"),
        ("inciso IV", "inc:iv"),
        ("IV - a moradia", "inc:iv"),
        ("R$ 1.000,00", "brl:1000"),
        ("R$ 1000", "brl:1000"),
    ],
)
def test_what_brazilian_law_cites_is_a_term_however_it_is_written(text: str, term: str) -> None:
    assert term in surfaces(text)


@pytest.mark.parametrize(
    ("written", "plain"),
    [("1.000,00", "1000"), ("1,000.50", "1000.5"), ("8.112", "8112"), ("3,14", "3.14"), ("2.4.1", "2.4.1")],
)
def test_numbers_are_compared_without_their_separators(written: str, plain: str) -> None:
    assert plain_number(written) == plain


def test_language_is_told_by_stop_words() -> None:
    assert language_of("Qual é o prazo para a entrega?") is Language.PORTUGUESE
    assert language_of("What is the deadline?") is Language.ENGLISH
    assert language_of("dpkg", default=Language.PORTUGUESE) is Language.PORTUGUESE
    assert fold("ÓRGÃO ﬁm") == "orgao fim"
