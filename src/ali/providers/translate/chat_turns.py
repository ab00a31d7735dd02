"""Anthropic's `system` and messages as the messages of a chat request."""

from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.media import document_parts, image_part, search_result_part, text_part
from ali.providers.translate.shapes import caller_name, caller_objects, caller_text
from ali.providers.translate.tools import openai_id, tool_call

_SERVER_TOOL = (
    "what Anthropic's own tools left in the history only Anthropic's models can read. "
    "Choose an Anthropic model, or leave those blocks out."
)
_FAILED = "The tool call failed: "
_SEE_BELOW = "The result is attached to the next user message."


def chat_turns(system: object, messages: object, *, dropped: set[str]) -> list[dict[str, Any]]:
    """`system` and `messages` of a Messages request. Names what is lost in `dropped`; raises `InvalidRequest`.

    Results of tools become tool messages before the user's own words. OpenAI takes text alone in a tool message, so
    images and documents of a result go to the user message that follows, announced in both.
    """
    said: list[dict[str, Any]] = []
    if (content := _system_content(system, param="system", dropped=dropped)) is not None:
        said.append({"role": "system", "content": content})
    role = None
    for position, message in enumerate(caller_objects(messages, param="messages")):
        where = f"messages[{position}]"
        role = message.get("role")
        match role:
            case "user":
                said += _user_messages(message.get("content"), param=f"{where}.content", dropped=dropped)
            case "assistant":
                said += _assistant_message(message.get("content"), param=f"{where}.content", dropped=dropped)
            case "system":
                content = _system_content(message.get("content"), param=f"{where}.content", dropped=dropped)
                said += [{"role": "system", "content": content}] if content is not None else []
            case _:
                raise InvalidRequest(f"{where}.role must be user, assistant or system.", param=f"{where}.role")
    if role is None:
        raise InvalidRequest("messages must hold at least one message.", param="messages")
    if role == "assistant":
        raise InvalidRequest(
            "The last message is the assistant's (a prefill), which this model cannot continue. "
            "End with a user message, or choose an Anthropic model that takes a prefill.",
            param="messages",
        )
    return said


def _blocks(content: object, *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    """Content as a list of blocks; a string is one text block."""
    if isinstance(content, str):
        return [text_part(content)]
    blocks = caller_objects(content, param=param)
    if any(block.get("cache_control") for block in blocks):
        dropped.add("cache_control")
    return blocks


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A lone text as a string, which every compatible server takes; else the parts."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _system_content(system: object, *, param: str, dropped: set[str]) -> str | list[dict[str, Any]] | None:
    if system is None:
        return None
    parts = []
    for position, block in enumerate(_blocks(system, param=param, dropped=dropped)):
        if block.get("type") != "text":
            raise InvalidRequest(f"{param}[{position}]: only text can stand here.", param=f"{param}[{position}].type")
        parts.append(text_part(caller_text(block.get("text"), param=f"{param}[{position}].text")))
    return _content(parts) if any(part["text"] for part in parts) else None


def _user_messages(content: object, *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    attached: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for position, block in enumerate(_blocks(content, param=param, dropped=dropped)):
        where = f"{param}[{position}]"
        if block.get("type") == "tool_result":
            message, attachments = _tool_message(block, param=where, dropped=dropped)
            results.append(message)
            attached += attachments
        else:
            parts += _parts(block, param=where, dropped=dropped)
    parts = attached + parts
    return results + ([{"role": "user", "content": _content(parts)}] if parts else [])


def _parts(block: dict[str, Any], *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    """What a user's block, or one inside a tool's result, is in OpenAI's parts."""
    match block.get("type"):
        case "text":
            return [text_part(caller_text(block.get("text"), param=f"{param}.text"))]
        case "image":
            return [image_part(block, param=param)]
        case "document":
            return document_parts(block, param=param, dropped=dropped)
        case "search_result":
            return [search_result_part(block, param=param, dropped=dropped)]
        case _:
            raise InvalidRequest(f"{param}: this kind of block cannot go to this model.", param=f"{param}.type")


def _tool_message(
    block: dict[str, Any], *, param: str, dropped: set[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The tool message, and what of the result only a user message can carry."""
    called = openai_id(caller_name(block.get("tool_use_id"), param=f"{param}.tool_use_id"))
    texts: list[str] = []
    attached: list[dict[str, Any]] = []
    content = block.get("content")
    inside = [] if content is None else _blocks(content, param=f"{param}.content", dropped=dropped)
    for position, item in enumerate(inside):
        for part in _parts(item, param=f"{param}.content[{position}]", dropped=dropped):
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                attached.append(part)
    if attached:
        texts.append(_SEE_BELOW)
        attached.insert(0, text_part(f"Attached result of the tool call {called}:"))
    text = "\n".join(texts)
    if block.get("is_error") is True:
        text = _FAILED + text
    return {"role": "tool", "tool_call_id": called, "content": text}, attached


def _assistant_message(content: object, *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for position, block in enumerate(_blocks(content, param=param, dropped=dropped)):
        where = f"{param}[{position}]"
        match block.get("type"):
            case "text":
                texts.append(caller_text(block.get("text"), param=f"{where}.text"))
                if block.get("citations"):
                    dropped.add("citations")
            case "tool_use":
                calls.append(tool_call(block, param=where))
            case "thinking" | "redacted_thinking":
                dropped.add("messages.thinking")
            case _:
                raise InvalidRequest(f"{where}: {_SERVER_TOOL}", param=f"{where}.type")
    text = "".join(texts)
    if calls:
        return [{"role": "assistant", "content": text or None, "tool_calls": calls}]
    return [{"role": "assistant", "content": text}] if text else []
