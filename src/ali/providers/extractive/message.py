"""The answer as a Messages response and as its stream: each quote a text block with its place and its citation.

`cited_text` is byte-equal to the text given (of a content block, all of it, as Anthropic defines that citation). What
is shown between the quotation marks is the sentence with its line breaks folded into spaces and nothing else changed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_never

import orjson

from ali.providers.extractive.answering import answer
from ali.providers.extractive.documents import Document, Kind
from ali.providers.extractive.language import Language
from ali.providers.extractive.quotes import Answer, Quote
from ali.providers.extractive.request import Material, OnPage, material_of
from ali.providers.extractive.tokens import cut_to_tokens, estimate_tokens
from ali.providers.sse import anthropic_event

MODEL = "ali-extractive"

_NOTHING = {
    Language.PORTUGUESE: "Não encontrei, no que foi enviado, nada que responda a esta pergunta.",
    Language.ENGLISH: "I found nothing in what was given that answers this question.",
}
_NO_MATERIAL = {
    Language.PORTUGUESE: "Não encontrei nada que responda: nenhum documento ou texto foi enviado com a pergunta.",
    Language.ENGLISH: "I found nothing that answers: no document or text was given with the question.",
}
_NOTHING_IN_FILES = {
    Language.PORTUGUESE: "Não encontrei, nos arquivos pesquisados, nada que responda a esta pergunta.",
    Language.ENGLISH: "I found nothing in the files that were searched that answers this question.",
}
_FOUND_IN_FILES = {
    Language.PORTUGUESE: "Passagens encontradas nos arquivos:",
    Language.ENGLISH: "Passages found in the files:",
}
_PAGE = {Language.PORTUGUESE: "p.", Language.ENGLISH: "p."}
_LINE = {Language.PORTUGUESE: "linha", Language.ENGLISH: "line"}
_BLOCK = {Language.PORTUGUESE: "bloco", Language.ENGLISH: "block"}
_MESSAGE_WORDS = {"message": "mensagem", "system": "instruções do sistema", "tool result": "resultado de ferramenta"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A request read and answered, before it is put in words."""

    material: Material
    answer: Answer


def examine(request: dict[str, Any], *, on_page: OnPage | None = None) -> Examined:
    """Read and answer a Messages request. Raises `InvalidRequest`."""
    material = material_of(request, on_page=on_page)
    return Examined(material=material, answer=answer(material.question, material.documents))


def message_for(request: dict[str, Any], *, message_id: str) -> dict[str, Any]:
    """The whole Messages response to `request`. Raises `InvalidRequest`, and nothing else for any JSON object."""
    limit = request.get("max_tokens")
    return compose(
        examine(request), message_id=message_id, max_tokens=limit if isinstance(limit, int) and limit > 0 else None
    )


def compose(examined: Examined, *, message_id: str, max_tokens: int | None = None) -> dict[str, Any]:
    """The Messages response for an answer; past `max_tokens`, as `tokens` estimates them, the text is cut."""
    blocks, whole = _within(_text_blocks(examined), max_tokens=max_tokens)
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": blocks,
        "stop_reason": "end_turn" if whole else "max_tokens",
        "stop_sequence": None,
        "usage": {
            "input_tokens": estimate_tokens(examined.material.texts),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": estimate_tokens(block["text"] for block in blocks),
        },
    }


def count_tokens(request: dict[str, Any]) -> int:
    """The request's tokens, as `usage.input_tokens` would report them. Raises `InvalidRequest`. Reads its documents."""
    return estimate_tokens(material_of(request).texts)


def displayed(text: str) -> str:
    """A quote on one line: line breaks folded into spaces; a word divided at a line's end is put together."""
    joined = re.sub(r"([^\W\d_])-\n[ \t]*(?=[a-z\u00df-\u00ff])", r"\1", text)
    return re.sub(
        r"(?<=[/-])\n[ \t]*|\s+", lambda match: "" if match[0][0] == "\n" and _glued(joined, match) else " ", joined
    )


def _glued(text: str, match: re.Match[str]) -> bool:
    return (
        match.start() > 0
        and text[match.start() - 1] in "/-"
        and text[match.start() - 2 : match.start() - 1].strip() != ""
    )


def place(quote: Quote, document: Document, *, language: Language) -> str:
    """Where a quote stands, for people: "manual.pdf, p. 12", "notes.md, line 40", "message 3"."""
    match document.kind:
        case Kind.PDF:
            return f"{document.name}, {_PAGE[language]} {quote.page + 1}"
        case Kind.TEXT:
            line = document.pages[0].count("\n", 0, quote.start) + 1
            return f"{document.name}, {_LINE[language]} {line}"
        case Kind.BLOCKS:
            return f"{document.name}, {_BLOCK[language]} {quote.page + 1}"
        case Kind.SEARCH_RESULT:
            there = [where for start, where in document.places if where and start <= quote.start]
            return f"{document.name}, {there[-1]}" if there else document.name
        case Kind.MESSAGE:
            name, _, number = (
                document.name.partition(" ") if document.name.startswith("message ") else (document.name, "", "")
            )
            word = _MESSAGE_WORDS.get(name, name) if language is Language.PORTUGUESE else name
            return f"{word} {number}".strip()
        case never:
            assert_never(never)


def citation(quote: Quote, document: Document) -> dict[str, Any]:
    """The quote's citation in Anthropic's form for its kind of document. Page ends and offsets are exclusive."""
    if document.kind is Kind.SEARCH_RESULT:
        return {
            "type": "search_result_location",
            "cited_text": document.pages[quote.page],
            "search_result_index": document.index,
            "source": document.source,
            "title": document.name,
            "start_block_index": quote.page,
            "end_block_index": quote.page + 1,
            **({"start_char_index": quote.start, "end_char_index": quote.end} if document.places else {}),
        }
    shared = {
        "cited_text": quote.text,
        "document_index": document.index,
        "document_title": document.name,
        "file_id": None,
    }
    match document.kind:
        case Kind.PDF:
            return {
                "type": "page_location",
                **shared,
                "start_page_number": quote.page + 1,
                "end_page_number": quote.page + 2,
            }
        case Kind.BLOCKS:
            return {
                "type": "content_block_location",
                **shared,
                "cited_text": document.pages[quote.page],
                "start_block_index": quote.page,
                "end_block_index": quote.page + 1,
            }
        case Kind.TEXT | Kind.MESSAGE:
            return {
                "type": "char_location",
                **shared,
                "start_char_index": quote.start,
                "end_char_index": quote.end,
            }
        case never:
            assert_never(never)


def _text_blocks(examined: Examined) -> list[dict[str, Any]]:
    """One block a quote, with the blank line that parts it from another; what was searched for is said to be found."""
    found, searched = examined.answer, examined.material.searched
    if found.abstained:
        words = _NOTHING_IN_FILES if searched else _NOTHING if examined.material.documents else _NO_MATERIAL
        return [{"type": "text", "text": words[found.language], "citations": None}]
    blocks: list[dict[str, Any]] = []
    for quote in found.quotes:
        document = examined.material.documents[quote.document]
        text = f"“{displayed(quote.text)}” ({place(quote, document, language=found.language)})"
        citations = [citation(quote, document)] if document.cited else None
        blocks.append({"type": "text", "text": text, "citations": citations})
    if searched:  # citations stand where the block ends, so what parts them begins the next
        for block in blocks:
            block["text"] = "\n\n" + block["text"]
        return [{"type": "text", "text": _FOUND_IN_FILES[found.language], "citations": None}, *blocks]
    for block in blocks[:-1]:
        block["text"] += "\n\n"
    return blocks


def _within(blocks: list[dict[str, Any]], *, max_tokens: int | None) -> tuple[list[dict[str, Any]], bool]:
    """The blocks that fit, the last of them cut and then without its citation; and whether all of them did."""
    if max_tokens is None:
        return blocks, True
    fitting: list[dict[str, Any]] = []
    left = max_tokens
    for block in blocks:
        size = estimate_tokens([block["text"]])
        if size > left:
            if cut := cut_to_tokens(block["text"], limit=left):
                fitting.append({**block, "text": cut, "citations": None})
            return fitting, False
        fitting.append(block)
        left -= size
    return fitting, True


def stream_of(message: dict[str, Any]) -> Iterator[bytes]:
    """A Messages response as Anthropic's events, one `bytes` an event, the text a word at a time."""
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 0}}
    yield _event("message_start", message=opening)
    for index, block in enumerate(message["content"]):
        citations = block.get("citations")
        empty: dict[str, Any] = {"type": "text", "text": "", "citations": [] if citations else None}
        yield _event("content_block_start", index=index, content_block=empty)
        for piece in re.findall(r"\S+\s*|\s+", block["text"]):
            yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
        for cited in citations or ():
            yield _event("content_block_delta", index=index, delta={"type": "citations_delta", "citation": cited})
        yield _event("content_block_stop", index=index)
    yield _event(
        "message_delta",
        delta={"stop_reason": message["stop_reason"], "stop_sequence": None},
        usage={"output_tokens": usage["output_tokens"]},
    )
    yield _event("message_stop")


def _event(name: str, **fields: Any) -> bytes:  # noqa: ANN401 - JSON
    return anthropic_event(name.encode(), orjson.dumps({"type": name, **fields}))
