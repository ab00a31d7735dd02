import gzip
import json
import random
from pathlib import Path
from time import perf_counter

import pytest

from ali.providers.extractive import Document, Kind, answer, read_document
from ali.providers.extractive.language import Language
from tests.unit.extractive.pdf_bytes import MANUAL

MANUAL_READ = read_document(MANUAL, name="manual.pdf")
LAW = Document(
    name="lei.txt",
    pages=(
        (
            "Art. 1º São fundamentos da República: I - a soberania; II - a cidadania; III - a dignidade.\n\n"
            "Art. 2º São Poderes da União o Legislativo, o Executivo e o Judiciário.\n\n"
            "Art. 3º O servidor regido pela Lei nº 8.112/90 toma posse em trinta dias. "
            "§ 1º O prazo pode ser prorrogado. § 2º A multa é de R$ 1.000,00 por dia.\n\n"
            "Art. 4º Aplica-se o disposto no art. 2º aos Estados. § 2º Os Municípios seguem regra própria."
        ),
    ),
)
FAQUAD = Path(__file__).parents[4] / "shared" / "retrieval" / "faquad"


@pytest.mark.parametrize(
    ("question", "page", "part"),
    [
        ("De quanto em quanto tempo se troca o filtro de óleo?", 1, "a cada 500 horas"),
        ("Quem projetou a bomba?", 0, "Ana Souza"),
        ("qual e o prazo da garantia?", 1, "24 meses"),
        ("Quanto pesa o equipamento?", 2, "85 kg"),
        ("Posso abrir a tampa com o motor funcionando?", 2, "Nunca abra a tampa"),
    ],
)
def test_the_best_quote_holds_the_answer_and_says_its_page(question: str, page: int, part: str) -> None:
    found = answer(question, [MANUAL_READ])

    assert part in found.quotes[0].text
    assert found.quotes[0].page == page
    assert found.language is Language.PORTUGUESE


def test_every_quote_is_byte_equal_to_its_source() -> None:
    for question in ("Qual é a garantia da bomba?", "O filtro de óleo e o motor", "art. 3º"):
        for documents in ([MANUAL_READ, LAW], [LAW]):
            for quote in answer(question, documents).quotes:
                assert documents[quote.document].pages[quote.page][quote.start : quote.end] == quote.text


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("O que diz o art. 2º?", "Art. 2º São Poderes"),
        ("O que diz o artigo 3, § 2º?", "§ 2º A multa"),
        ("O que diz o parágrafo 2º do art. 4º?", "§ 2º Os Municípios"),
        ("Quando toma posse o servidor da Lei 8112?", "Art. 3º O servidor"),
        ("Quais são os fundamentos da República?", "Art. 1º São fundamentos da República: I - a soberania; II"),
        ("Qual é a multa de R$ 1000?", "§ 2º A multa"),
    ],
)
def test_articles_and_laws_are_found_by_how_they_are_cited(question: str, begins: str) -> None:
    assert answer(question, [LAW]).quotes[0].text.startswith(begins)


@pytest.mark.parametrize("question", ["Qual é a capital da Austrália?", "Who won the 1998 World Cup?", "???", "de a o"])
def test_a_question_on_another_subject_is_not_answered(question: str) -> None:
    found = answer(question, [MANUAL_READ, LAW])

    assert found.abstained
    assert found.confidence < 0.5


def test_the_header_of_every_page_is_never_quoted() -> None:
    texts = [quote.text for quote in answer("O que é a Bomba Hidráulica?", [MANUAL_READ]).quotes]

    assert "Manual da Bomba Hidráulica" not in texts


def test_a_heading_that_asks_the_same_lends_its_words_to_the_answer_below() -> None:
    faq = Document(
        name="faq.md",
        pages=(
            (
                "# FAQ\n\n## How do I reset my password?\n\nOpen the settings and press Reset.\n\n"
                "## How do I close my account?\n\nWrite to support.\n"
            ),
        ),
    )

    assert answer("How can I reset my password?", [faq]).quotes[0].text == "Open the settings and press Reset."


def test_an_empty_list_of_documents_answers_nothing() -> None:
    assert answer("Qual é o prazo?", []).abstained


def test_a_long_document_costs_well_under_a_second() -> None:
    page = "\n".join(f"Linha {n} sobre o regulamento do serviço, com palavras comuns de um texto." for n in range(45))
    document = Document(name="longo.pdf", pages=(page,) * 99 + (MANUAL_READ.pages[1],), kind=Kind.PDF)

    started_s = perf_counter()
    found = answer("A cada quantas horas o filtro de óleo é trocado?", [document])

    assert perf_counter() - started_s < 1.0
    assert found.quotes[0].page == 99


@pytest.mark.skipif(not FAQUAD.is_dir(), reason="the retrieval development sets are not beside this checkout")
def test_on_faquad_among_distractors_the_answer_is_quoted_and_other_subjects_are_refused() -> None:
    def rows(path: Path) -> list[dict[str, str]]:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    chance = random.Random(11)  # noqa: S311 - a sample
    documents = {row["id"]: Document(name=row["id"], pages=(row["text"],)) for row in rows(FAQUAD / "corpus.jsonl.gz")}
    others = [Document(name=row["id"], pages=(row["text"],)) for row in rows(FAQUAD.parent / "oab" / "corpus.jsonl.gz")]
    questions = [row for row in rows(FAQUAD / "queries.jsonl.gz") if not row.get("unanswerable")]
    found = 0
    on_topic: list[float] = []
    off_topic: list[float] = []
    for row in chance.sample(questions, 120):
        pool = [documents[row["doc"]], *chance.sample(list(documents.values()), 20)]
        told = answer(row["text"], pool)
        on_topic.append(told.confidence)
        quoted = [" ".join(quote.text.split()) for quote in told.quotes]
        found += any(" ".join(span.split()) in text for span in row["answers"] for text in quoted)
        off_topic.append(answer(row["text"], chance.sample(others, 20)).confidence)
    wins = sum((on > off) + 0.5 * (on == off) for on in on_topic for off in off_topic)

    assert found / 120 >= 0.9
    assert wins / (len(on_topic) * len(off_topic)) >= 0.97


def test_a_word_of_the_same_family_counts_where_the_word_itself_does_not_stand() -> None:
    document = Document(
        name="nota.txt",
        pages=("A sede fica no centro da cidade. O lançamento das notas é feito no sistema acadêmico. Nada mais.",),
    )

    assert answer("Onde lançar notas?", [document]).quotes[0].text.startswith("O lançamento das notas")
