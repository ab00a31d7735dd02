"""From a Messages request to a question and the documents that it may be answered from.

The question is the last user turn's text, or the part of it that asks where it also brings material. Material is every
document, search result and tool result, the user's earlier messages, and, with less weight, the system text. What the
assistant said before is none: the model would quote itself. Images are not read. Source: Anthropic's API reference,
"Messages".
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.extractive.documents import Document, Kind, read_document
from ali.providers.extractive.pdf import UnreadableDocument
from ali.providers.turns.tool_names import FILE_SEARCH

OnPage = Callable[[str, int, int], None]
"""Told (document's name, pages read, pages in all) while a PDF is read."""

_SYSTEM_WEIGHT = 0.6
_MESSAGE_WEIGHT = 0.9
_RELEVANCE_STEP, _LEAST_RELEVANCE = 0.04, 0.6
_RESULTS_READ = 8
"""Of search results, the best: all are about what is asked, so more of them make its words look common."""
_SHORT_CHARACTERS = 300
_MATERIAL_CHARACTERS = 200
_LABEL = re.compile(
    r"\s*(?:(?:helpful |final )?(?:answer|resposta|response|ai|assistant|assistente)\s*:?|</?\w+>)\s*", re.IGNORECASE
)
_ASKING = re.compile(
    r"\W*(?:(?:question|pergunta|query|user|human)\s*:|(?:what|who|when|where|why|how|which|does|is|are|can|list"
    r"|explain|describe|summari[sz]e|define"
    r"|find|tell|quote"
    r"|o que|que|quem|quando|onde|por que|porque|como|qual|quais|quant[oa]s?|liste|explique|descreva|resuma|defina"
    r"|cite|encontre|diga|segundo|de acordo)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A question and what it may be answered from. `texts` is all text of the request, for counting tokens. `searched`:
    files were searched for it.
    """

    question: str
    documents: tuple[Document, ...]
    texts: tuple[str, ...]
    searched: bool = False


@dataclass(slots=True)
class _Gathering:
    """What has been found so far, in the order of the request."""

    on_page: OnPage | None
    documents: list[Document] = field(default_factory=list)
    results: list[Document] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    """Of the results, as they say themselves; 0 where one does not."""
    messages: list[Document] = field(default_factory=list)
    spoken: list[str] = field(default_factory=list)
    tools: dict[str, str] = field(default_factory=dict)
    searched: bool = False


def material_of(request: dict[str, Any], *, on_page: OnPage | None = None) -> Material:
    """Read a Messages request. Raises `InvalidRequest`, and `UnreadableDocument` for a document that cannot be read."""
    _refuse_unsupported(request)
    turns = request.get("messages")
    if not isinstance(turns, list) or not turns:
        raise InvalidRequest("messages must be a list of at least one message.", param="messages")
    gathering = _Gathering(on_page)
    system = _joined(_blocks(request.get("system") or "", param="system"))
    if system:
        gathering.messages.append(Document(name="system", pages=(system,), kind=Kind.MESSAGE, weight=_SYSTEM_WEIGHT))
    asked: tuple[int, str] | None = None
    for number, turn in enumerate(turns):
        text = _gather_turn(turn, number, gathering)
        if text:
            asked = (number, text)
            gathering.messages.append(
                Document(name=f"message {number + 1}", pages=(text,), kind=Kind.MESSAGE, weight=_MESSAGE_WEIGHT)
            )
    if asked is None:
        raise InvalidRequest("There is no question: the messages have no text by the user.", param="messages")
    return _assembled(gathering, name=f"message {asked[0] + 1}", text=asked[1])


def _assembled(gathering: _Gathering, *, name: str, text: str) -> Material:
    """The question taken out of the last message that has text; what is left of that, if it is much, is material.

    It is none beside search results: what was searched for is asked about, and a message would quote itself.
    """
    others = bool(gathering.documents or gathering.results or len(gathering.messages) > 1)
    start, end = question_span(text, alone=not others)
    messages: list[Document] = []
    for message in gathering.messages:
        if message.name != name:
            messages.append(message)
        elif not gathering.results and len((text[:start] + text[end:]).strip()) >= (
            _MATERIAL_CHARACTERS if others else 1
        ):
            messages.append(replace(message, hidden=((start, end),)))
    documents = [replace(document, index=index) for index, document in enumerate(gathering.documents)]
    documents += [replace(message, index=len(documents) + index) for index, message in enumerate(messages)]
    weights = _relevance(gathering.scores)
    read = sorted(range(len(weights)), key=lambda index: -weights[index])[:_RESULTS_READ]
    documents += [replace(gathering.results[index], index=index, weight=weights[index]) for index in sorted(read)]
    texts = [page for document in gathering.documents + gathering.results for page in document.pages]
    texts += [message.pages[0] for message in gathering.messages]
    return Material(
        question=text[start:end],
        documents=tuple(documents),
        texts=(*texts, *gathering.spoken),
        searched=gathering.searched,
    )


def _refuse_unsupported(request: dict[str, Any]) -> None:
    """Refuse what quoting cannot do, rather than answer something else."""
    if isinstance(choice := request.get("tool_choice"), dict) and choice.get("type") in ("any", "tool"):
        raise InvalidRequest(
            "ali-extractive quotes what it is given and calls no tools; leave tool_choice out.", param="tool_choice"
        )
    config = request.get("output_config")
    if request.get("output_format") or (isinstance(config, dict) and config.get("format")):
        raise InvalidRequest(
            "ali-extractive quotes what it is given and cannot write to a JSON schema; choose a provider's model.",
            param="output_config",
        )


def _gather_turn(turn: Any, number: int, gathering: _Gathering) -> str:  # noqa: ANN401 - untrusted JSON
    """Put a message's documents and results into `gathering`; returns the user's own text in it, "" for others."""
    where = f"messages.{number}"
    if not isinstance(turn, dict) or turn.get("role") not in {"user", "assistant", "system"}:
        raise InvalidRequest("Each message needs a role, user or assistant, and content.", param=where)
    blocks = _blocks(turn.get("content"), param=f"{where}.content")
    if turn["role"] == "assistant":
        gathering.spoken.append(_joined(blocks))
        gathering.tools.update(
            (str(block.get("id")), str(block.get("name"))) for block in blocks if block.get("type") == "tool_use"
        )
        return ""
    for index, block in enumerate(blocks):
        _gather_block(block, gathering, param=f"{where}.content.{index}")
    text = _joined(blocks)
    if turn["role"] == "system":
        gathering.messages.append(
            Document(name=f"message {number + 1}", pages=(text,), kind=Kind.MESSAGE, weight=_SYSTEM_WEIGHT)
        )
        return ""
    return text


def _gather_block(block: dict[str, Any], gathering: _Gathering, *, param: str) -> None:
    match block.get("type"):
        case "document":
            gathering.documents.append(_document(block, gathering, param=param))
        case "search_result":
            gathering.results.append(_search_result(block, param=param))
            gathering.scores.append(_score(block.get("score")))
        case "tool_result":
            content = _blocks(block.get("content") or "", param=f"{param}.content")
            text = _joined(content)
            name = gathering.tools.get(str(block.get("tool_use_id")), "tool result")
            gathering.searched = gathering.searched or name == FILE_SEARCH
            if text and name != FILE_SEARCH and not block.get("is_error"):
                gathering.messages.append(Document(name=name, pages=(text,), kind=Kind.MESSAGE))
            for index, inner in enumerate(content):
                if inner.get("type") in {"document", "search_result"}:
                    _gather_block(inner, gathering, param=f"{param}.content.{index}")
        case _:
            pass


def _document(block: dict[str, Any], gathering: _Gathering, *, param: str) -> Document:
    title = block.get("title")
    name = title if isinstance(title, str) and title.strip() else f"document {len(gathering.documents) + 1}"
    source = block.get("source")
    if not isinstance(source, dict):
        raise InvalidRequest(f"{name} has no source.", param=f"{param}.source")
    cited = _wants_citations(block)
    data = source.get("data")
    match source.get("type"):
        case "base64" if isinstance(data, str):
            return replace(_decoded(data, name=name, gathering=gathering, param=param), cited=cited)
        case "text" if isinstance(data, str):
            if not data.strip():
                raise UnreadableDocument(f"{name} is empty.", param=f"{param}.source.data")
            return Document(name=name, pages=(data,), kind=Kind.TEXT, cited=cited)
        case "content":
            blocks = _blocks(source.get("content"), param=f"{param}.source.content")
            return Document(name=name, pages=tuple(map(_text_of, blocks)), kind=Kind.BLOCKS, cited=cited)
        case "url" | "file":
            raise InvalidRequest(
                f"{name} is named by a URL or file id. ali-extractive reads what the request contains: "
                "send it as base64 or text.",
                param=f"{param}.source.type",
            )
        case _:
            raise InvalidRequest(f"{name} has a source of no known type, or without data.", param=f"{param}.source")


def _decoded(data: str, *, name: str, gathering: _Gathering, param: str) -> Document:
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{name} is not valid base64.", param=f"{param}.source.data") from error
    on_page = gathering.on_page
    try:
        return read_document(
            content, name=name, on_page=None if on_page is None else lambda done, count: on_page(name, done, count)
        )
    except UnreadableDocument as error:
        raise UnreadableDocument(error.message, param=f"{param}.source.data") from error


def _search_result(block: dict[str, Any], *, param: str) -> Document:
    content = _blocks(block.get("content"), param=f"{param}.content")
    source, title = str(block.get("source") or ""), block.get("title")
    name = title if isinstance(title, str) and title.strip() else source or "search result"
    return Document(
        name=name,
        pages=tuple(map(_text_of, content)),
        kind=Kind.SEARCH_RESULT,
        source=source,
        cited=_wants_citations(block),
        places=tuple(_places(block.get("places"))),
    )


def _score(raw: Any) -> float:  # noqa: ANN401 - untrusted JSON
    return float(raw) if isinstance(raw, int | float) and 0 < raw <= 1 else 0.0


def _relevance(scores: Sequence[float]) -> list[float]:
    """What each search result counts: its score beside the best, or, where one has none, its place: best come first."""
    if all(scores):
        return [score / max(scores) for score in scores]
    return [max(_LEAST_RELEVANCE, 1 - _RELEVANCE_STEP * place) for place in range(len(scores))]


def _places(raw: Any) -> Iterator[tuple[int, str]]:  # noqa: ANN401 - untrusted JSON
    for entry in raw if isinstance(raw, list) else ():
        match entry:
            case [int(start), str(place)]:
                yield start, place
            case _:
                pass


def _wants_citations(block: dict[str, Any]) -> bool:
    """Citations are given unless the block turns them off: a place is the point of a quote."""
    config = block.get("citations")
    return not (isinstance(config, dict) and config.get("enabled") is False)


def _blocks(content: Any, *, param: str) -> list[dict[str, Any]]:  # noqa: ANN401 - untrusted JSON
    """Content as a list of blocks, a string being one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise InvalidRequest("content must be a string or a list of content blocks.", param=param)
    return content


def _text_of(block: dict[str, Any]) -> str:
    text = block.get("text") if block.get("type") == "text" else None
    return text if isinstance(text, str) else ""


def _joined(blocks: list[dict[str, Any]]) -> str:
    return "\n\n".join(filter(None, map(_text_of, blocks)))


def question_span(text: str, *, alone: bool) -> tuple[int, int]:
    """The part of a message that asks: all of a short one, else the paragraph, or the sentence, that asks.

    `alone`: there is nothing else to answer from, so that a short message may bring its own material.
    """
    paragraphs = [match.span() for match in re.finditer(r"\S[^\n]*(?:\n(?!\s*\n)[^\n]*)*", text)]
    if not paragraphs:
        return 0, len(text)
    if len(text) <= _SHORT_CHARACTERS and not (alone and "?" in text):
        return 0, len(text)
    while len(paragraphs) > 1 and _LABEL.fullmatch(text, *paragraphs[-1]):
        paragraphs.pop()
    for start, end in _paragraphs_by_likelihood(text, paragraphs):
        if "?" in text[start:end] or _ASKING.match(text, start, end):
            return _asking_part(text, start, end)
    if (mark := text.rfind("?")) > 0:
        return max(text.rfind(end, 0, mark) for end in ".!?\n") + 1, mark + 1
    if len(text) <= _SHORT_CHARACTERS:
        return 0, len(text)
    start, end = paragraphs[-1]
    return (start, end) if end - start <= _SHORT_CHARACTERS else _last_sentence(text, start, end)


def _paragraphs_by_likelihood(text: str, paragraphs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Those labelled as the question, then the last, then the first."""
    labelled = re.compile(r"\W*(?:question|pergunta)\s*:", re.IGNORECASE)
    yield from (span for span in reversed(paragraphs) if labelled.match(text, *span))
    yield paragraphs[-1]
    yield paragraphs[0]


def _asking_part(text: str, start: int, end: int) -> tuple[int, int]:
    """Of a paragraph that asks: its questions, if it holds more than them; all of it, where it is short."""
    asked: list[tuple[int, int]] = []
    begun = start
    for ending in re.compile(r"[.!?]+(?=\s|$)|\?+").finditer(text, start, end):
        if ending[0][-1] == "?":
            asked.append((begun, ending.end()))
        begun = ending.end()
    if asked and (end - start > _SHORT_CHARACTERS or asked[0][0] > start):
        first = asked[0] if asked[-1][1] - asked[0][0] <= _SHORT_CHARACTERS else asked[-1]
        return first[0], asked[-1][1]
    lines = text[start:end].split("\n")
    if not asked and len(lines) > 1 and end - start > _SHORT_CHARACTERS:
        return (end - len(lines[-1]), end) if _ASKING.match(lines[-1]) else (start, start + len(lines[0]))
    return start, end


def _last_sentence(text: str, start: int, end: int) -> tuple[int, int]:
    cut = max(text.rfind(mark, start, end - 1) for mark in (". ", "! ", "\n", ".\n"))
    return (cut + 1, end) if cut >= start else (start, end)
