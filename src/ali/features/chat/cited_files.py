"""Citations of documents that were files here: the provider, who was shown their content alone, gets no say in whose.

Anthropic's citations count a request's documents from 0 and repeat their titles. One that names the title of the file
at its place gets the file's identifier; in doubt it gets none.
"""

from typing import Any

import orjson

from ali.features.chat.envelope import CitedFiles
from ali.providers.sse import anthropic_event, event_data

_CITING = b'"citations_delta"'


def cited_event(event: bytes, *, files: CitedFiles) -> bytes:
    """An event of a Messages stream, its citation with the file. Costs a search for all but citations."""
    if _CITING not in event or (data := event_data(event)) is None:
        return event
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        return event  # for the relay to refuse
    delta = said.get("delta") if isinstance(said, dict) else None
    if not isinstance(delta, dict) or not _named(delta.get("citation"), files):
        return event
    return anthropic_event(str(said.get("type")).encode(), orjson.dumps(said))


def cited_message(body: bytes, files: CitedFiles) -> bytes:
    """A whole message, valid JSON, its citations with the files."""
    message = orjson.loads(body)
    blocks = message.get("content")
    named = [
        _named(citation, files)
        for block in (blocks if isinstance(blocks, list) else ())
        for citation in (block.get("citations") or () if isinstance(block, dict) else ())
    ]
    return orjson.dumps(message) if any(named) else body


def _named(citation: Any, files: CitedFiles) -> bool:  # noqa: ANN401 - a provider's JSON
    """Put the file into `citation`; whether there is one."""
    if not isinstance(citation, dict):
        return False
    index, title = citation.get("document_index"), citation.get("document_title")
    if not isinstance(index, int) or not 0 <= index < len(files) or not isinstance(title, str):
        return False
    file = files[index]
    if file is None or title.strip() != file[1].strip():
        return False
    citation["file_id"] = file[0]
    return True
