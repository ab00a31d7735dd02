"""Citations across dialects: Anthropic's five kinds of location, OpenAI's `url_citation` annotation."""

from typing import Any


def cited_span(citation: dict[str, Any], *, start: int, end: int) -> dict[str, Any]:
    """An entry of `message.citations`, our extension to a chat message: Anthropic's citation as it came, and the
    span of `message.content` (characters, end excluded) that it supports.
    """
    return {"start_index": start, "end_index": end, "citation": citation}


def url_annotations(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of `spans` that cite a web page, as OpenAI's `annotations`."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": span["start_index"],
                "end_index": span["end_index"],
                "url": span["citation"]["url"],
                "title": title if isinstance(title := span["citation"].get("title"), str) else "",
            },
        }
        for span in spans
        if span["citation"].get("type") == "web_search_result_location" and isinstance(span["citation"].get("url"), str)
    ]


def web_citations(annotations: list[dict[str, Any]], *, content: str) -> list[dict[str, Any]]:
    """OpenAI's `url_citation` annotations on `content` as Anthropic's citations of web results.

    `encrypted_index` is empty: it is Anthropic's own, and such a citation is not to be sent back to it. An annotation
    of another shape is passed over: it is an ornament of the answer, not a part.
    """
    found = []
    for annotation in annotations:
        cited = annotation.get("url_citation")
        if not isinstance(cited, dict) or not isinstance(cited.get("url"), str):
            continue
        start, end, title = cited.get("start_index"), cited.get("end_index"), cited.get("title")
        found.append(
            {
                "type": "web_search_result_location",
                "cited_text": content[start:end] if isinstance(start, int) and isinstance(end, int) else "",
                "encrypted_index": "",
                "title": title if isinstance(title, str) else None,
                "url": cited["url"],
            }
        )
    return found
