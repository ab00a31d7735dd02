from ali.features.knowledge.analysis import AnalysedQuery, analyse_query, index_terms
from ali.features.knowledge.chunk import Analysed, Chunk
from ali.features.knowledge.ranking import Candidate, Ranked, Statistics, rank

KEY = b"k" * 32


def statistics(query: AnalysedQuery, chunks: list[Analysed]) -> Statistics:
    return Statistics(
        chunks=len(chunks),
        words=sum(chunk.words for chunk in chunks),
        frequencies=tuple(
            sum(term in chunk.terms for chunk in chunks for term in group.terms) for group in query.groups
        ),
    )


def ranked(question: str, texts: list[str], *, language: str = "pt") -> list[Ranked]:
    query = analyse_query(question, key=KEY)
    chunks = [index_terms(Chunk(text=text, spans=(), language=language), key=KEY) for text in texts]
    candidates = [
        Candidate(number=number, bm25=0.0, words=chunk.words, signature=chunk.signature)
        for number, chunk in enumerate(chunks)
    ]
    return rank(query, candidates, statistics=statistics(query, chunks))


def test_words_that_stand_together_in_one_sentence_come_first() -> None:
    texts = [
        "O prazo corre. A garantia é de fábrica. O equipamento novo chegou.",
        "O prazo de garantia do equipamento é de um ano. Outra coisa chegou de fábrica.",
    ]

    assert [each.number for each in ranked("Qual é o prazo de garantia do equipamento?", texts)] == [1, 0]


def test_a_law_is_found_however_its_number_is_written() -> None:
    texts = ["Aplica-se a Lei nº 8.112, de 1990.", "Aplica-se a Lei nº 8.666, de 1993."]

    assert ranked("lei 8112", texts)[0].number == 0
    assert ranked("lei 8112", texts)[1].score < ranked("lei 8112", texts)[0].score


def test_scores_are_from_nothing_to_one() -> None:
    for question in ("prazo", "prazo de garantia", "nada disto ocorre", "o que", ""):
        for each in ranked(question, ["prazo de garantia", "prazo " * 300, "outro"]):
            assert 0 <= each.score <= 1
            assert all(0 <= part <= 1 for part in each.scores.values())


def test_of_two_equal_passages_that_of_a_document_with_more_to_say_comes_first() -> None:
    text = "A multa por atraso é de dez por cento."
    chunks = [
        index_terms(Chunk(text=text, spans=(), language="pt"), key=KEY)
        for text in (text, text, "A multa não é devida.")
    ]
    query = analyse_query("multa por atraso", key=KEY)
    found = rank(
        query,
        [
            Candidate(number=number, bm25=0.0, words=chunk.words, signature=chunk.signature, document=document)
            for number, (chunk, document) in enumerate(zip(chunks, ("a", "b", "b"), strict=True))
        ],
        statistics=statistics(query, chunks),
    )

    assert [each.number for each in found] == [1, 0, 2]
    assert found[0].scores["company"] > found[1].scores["company"] == 0


def test_a_sentence_that_shows_what_is_asked_for_comes_first() -> None:
    texts = ["O curso de informática foi implantado aos poucos.", "O curso de informática foi implantado em 1996."]

    assert ranked("Quando foi implantado o curso de informática?", texts)[0].number == 1
    assert ranked("O curso de informática foi implantado?", texts)[0].number == 0


def test_words_of_one_family_are_better_than_none() -> None:
    texts = ["O conhecimento humano.", "A construção do conhecimento."]

    assert ranked("O que constrói o conhecimento?", texts)[0].number == 1
