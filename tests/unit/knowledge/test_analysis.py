from ali.features.knowledge.analysis import AnalysedQuery, analyse_query, index_terms
from ali.features.knowledge.chunk import Analysed, Chunk
from ali.features.knowledge.signature import SENTENCE_END, Trait, likeness, same_stem, same_word, unpack, word_of

KEY = b"k" * 32
OTHER_KEY = b"o" * 32


def analysed(text: str, *, language: str = "pt", key: bytes = KEY, **parts: tuple[str, ...]) -> Analysed:
    return index_terms(Chunk(text=text, spans=(), language=language, **parts), key=key)  # type: ignore[arg-type] # parts


def finds(query: AnalysedQuery, chunk: Analysed) -> int:
    """How many of the question's groups the chunk has."""
    return sum(any(term in chunk.terms for term in group.terms) for group in query.groups)


def test_a_chunk_is_kept_without_its_words_and_differently_under_each_key() -> None:
    text = "A garantia do equipamento é de doze meses."
    one, other = analysed(text), analysed(text, key=OTHER_KEY)

    assert not set(one.terms) & set(other.terms)
    assert one.signature != other.signature
    assert one == analysed(text)
    assert b"garantia" not in one.signature
    assert all(-(2**63) <= term < 2**63 for term in one.terms)


def test_counts_are_distinct_terms_up_to_fifteen_and_words_are_all() -> None:
    chunk = analysed("prazo " * 40 + "garantia garantia de uma")

    assert sorted(chunk.counts) == [2, 15]
    assert chunk.words == 42
    assert len(chunk.terms) == len(set(chunk.terms)) == 2


def test_headings_and_the_place_in_the_law_are_words_of_the_chunk() -> None:
    chunk = analysed("É vedada a exigência.", headings=("Estatuto do servidor",), law=("Título II", "Art. 7º", "§ 3º"))

    assert finds(analyse_query("estatuto servidor", key=KEY), chunk) == 2
    assert finds(analyse_query("artigo 7", key=KEY), chunk) >= 2
    assert finds(analyse_query("§ 3º", key=KEY), chunk) >= 1


def test_a_question_finds_other_forms_of_its_words_with_and_without_accents_in_both_languages() -> None:
    portuguese = analysed("As informações foram publicadas pelos servidores.")
    english = analysed("The servers published their informations.", language="en")

    for question in ("informacao publicada servidor", "informações publicar servidores", "INFORMAÇÃO"):
        query = analyse_query(question, key=KEY)
        assert finds(query, portuguese) == len(query.groups)
    assert finds(analyse_query("published servers", key=KEY), english) == 2


def test_a_repeated_word_weighs_more_and_a_generic_one_less() -> None:
    repeated = analyse_query("multa e multas sobre prazo", key=KEY)
    generic = analyse_query("documento sobre multa", key=KEY)

    assert [group.weight for group in repeated.groups] == [2.0, 0.5]
    assert [group.weight for group in generic.groups] == [0.5, 1.0]


def test_a_law_is_one_term_however_it_is_written() -> None:
    chunk = analysed("Nos termos da Lei nº 8.112, de 1990, a multa é de R$ 1.000,00.")

    for question in ("lei 8112", "Lei n. 8.112/90", "R$ 1000"):
        groups = analyse_query(question, key=KEY).groups
        assert any(term in chunk.terms for term in groups[-1].terms), question


def test_a_question_of_stop_words_or_of_nothing_has_no_groups() -> None:
    for question in ("", "o que é a de", "???", "the of and"):
        assert analyse_query(question, key=KEY).groups == ()


def test_a_very_long_question_is_read_in_part() -> None:
    query = analyse_query(" ".join(f"palavra{number}" for number in range(5000)), key=KEY)

    assert len(query.groups) == 128


def test_a_signature_has_the_words_in_order_and_what_each_sentence_shows() -> None:
    chunk = analysed("Foi criado em 1996. Tecnologia é o conjunto das técnicas.", headings=("História",))
    keys, marks = unpack(chunk.signature)
    ends = [Trait(mark) for key, mark in zip(keys, marks, strict=True) if key == SENTENCE_END]

    assert len(keys) == chunk.words + 3
    assert ends[0] == Trait.HEADING
    assert Trait.DATE in ends[1]
    assert Trait.DEFINITION not in ends[1]
    assert Trait.DEFINITION in ends[2]


def test_words_of_one_family_are_alike_and_numbers_are_not() -> None:
    build, building, year, years = (
        word_of(*forms, key=KEY)
        for forms in (("construir", "constru"), ("construcao", "construca"), ("1990", "1990"), ("19901", "19901"))
    )

    assert build[0] == building[0]
    assert not same_stem(build[1], building[1])
    assert likeness(build[1], building[1]) == 0.4
    assert likeness(year[1], years[1]) == 0.0
    assert year[0] != years[0]
    assert same_stem(build[1], build[1])
    assert same_word(build[1], build[1])
