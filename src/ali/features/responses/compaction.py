"""Compaction: what was said before, told in short by the model itself, and sealed into one item.

    history … last question   →   compaction item   →   summary, last question   →   the model

What is not answered yet stays word for word: the caller's newest items, with the calls that they answer. Any model of
the project reads the summary. Sources: OpenAI API reference, "Compact a response" and `context_management`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ali.features.responses.compaction_prompt import INSTRUCTIONS, REQUEST
from ali.features.responses.file_search.shown import with_searches
from ali.features.responses.history import fitted, is_answer, is_told, shown
from ali.features.responses.sealing import Seal, Unseal
from ali.features.responses.turn import Question
from ali.features.responses.weighing import estimated_tokens
from ali.providers.contract import UpstreamMalformed

Json = dict[str, Any]

_USUAL_SHARE: Final = 0.75
"""Of the model's window, where the caller names no threshold."""
_SUMMARY_TOKENS: Final = 8_192
"""Kept free in the window for the summary."""
_MOST_ASKED: Final = 4_000
_MOST_QUOTED: Final = 2_000
_MOST_EXTRACT: Final = 48_000
_MOST_OTHER: Final = 2_000
_OF_THE_CALLER: Final = ("service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be told in short. `unanswered`: so many items at the end stay; `later`: what the model is shown of
    them; `asked`: what the user says in them.
    """

    earlier: list[Json]
    later: list[Json]
    unanswered: int
    asked: str

    def payload(self, summary: str) -> Json:
        """What the item holds."""
        return {"summary": summary, "unanswered": self.unanswered, "asked": self.asked}


def planned(
    said: Sequence[Json],
    *,
    threshold: int | None,
    instructions: str,
    window_tokens: int,
    asked_for: bool,
    unseal: Unseal,
) -> Plan | None:
    """What to compact of `said`, all items in order; None where it is not due, or where nothing can be.

    `threshold`: tokens (None: none is named). `asked_for`: the caller wants it now, and no answer.
    """
    most = threshold or int(window_tokens * _USUAL_SHARE)
    if not asked_for and estimated_tokens(shown(said, unseal=unseal)) + len(instructions) // 4 <= most:
        return None
    start = len(said) if asked_for else unanswered_from(said)
    earlier = shown(said[:start], unseal=unseal)
    if all(is_told(item) for item in earlier) and not asked_for:
        return None
    later = said[start:]
    asked = "\n".join(text for item in later if item.get("role") == "user" for text in _texts(item.get("content")))
    return Plan(
        earlier=earlier,
        later=shown(later, unseal=unseal, before=said[:start]),
        unanswered=len(later),
        asked=clipped(asked, most=_MOST_ASKED),
    )


def unanswered_from(said: Sequence[Json]) -> int:
    """Where the part begins that the model is still to answer: the caller's last items, and the calls (with the
    reasoning that led to them) whose outputs are among these.
    """
    start = len(said)
    while start and _is_callers(said[start - 1]):
        start -= 1
    while True:
        names = {item["call_id"] for item in said[start:] if is_answer(item)}
        first = next((at for at in range(start) if _is_call_of(said[at], names)), start)
        if first == start:
            return start
        while first and not _is_callers(said[first - 1]) and said[first - 1].get("type") != "compaction":
            first -= 1
        start = first


def _is_call_of(item: Json, names: set[str]) -> bool:
    return item.get("call_id") in names and not is_answer(item)


def _is_callers(item: Json) -> bool:
    kind = item.get("type")
    if kind == "message":
        return item.get("role") != "assistant"
    return is_answer(item) or kind in ("mcp_approval_response", "compaction_trigger")


def summary_question(earlier: Sequence[Json], *, document: Json, window_tokens: int) -> Question:
    """What the model is asked for a summary. `document`: the caller's request, whose service tier and keys hold."""
    fit = fitted(with_searches(earlier, None), window_tokens=window_tokens, output_tokens=_SUMMARY_TOKENS)
    parts = [*_transcript(fit, instructions=document.get("instructions"))]
    parts.append({"type": "input_text", "text": REQUEST})
    return Question(
        parameters={
            **{name: document[name] for name in _OF_THE_CALLER if document.get(name) is not None},
            "instructions": INSTRUCTIONS,
        },
        items=[{"type": "message", "role": "user", "content": _joined(parts)}],
    )


def summary_in(output: Iterable[Json], *, provider: str) -> str:
    """The summary that a model wrote. Raises `UpstreamMalformed` where it wrote none."""
    summary = "\n".join(
        text for item in output if item.get("type") == "message" for text in _texts(item.get("content"))
    ).strip()
    if not summary:
        raise UpstreamMalformed(
            f"Provider {provider} was asked for a summary and wrote none. Try again, or choose another model.",
            provider=provider,
        )
    return summary


def extract(earlier: Sequence[Json]) -> str:
    """A summary without a model: what was said, word for word, long texts shortened, the newest first to be kept.

    Deterministic. An earlier summary is kept whole.
    """
    pieces: list[str] = []
    room = _MOST_EXTRACT
    for item in reversed(earlier):
        text = "".join(part["text"] for part in _joined(_said(item)) if part["type"] == "input_text").strip()
        piece = text if is_told(item) else clipped(text, most=_MOST_QUOTED)
        room -= len(piece)
        if room < 0 and not is_told(item):
            continue
        if piece:
            pieces.append(piece)
    return "\n\n".join(reversed(pieces))


def compaction_item(item_id: str, *, payload: Json, seal: Seal) -> Json:
    """The item."""
    return {"id": item_id, "type": "compaction", "encrypted_content": seal(payload)}


def clipped(text: str, *, most: int) -> str:
    """`text`, or its beginning and its end."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[…]\n{text[-half:]}"


def _transcript(items: Sequence[Json], *, instructions: object) -> Iterator[Json]:
    """A conversation as parts of one message: texts under the names of who said them, media where they stood."""
    if isinstance(instructions, str) and instructions:
        yield _text(f"[the assistant's instructions]\n{instructions}\n\n")
    for item in items:
        yield from _said(item)


def _said(item: Json) -> Iterator[Json]:
    kind = str(item.get("type"))
    if kind in ("reasoning", "file_search_call"):
        return
    if kind == "message":
        yield _text("[earlier summary]\n" if is_told(item) else f"[{item.get('role')}]\n")
        yield from _parts(item.get("content"))
    elif is_answer(item):
        yield _text(f"[result of the call {item['call_id']}]\n")
        yield from _parts(item.get("output"))
    elif kind in ("function_call", "custom_tool_call", "mcp_call"):
        name, call_id = item.get("name"), item.get("call_id") or item.get("id")
        yield _text(f"[the assistant calls {name}, {call_id}]\n{item.get('arguments') or item.get('input') or ''}")
        result = item.get("output") or item.get("error")
        if kind == "mcp_call" and result:
            said = result if isinstance(result, str) else orjson.dumps(result).decode()
            yield _text(f"\n[result of the call {call_id}]\n{said}")
    else:
        told = {name: value for name, value in item.items() if name not in ("id", "encrypted_content")}
        yield _text(f"[{kind}]\n{clipped(orjson.dumps(told).decode(), most=_MOST_OTHER)}")
    yield _text("\n\n")


def _parts(content: object) -> Iterator[Json]:
    if isinstance(content, str):
        yield _text(content)
    for part in content if isinstance(content, list) else ():
        match part.get("type"):
            case "input_image" | "input_file" | "input_audio":
                yield part
            case "refusal":
                yield _text(part["refusal"])
            case _:
                yield _text(str(part.get("text") or ""))


def _joined(parts: Iterable[Json]) -> list[Json]:
    """`parts` with neighbouring texts made one."""
    joined: list[Json] = []
    texts: list[str] = []
    for part in (*parts, None):
        if part is not None and part["type"] == "input_text":
            texts.append(part["text"])
            continue
        if texts:
            joined.append(_text("".join(texts)))
            texts.clear()
        if part is not None:
            joined.append(part)
    return joined


def _text(text: str) -> Json:
    return {"type": "input_text", "text": text}


def _texts(content: object) -> Iterator[str]:
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]
