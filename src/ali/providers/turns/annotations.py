"""Citations of the upstreams as the annotations of a response's text.

Responses knows `url_citation` for pages and `file_citation` for files, and no place inside a file. So what Anthropic's
kinds of citation (and `ali-extractive`'s) say beyond that goes along whole in `citation`, our extension, which the
official SDKs keep.
"""

from typing import Any, Final

from ali.providers.translate.shapes import provider_dump
from ali.providers.turns.citing import Citations

_PAGES: Final = ("http://", "https://")
_FURTHEST: Final = 2**31 - 1


def url_annotation(annotation: dict[str, Any], *, offset: int, length: int) -> dict[str, Any] | None:
    """A chat message's `url_citation` as an annotation of the part that begins `offset` characters into the content.

    `length`: the part's characters so far, the span where none is told. None for anything that is no such citation: it
    is an ornament of the answer, not a part.
    """
    cited = annotation.get("url_citation")
    if not isinstance(cited, dict) or not isinstance(cited.get("url"), str):
        return None
    start, end = _span(cited, offset=offset, length=length)
    return _page(cited["url"], cited.get("title"), start=start, end=end)


def cited_annotation(span: dict[str, Any], *, offset: int, length: int) -> dict[str, Any] | None:
    """An entry of `citations`, our extension to a chat message: Anthropic's citation and the span it supports.

    None for a web result, which comes as `url_citation` as well, and for what is no citation.
    """
    citation = span.get("citation")
    if not isinstance(citation, dict) or citation.get("type") == "web_search_result_location":
        return None
    start, end = _span(span, offset=offset, length=length)
    return citation_annotation(citation, start=start, end=end)


def citation_annotation(
    citation: dict[str, Any], *, start: int, end: int, given: Citations | None = None
) -> dict[str, Any] | None:
    """Anthropic's citation of the characters `start` to `end` (excluded) of a part; None for an unknown kind.

    A search result whose source is a handle of `given` is what has that handle.

    A page of the web, and a search result whose source is one, is a `url_citation`; else a `file_citation`. Its
    `filename` is the title, its `file_id` that of an uploaded file or a search result's source, or empty. Raises
    `UpstreamMalformed` for one that cannot be written again (nested too deeply).
    """
    provider_dump(citation, what="a citation")
    match citation.get("type"):
        case "web_search_result_location":
            annotation = _page(_text(citation.get("url")), citation.get("title"), start=start, end=end)
        case "search_result_location":
            source = _text(citation.get("source"))
            if given is not None and (own := given.cite(source, span=_chars(citation))) is not None:
                return {**own, "index": end}
            if source.startswith(_PAGES):
                annotation = _page(source, citation.get("title"), start=start, end=end)
            else:
                annotation = _file(source, citation.get("title"), end=end)
        case "char_location" | "page_location" | "content_block_location":
            annotation = _file(citation.get("file_id"), citation.get("document_title"), end=end)
        case _:
            return None
    return {**annotation, "citation": citation}


def _file(file_id: object, name: object, *, end: int) -> dict[str, Any]:
    return {"type": "file_citation", "file_id": _text(file_id), "filename": _text(name), "index": end}


def _page(url: str, title: object, *, start: int, end: int) -> dict[str, Any]:
    return {
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "url": url,
        "title": _text(title),
    }


def _span(told: dict[str, Any], *, offset: int, length: int) -> tuple[int, int]:
    start, end = told.get("start_index"), told.get("end_index")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= _FURTHEST:
        return 0, length
    return max(0, start - offset), max(0, end - offset)


def _chars(citation: dict[str, Any]) -> tuple[int, int] | None:
    """Which characters of a search result are cited: `ali-extractive` says it, Anthropic does not."""
    start, end = citation.get("start_char_index"), citation.get("end_char_index")
    return (start, end) if type(start) is int and type(end) is int and 0 <= start < end else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
