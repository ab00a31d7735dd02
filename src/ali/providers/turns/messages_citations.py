"""Anthropic's citations as the annotations that the Responses API knows."""

from typing import Any

_OF_A_DOCUMENT = ("char_location", "page_location", "content_block_location")


def annotation_of(citation: dict[str, Any], *, end: int) -> dict[str, Any] | None:
    """`citation` of a block of `end` characters, which it supports as a whole; None for a kind that is not known.

    What a page on the web says is a `url_citation` over the block's text. A document or search result is a
    `file_citation` at its end, by the identifier and title it has; the quoted words and their place in the document
    have no field there.
    """
    kind = citation.get("type")
    if kind == "web_search_result_location":
        return _url_citation(citation.get("url"), citation, end=end)
    if kind == "search_result_location":
        source = _text(citation.get("source"))
        if source.startswith(("https://", "http://")):
            return _url_citation(source, citation, end=end)
        return _file_citation(source, citation.get("title"), end=end)
    if kind in _OF_A_DOCUMENT:
        return _file_citation(citation.get("file_id"), citation.get("document_title"), end=end)
    return None


def _url_citation(url: object, citation: dict[str, Any], *, end: int) -> dict[str, Any]:
    title = _text(citation.get("title"))
    return {"type": "url_citation", "start_index": 0, "end_index": end, "url": _text(url), "title": title}


def _file_citation(file_id: object, name: object, *, end: int) -> dict[str, Any]:
    return {"type": "file_citation", "index": end, "file_id": _text(file_id), "filename": _text(name)}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
