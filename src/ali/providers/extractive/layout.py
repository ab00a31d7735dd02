"""Where the running text of a document stands: without what is repeated on the pages' edges, cut into regions."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ali.providers.extractive.documents import Document, Kind

REGION_CHARACTERS = 2000
_EDGE_LINES = 3
_REPEATED_PAGES = 3
_DENSE = 0.4
"""Of the pages from the first with a header to the last, so many have it; on facing pages it is every second."""
_PAGE_NUMBER = re.compile(r"(?:p[áa]gina|page|p\.)?\s*[\divxlc]{1,6}(?:\s*(?:/|de|of)\s*\d+)?", re.IGNORECASE)
_CUTS = (
    re.compile(r"\n[ \t]*\n"),
    re.compile(r"(?<=[.!?;])[ \t]*\n(?=\s*[^\sa-z\u00df-\u00ff])"),
    re.compile(r"\n"),
    re.compile(r"\s"),
)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of one page, about two thousand characters, cut where a sentence ends if that can be."""

    document: int
    page: int
    start: int
    end: int


def regions_of(documents: Sequence[Document]) -> list[Region]:
    """All regions of all documents, in order."""
    regions: list[Region] = []
    for number, document in enumerate(documents):
        bodies = body_spans(document.pages) if document.kind is Kind.PDF else [(0, len(p)) for p in document.pages]
        for page, (start, end) in enumerate(bodies):
            for region_start, region_end in _visible(start, end, document.hidden):
                regions.extend(
                    Region(number, page, *span) for span in _cut(document.pages[page], region_start, region_end)
                )
    return regions


def _visible(start: int, end: int, hidden: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The span without what is hidden."""
    spans: list[tuple[int, int]] = []
    for hidden_start, hidden_end in sorted(hidden):
        spans.append((start, hidden_start))
        start = hidden_end
    spans.append((start, end))
    return [(left, right) for left, right in spans if right > left]


def _cut(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span in parts of about `REGION_CHARACTERS`, cut at blank lines, else ends of sentences, lines, words."""
    spans: list[tuple[int, int]] = []
    while end - start > REGION_CHARACTERS * 1.5:
        low, high = start + REGION_CHARACTERS // 2, start + REGION_CHARACTERS
        at = high
        for pattern in _CUTS:
            found = list(pattern.finditer(text, low, high))
            if found:
                at = found[-1].end()
                break
        spans.append((start, at))
        start = at
    if text[start:end].strip():
        spans.append((start, end))
    return spans


def body_spans(pages: Sequence[str]) -> list[tuple[int, int]]:
    """The span of each page without its header and footer: page numbers, and edge lines that three or more pages share.

    Digits count as equal, so "Chapter 1: Packages 16" and "… 17" are one line. What chances to stand at the edge of
    some pages here and there, as the first row of a table or "Note", is no header.
    """
    edges = [_edges(page) for page in pages]
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for number, (head, foot) in enumerate(edges):
        shapes = {_shape(line) for line, _, _ in (*head, *foot)}
        if head:
            shapes |= {_running_title(head[0][0]), _running_title(foot[-1][0])}
        for shape in shapes:
            seen[shape].append(number)
    counts = Counter(
        {
            shape: len(found)
            for shape, found in seen.items()
            if shape and len(found) >= _DENSE * (found[-1] - found[0] + 1)
        }
    )
    bodies: list[tuple[int, int]] = []
    for page, (head, foot) in zip(pages, edges, strict=True):
        start, end = 0, len(page)
        for line, _, line_end in head:
            if not _marginal(line, counts):
                break
            start = line_end
        for line, line_start, _ in reversed(foot):
            if line_start < start or not _marginal(line, counts):
                break
            end = line_start
        bodies.append((start, max(start, end)))
    return bodies


def _edges(page: str) -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
    """The first and the last few lines that are not blank, each with its span."""
    lines = [(line, m.start(), m.end()) for m in re.finditer(r"[^\n]+", page) if (line := m[0].strip())]
    return lines[:_EDGE_LINES], lines[-_EDGE_LINES:]


def _shape(line: str) -> str:
    return re.sub(r"\d+|\b[ivxlc]+$|^[ivxlc]+\b", "#", line)


def _running_title(line: str) -> str:
    """How a line of capitals begins: "CHAPTER 3. PACKAGES 3.2 …" opens every page of its chapter; "" for others."""
    return _shape(line)[:24] if line.upper() == line and len(line) > 24 else ""


def _marginal(line: str, counts: Counter[str]) -> bool:
    shape = _shape(line)
    return (
        counts[_running_title(line)] >= _REPEATED_PAGES
        or bool(_PAGE_NUMBER.fullmatch(line))
        or (counts[shape] >= _REPEATED_PAGES and len(line) <= 160 and shape != "")
    )
