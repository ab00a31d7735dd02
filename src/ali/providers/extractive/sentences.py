"""Sentences of running text, with where they stand: prose, list items, clauses of laws, headings, tables of contents.

Text from PDFs has a line end at every visual line and none of the blank lines that the eye saw, so blocks are found by
how lines begin, end, and how long they are; sentences, by their punctuation within a block.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from ali.providers.extractive.language import STOP_WORDS, fold, word_set


class Role(StrEnum):
    """What a sentence is in its text."""

    PROSE = "prose"
    ITEM = "item"
    """Belongs to the list before it: a bullet, an inciso, an alínea."""
    HEADING = "heading"
    QUESTION = "question"
    DEBRIS = "debris"
    """Lines of a table of contents, an index, a rule: never quoted."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A span of a page and its role."""

    start: int
    end: int
    role: Role


_ABBREVIATIONS = word_set(
    """art arts dr dra drs sr sra srs srta prof profa prof.a no nos num p pp pag pags
    fig figs cap caps inc incs al obs ex vs
    mr mrs ms st jr ltd ltda cia av tel sec secs vol vols ed eds cf min max approx dept par parag op cit ibid apud
    eg ie e.g i.e u.s u.k d.c a.c v ss seg segs res dec port proc des min rel gov gen col cel eng adv
    exmo exma ilmo v.exa
    jan fev feb mar abr apr mai jun jul ago aug set sep sept out oct nov dez inst univ corp co eq eqs tab ref refs ver
    aprox depto n"""
)
_ROMAN = r"[IVXLC]+"
_MARKER = re.compile(
    rf"""\s*(?:
        (?P<bullet>[•●▪◦‣∙·*+\u2013\u2014-][ \t]+(?=\S))
      | (?P<quote>>[ \t]?)
      | (?P<item>{_ROMAN}\s*[-\u2013\u2014]\s | [a-z]\)\s | \(?[a-z0-9]{{1,2}}\)\s | \d{{1,3}}[.)]\s)
      | (?P<article>(?:Art(?:igo)?\.?\s*\d|ART(?:IGO)?\.?\s*\d|§\s*\d|Par[áa]grafo\s[úu]nico|PAR[ÁA]GRAFO\s[ÚU]NICO))
      | (?P<heading>\#{{1,6}}[ \t]+|(?:T[ÍI]TULO|CAP[ÍI]TULO|SE[ÇC][ÃA]O
            |SUBSE[ÇC][ÃA]O|Cap[íi]tulo|Chapter|CHAPTER|Ap[êe]ndice
            |Appendix|Se[çc][ãa]o)
            \s+(?:{_ROMAN}|\d+|[A-Z])\b|\d{{1,2}}(?:\.\d{{1,3}})+\.?[ \t]+(?=[^\W\d_]))
      | (?P<note>\d{1, 2}(?=[A-Z\u00c0-\u00dd][a-z\u00df-\u00ff]))
      | (?P<option>--?[a-z][\w-]*)
      | (?P<table>\|)
      | (?P<fence>```|~~~)
    )""",
    re.VERBOSE,
)
_END = re.compile(r"""[.!?…]+["'\u201d\u2019»)\]*_]*(?=\s)""")
_INLINE_ITEM = re.compile(
    rf"(?:[;:,.)]\s(?:e\s|ou\s|and\s|or\s)?)(?=(?:{_ROMAN}\s*[-\u2013\u2014]\s|[a-z]\)\s|§\s*\d|Par[áa]grafo [úu]nico))"
)
_LABEL = re.compile(
    r"\s*(?:\d+|(?:Art\.?|Artigo|ART\.?|§)?\s*\d+[ºªo°]?(?:-[A-Z])?|Par[áa]grafo\s[úu]nico|PAR[ÁA]GRAFO\s[ÚU]NICO)\s*"
)
_DOT_LEADERS = re.compile(r"(?:\.\s?){4,}\s*\w{0,6}|…{2,}|_{4,}")
_ADDRESS = re.compile(r"://|www\.")
_BULLETS = "#>•●▪◦‣∙·*+-\u2013\u2014"
_TERMINAL = ".!?;:…"
_CLOSERS = "\"'\u201d\u2019»)]*_"


def split(text: str, start: int, end: int) -> list[Sentence]:
    """The sentences of `text[start:end]`, in order. Spans carry no surrounding space and no list bullet."""
    sentences: list[Sentence] = []
    for block_start, block_end, role in _blocks(text, start, end):
        if role in {Role.HEADING, Role.DEBRIS}:
            _append(sentences, text, block_start, block_end, role)
            continue
        at, of_sentence = block_start, role
        for cut in _cuts(text, block_start, block_end):
            _append(sentences, text, at, cut, of_sentence)
            of_sentence = Role.ITEM if _starts_item(text, cut) else Role.PROSE
            at = cut
        _append(sentences, text, at, block_end, of_sentence)
    return sentences


def _append(sentences: list[Sentence], text: str, start: int, end: int, role: Role) -> None:
    """Add the span, trimmed; a sentence that asks has a role of its own, and one of few letters is debris."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start == end:
        return
    body = text[start:end]
    letters = sum(char.isalpha() for char in body)
    if _DOT_LEADERS.search(body) or letters < 2 or letters * 3 < len(body) - body.count(" "):
        role = Role.DEBRIS if not re.search(r"\d", body) or _DOT_LEADERS.search(body) else role
    elif body.rstrip(_CLOSERS).endswith("?"):
        role = Role.QUESTION
    sentences.append(Sentence(start, end, role))


def _starts_item(text: str, at: int) -> bool:
    marker = _MARKER.match(text, at)
    return marker is not None and marker.lastgroup in {"item", "bullet"}


def _cuts(text: str, start: int, end: int) -> list[int]:
    """Offsets inside the span at which a new sentence begins."""
    cuts = [match.end() for match in _END.finditer(text, start, end) if _ends_sentence(text, match, start, end)]
    cuts += [match.end() for match in _INLINE_ITEM.finditer(text, start, end)]
    return sorted({cut for cut in cuts if cut < end})


def _ends_sentence(text: str, match: re.Match[str], start: int, end: int) -> bool:
    """Whether punctuation ends the sentence: not an abbreviation, an initial, a numeral before its text."""
    following = text[match.end() : end].lstrip()
    if not following or following[0].islower():
        return False
    if match[0][0] != "." or match[0].startswith(".."):
        return True
    before = re.search(r"[^\s(\[\"“]+$", text[max(start, match.start() - 40) : match.start()])
    word = before[0] if before else ""
    if (len(word) == 1 and word.isupper()) or fold(word) in _ABBREVIATIONS:
        return False
    if _ADDRESS.search(word) and text[match.end() : match.end() + 1] == "\n" and "." in following.split(maxsplit=1)[0]:
        return False  # an address that goes on in the next line
    return not _LABEL.fullmatch(text, _sentence_start(text, match.start(), start), match.start())


def _sentence_start(text: str, at: int, start: int) -> int:
    """Where a label that ends at `at` would begin: after the last punctuation before it."""
    before = max(
        (text.rfind(mark, start, at) for mark in ".;:!?)\n" if text.rfind(mark, start, at) < at - 5), default=-1
    )
    return start if before < start else before + 1


def _blocks(text: str, start: int, end: int) -> list[tuple[int, int, Role]]:
    """Blocks of lines that read on: paragraphs, list items, headings. Bullets are left outside."""
    lines = [match.span() for match in re.compile(r"[^\n]+").finditer(text, start, end) if match[0].strip()]
    if not lines:
        return []
    lengths = sorted(len(text[a:b].strip()) for a, b in lines)
    width = lengths[int(len(lengths) * 0.8)]
    blocks: list[tuple[int, int, Role]] = []
    fenced = False
    runs_on = True
    previous = ""
    for number, (line_start, line_end) in enumerate(lines):
        line = text[line_start:line_end].strip()
        following = text[slice(*lines[number + 1])].strip() if number + 1 < len(lines) else ""
        marker = _MARKER.match(text, line_start, line_end)
        kind = marker.lastgroup if marker else None
        fenced ^= kind == "fence"
        blank = number > 0 and text.count("\n", lines[number - 1][1], line_start) > 1
        debris = kind == "fence" or _DOT_LEADERS.search(line) is not None
        if blocks and not (fenced or blank or debris or kind or not runs_on or _breaks(previous, line, width=width)):
            opened, _, role = blocks[-1]
            blocks[-1] = (opened, line_end, role)
        else:
            bullet = marker is not None and line[0] in _BULLETS and kind in {"bullet", "quote", "heading"}
            role = Role.DEBRIS if debris else _role(line, kind=kind, following=following, width=width)
            blocks.append((marker.end() if marker and bullet else line_start, line_end, role))
        runs_on = role not in {Role.HEADING, Role.DEBRIS} or (
            role is Role.HEADING and line[-1] != "?" and _runs_on(line, following, width=width)
        )
        previous = line
    return blocks


def _breaks(previous: str, line: str, *, width: int) -> bool:
    """Whether a new block begins between two lines: the first ends short, and does not ask for the second."""
    last = fold(previous.rsplit(maxsplit=1)[-1].lstrip("(["))
    if previous.endswith(("-", ",")) or line[0].islower() or last.removesuffix(".") in _ABBREVIATIONS:
        return False
    if len(previous) >= 0.75 * width and not (len(previous) < 0.9 * width and previous[-1] in _TERMINAL):
        return len(previous) > 240 and previous[-1] in _TERMINAL
    return not any(last in words for words in STOP_WORDS.values())


def _runs_on(line: str, following: str, *, width: int) -> bool:
    """Whether a heading goes on in the next line: it fills its line, and the next is short."""
    return bool(following) and len(line) >= 0.6 * width and len(following) < 0.6 * width


def _role(line: str, *, kind: str | None, following: str, width: int) -> Role:
    if kind in {"item", "bullet"} and not _numbered_title(line, following):
        return Role.ITEM
    if kind == "heading" and (line[0] == "#" or line.rstrip(_CLOSERS)[-1:] not in {".", ";", ","}):
        return Role.HEADING
    if kind in {"article", "table", "quote"} or len(line) > 100 or line[-1] in _TERMINAL + ",-":
        return Role.PROSE
    words = re.findall(r"[^\W\d_]+", line)
    if not words or not following or following[0].islower():
        return Role.PROSE
    if (line.isupper() and len(words) > 1) or line.startswith("--"):
        return Role.HEADING  # the latter: an option, before what it does
    short = len(words) <= 9 and len(line) < 0.7 * width and (line[0].isupper() or line[0].isdigit())
    return Role.HEADING if short and len(following) > 1.3 * len(line) else Role.PROSE


def _numbered_title(line: str, following: str) -> bool:
    """Whether "3. Installing" is a title: short, without an end, and before something much longer."""
    return bool(re.match(r"\d", line)) and len(line) < 60 and line[-1] not in _TERMINAL + "," and len(following) > 60
