"""Where a provision of an act of law begins, and how it is cited: Título > Capítulo > Art. > § > inciso > alínea.

Brazilian acts (Lei Complementar 95/1998, art. 10, says how they are built), contracts by clauses, and English ones by
parts, sections and bracketed paragraphs. A provision begins a line. A line that begins with an article that is only
referred to ("… conforme o / Art. 5º da Constituição") is told apart by what stands around it.
"""

import re
from collections.abc import Iterator

_ROMAN = r"[IVXLC]+"
_ORDINALS = (
    "PRIMEIR[OA]|SEGUND[OA]|TERCEIR[OA]|QUART[OA]|QUINT[OA]|SEXT[OA]|S[ÉE]TIM[OA]|OITAV[OA]|NON[OA]|D[ÉE]CIM[OA]"
    r"(?:[ -]\w{5,8})?|[ÚU]NIC[OA]"
)
_NUMBER = r"\d{1,2}\.\d{3}|\d{1,4}"
_LETTER = r"(?:\s?[-\u2013]\s?[A-Z]{1,2}\b)?"
_PROVISION = re.compile(
    rf"""^[ \t]*(?:\#{{1,6}}[ \t]+|>[ \t]+)?(?:\*\*|__)?(?:
        (?P<division>(?:ANEXO|Anexo|PARTE|Parte|LIVRO|Livro|T[ÍI]TULO|T[íi]tulo|CAP[ÍI]TULO|Cap[íi]tulo
            |SUBSE[ÇC][ÃA]O|Subse[çc][ãa]o|SE[ÇC][ÃA]O|Se[çc][ãa]o|Seção|PART|Part|TITLE|Title|CHAPTER|Chapter
            |SCHEDULE|Schedule|ANNEX|Annex))
        [ \t]+(?P<division_number>(?:{_ROMAN}|\d{{1,3}}|[A-Z])(?:-[A-Z])?(?![\w,;)])|(?:{_ORDINALS}|GERAL|ESPECIAL)\b)
      | (?P<annex>ANEXO)[ \t]*$
      | (?:Art\.?|ART\.?|Artigo|ARTIGO)[ \t]*(?P<article>{_NUMBER})[ \t]?(?:[ºª°˚]|o\b)?(?P<article_letter>{_LETTER})
      | (?:Article|ARTICLE)[ \t]+(?P<en_article>\d{{1,4}}|{_ROMAN}\b)
      | (?:Section|SECTION|Sec\.|SEC\.)[ \t]+(?P<section>\d{{1,4}}(?:[.\-]\d{{1,4}})*[A-Z]?)
      | (?:CL[ÁA]USULA|Cl[áa]usula)[ \t]+(?P<clause>\d{{1,3}}(?:\.\d{{1,2}})*[ªaº]?(?![\w])|(?i:{_ORDINALS})\b)
      | §[ \t]*(?P<paragraph>\d{{1,3}})[ \t]?(?:[ºª°˚]|o\b)?(?P<paragraph_letter>{_LETTER})(?!\w)
      | (?P<only>(?:Par[áa]grafo|PAR[ÁA]GRAFO)[ \t]+(?:[úu]nico|[ÚU]NICO))
      | (?P<item>{_ROMAN})(?P<item_letter>-[A-Z])?[ \t]*[-\u2013\u2014](?=\s)
      | (?P<point>[a-z]{{1,2}})\)(?=\s)
      | \((?P<bracketed>[a-z]{{1,4}}|\d{{1,3}}|[A-Z])\)(?=[\s(])
    )""",
    re.VERBOSE | re.MULTILINE,
)
_FEWEST_ARTICLES = 3
_DIVISIONS = {
    **dict.fromkeys(("anexo", "schedule", "annex"), 0),
    **dict.fromkeys(("parte", "part"), 1),
    "livro": 2,
    **dict.fromkeys(("título", "titulo", "title"), 3),
    **dict.fromkeys(("capítulo", "capitulo", "chapter"), 4),
    **dict.fromkeys(("seção", "secao", "secção", "seçao", "secão"), 5),
    **dict.fromkeys(("subseção", "subsecao", "subseçao", "subsecão"), 6),
}
_SPELT = {
    "titulo": "Título",
    "capitulo": "Capítulo",
    **dict.fromkeys(("secao", "seçao", "secão"), "Seção"),
    **dict.fromkeys(("subsecao", "subseçao", "subsecão"), "Subseção"),
}
_ARTICLE, _PARAGRAPH, _ITEM, _POINT, _BRACKETED = 7, 8, 9, 10, 11
_CITED_FROM = re.compile(r"(?:Art\.|Article|Section|Cláusula)\s")
_ENDS_SENTENCE = ".;:!?)]}\"'\u201d\u2019\u00bb*_-\u2013\u2014"


def is_act(text: str) -> bool:
    """Whether `text` is built like an act of law or a contract by clauses: three lines or more begin an article."""
    found = 0
    for match in _PROVISION.finditer(text):
        if match["article"] or match["en_article"] or match["section"] or match["clause"]:
            found += _begins(text, match.start(), match.end())
        if found >= _FEWEST_ARTICLES:
            return True
    return False


def provisions(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Where each provision of an act begins, with the path to it as printed in a citation, in order."""
    path: list[tuple[int, str]] = []
    last_article = 0
    for match in _PROVISION.finditer(text):
        found = _provision(match, path)
        if found is None:
            continue
        level, label = found
        if level == _ARTICLE:
            number = int(re.sub(r"\D", "", match["article"] or match["en_article"] or match["section"] or "") or 0)
            if not _begins(text, match.start(), match.end()) and number != last_article + 1:
                continue
            last_article = number
        path = [*(step for step in path if step[0] < level), (level, label)]
        at = match.start() + len(match[0]) - len(match[0].lstrip())
        yield at, tuple(step for _, step in path)


def _provision(match: re.Match[str], path: list[tuple[int, str]]) -> tuple[int, str] | None:  # noqa: PLR0911 - one each
    """The level and the label of what begins here; None where it can be none at this place of the act."""
    kind = match.lastgroup or ""
    within_article = any(level == _ARTICLE for level, _ in path)
    if match["division"]:
        word = match["division"].lower()
        number = match["division_number"]
        if number.isupper() and len(number) > 3 and not re.fullmatch(_ROMAN, number):
            number = number.capitalize()
        return _DIVISIONS[word], f"{_SPELT.get(word, word.capitalize())} {number}"
    if kind == "annex":
        return 0, "Anexo"
    if match["article"]:
        return _ARTICLE, f"Art. {_ordinal(match['article'])}{_letter(match['article_letter'])}"
    if match["en_article"]:
        return _ARTICLE, f"Article {match['en_article']}"
    if match["section"]:
        return _ARTICLE, f"Section {match['section']}"
    if match["clause"]:
        number = match["clause"]
        return _ARTICLE, f"Cláusula {number if number[0].isdigit() else number.lower()}"
    if not within_article:
        return None
    if match["paragraph"]:
        return _PARAGRAPH, f"§ {_ordinal(match['paragraph'])}{_letter(match['paragraph_letter'])}"
    if match["only"]:
        return _PARAGRAPH, "Parágrafo único"
    if match["item"]:
        return _ITEM, match["item"] + (match["item_letter"] or "")
    if match["point"]:
        return _POINT, match["point"]
    return _bracketed(match["bracketed"], path)


def _bracketed(mark: str, path: list[tuple[int, str]]) -> tuple[int, str]:
    """A paragraph as English acts mark it, "(a)", "(1)", "(i)": as deep as those of its kind, or one step deeper."""
    marks = [(level, label[1:-1]) for level, label in path if level >= _BRACKETED]
    kind = _bracket_kind(mark, [label for _, label in marks])
    for place, (level, label) in enumerate(marks):
        if _bracket_kind(label, [before for _, before in marks[:place]]) == kind:
            return level, f"({mark})"
    return max([_BRACKETED - 1, *(level for level, _ in marks)]) + 1, f"({mark})"


def _bracket_kind(mark: str, before: list[str]) -> str:
    if mark.isdigit():
        return "number"
    if mark.isupper():
        return "capital"
    # "(i)" is the first small Roman numeral, unless "(h)" came before it.
    return "roman" if re.fullmatch(r"[ivxl]+", mark) and before and before[-1] != "h" else "letter"


def _ordinal(number: str) -> str:
    """Up to 9 a number is an ordinal in a Brazilian citation (Lei Complementar 95/1998, art. 10)."""
    return f"{number}º" if len(number) == 1 else number


def _letter(text: str | None) -> str:
    return "-" + text.strip(" -\u2013") if text else ""


def _begins(text: str, start: int, end: int) -> bool:
    """Whether an article begins here, rather than being referred to by a sentence that was wrapped before it."""
    after = text[end : end + 12].lstrip(" \t")
    if after[:1].islower() or after.startswith((",", ";", ")", "º,")):
        return False
    before = text[max(0, start - 160) : start].rstrip(" \t")
    if not before or before.endswith("\n\n") or not before.endswith("\n"):
        return True
    line = before.rstrip().rpartition("\n")[2].strip()
    return not line or line[-1] in _ENDS_SENTENCE or (not line[-1].isalnum() and line[-1] != ",") or _is_title(line)


def _is_title(line: str) -> bool:
    """A line that stands over an article without ending a sentence: a heading, in capitals or short and capitalised."""
    words = [word for word in line.split() if len(word) > 3]
    return line.isupper() or (len(line) < 70 and bool(words) and all(word[0].isupper() for word in words))


def citation(path: tuple[str, ...]) -> str:
    """A path in the form of a citation: "Art. 7º, § 3º, IV, a"; above the articles, "Título II, Capítulo I"."""
    for place, label in enumerate(path):
        if _CITED_FROM.match(label):
            bracketed = [step for step in path[place:] if step.startswith("(")]
            others = [step[0].lower() + step[1:] if step == "Parágrafo único" else step for step in path[place:]]
            return ", ".join(step for step in others if not step.startswith("(")) + "".join(bracketed)
    return ", ".join(path)
