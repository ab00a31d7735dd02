"""The messages of a chat request as Anthropic's turns: one `system`, and user and assistant in alternation."""

from dataclasses import dataclass
from typing import Any

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.media import document_block, image_block, text_part
from ali.providers.translate.shapes import caller_name, caller_objects, caller_text
from ali.providers.translate.tools import anthropic_id, tool_use_block


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesTurns:
    """`system`: text blocks. `messages`: Anthropic's."""

    system: list[dict[str, Any]]
    messages: list[dict[str, Any]]


def messages_turns(messages: object, *, dropped: set[str]) -> MessagesTurns:
    """`messages` of a chat request. Names what is lost in `dropped`; raises `InvalidRequest` naming the message.

    System and developer messages, wherever they stand, go to `system` in their order. Neighbours of one role become one
    message, results of tools first in it, for Anthropic wants them right after the calls. Blank text, which Anthropic
    refuses, is left out.
    """
    system: list[dict[str, Any]] = []
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for position, message in enumerate(caller_objects(messages, param="messages")):
        where = f"messages[{position}]"
        role = message.get("role")
        if message.get("name") and role != "tool":
            dropped.add("messages.name")
        match role:
            case "system" | "developer":
                system += _text_blocks(message.get("content"), param=f"{where}.content")
                continue
            case "user":
                speaker, blocks = "user", _user_blocks(message, param=where, dropped=dropped)
            case "tool":
                speaker, blocks = "user", [_tool_result(message, param=where, dropped=dropped)]
            case "assistant":
                speaker, blocks = "assistant", _assistant_blocks(message, param=where, dropped=dropped)
            case "function":
                raise InvalidRequest(
                    f"{where}: the role function is OpenAI's old form; send the role tool with tool_call_id.",
                    param=f"{where}.role",
                )
            case _:
                raise InvalidRequest(
                    f"{where}.role must be system, developer, user, assistant or tool.", param=f"{where}.role"
                )
        if turns and turns[-1][0] == speaker:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((speaker, blocks))
    if not turns:
        raise InvalidRequest("messages must hold at least one user message that is not blank.", param="messages")
    return MessagesTurns(system=system, messages=written(turns))


def written(turns: list[tuple[str, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Turns, role and blocks, as messages: results of tools stand first, a prefill does not end in whitespace."""
    messages: list[dict[str, Any]] = []
    for role, blocks in turns:
        ordered = blocks
        if role == "user" and any(block["type"] == "tool_result" for block in blocks):
            ordered = sorted(blocks, key=lambda block: block["type"] != "tool_result")
        messages.append({"role": role, "content": shortest(ordered)})
    last = messages[-1]
    if last["role"] == "assistant":  # a prefill: Anthropic refuses one that ends in whitespace
        if isinstance(last["content"], str):
            last["content"] = last["content"].rstrip()
        elif last["content"][-1]["type"] == "text":
            final = last["content"][-1]
            last["content"][-1] = {**final, "text": final["text"].rstrip()}
    return messages


def shortest(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A lone plain text as a string, anything else as it is."""
    only = blocks[0]
    if len(blocks) == 1 and only["type"] == "text" and len(only) == 2:
        text: str = only["text"]
        return text
    return blocks


def _text_blocks(content: object, *, param: str) -> list[dict[str, Any]]:
    """Text that is a string or a list of text parts, as text blocks; blank ones are left out."""
    if content is None:
        return []
    if isinstance(content, str):
        return [text_part(content)] if content.strip() else []
    blocks = []
    for position, part in enumerate(caller_objects(content, param=param)):
        if part.get("type") != "text":
            raise InvalidRequest(f"{param}[{position}]: only text can stand here.", param=f"{param}[{position}].type")
        blocks += text_block(part, param=f"{param}[{position}]")
    return blocks


def text_block(part: dict[str, Any], *, param: str, field: str = "text") -> list[dict[str, Any]]:
    """`part` as a text block, from the text that stands in `field`; none where it is blank."""
    text = caller_text(part.get(field), param=f"{param}.{field}")
    return [with_cache_mark(part, text_part(text))] if text.strip() else []


def with_cache_mark(part: dict[str, Any], block: dict[str, Any]) -> dict[str, Any]:
    """`cache_control`, which chat clients of Anthropic's models put on parts, goes with the block."""
    if part.get("cache_control"):
        block["cache_control"] = part["cache_control"]
    return block


def _user_blocks(message: dict[str, Any], *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [text_part(content)] if content.strip() else []
    if not isinstance(content, list):
        raise InvalidRequest(f"{param}.content must be a string or a list of parts.", param=f"{param}.content")
    return _part_blocks(content, param=f"{param}.content", dropped=dropped)


def _part_blocks(content: object, *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for position, part in enumerate(caller_objects(content, param=param)):
        where = f"{param}[{position}]"
        if part.get("prompt_cache_breakpoint"):
            dropped.add("prompt_cache_breakpoint")
        match part.get("type"):
            case "text":
                blocks += text_block(part, param=where)
            case "image_url":
                blocks.append(with_cache_mark(part, image_block(part, param=where, dropped=dropped)))
            case "file":
                blocks.append(with_cache_mark(part, document_block(part, param=where)))
            case "input_audio":
                raise InvalidRequest(
                    f"{where}: this model does not take audio; send its transcript.", param=f"{where}.type"
                )
            case _:
                raise InvalidRequest(f"{where}.type must be text, image_url or file.", param=f"{where}.type")
    return blocks


def _tool_result(message: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    called = caller_name(message.get("tool_call_id"), param=f"{param}.tool_call_id")
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": anthropic_id(called)}
    content = message.get("content")
    if isinstance(content, str):
        if content.strip():
            block["content"] = content
    elif content is not None:
        # OpenAI's own takes text alone here; images are welcome where the model can see them.
        parts = _part_blocks(content, param=f"{param}.content", dropped=dropped)
        if parts:
            block["content"] = shortest(parts)
    if message.get("is_error") is True:
        block["is_error"] = True
    return block


def _assistant_blocks(message: dict[str, Any], *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    for name, instead in (("function_call", "tool_calls"), ("audio", "the transcript as content")):
        if message.get(name):
            raise InvalidRequest(f"{param}.{name} cannot go to this model; send {instead}.", param=f"{param}.{name}")
    blocks = _thinking_blocks(message, param=param, dropped=dropped)
    content = message.get("content")
    if isinstance(content, list):
        for position, part in enumerate(caller_objects(content, param=f"{param}.content")):
            kind = part.get("type")
            if kind not in ("text", "refusal"):
                raise InvalidRequest(
                    f"{param}.content[{position}].type must be text or refusal.",
                    param=f"{param}.content[{position}].type",
                )
            blocks += text_block(part, param=f"{param}.content[{position}]", field=kind)
    else:
        blocks += _text_blocks(content, param=f"{param}.content")
    if message.get("refusal") and not content:
        blocks += text_block(message, param=param, field="refusal")
    calls = caller_objects(message.get("tool_calls") or [], param=f"{param}.tool_calls")
    blocks += [tool_use_block(call, param=f"{param}.tool_calls[{position}]") for position, call in enumerate(calls)]
    return blocks


def _thinking_blocks(message: dict[str, Any], *, param: str, dropped: set[str]) -> list[dict[str, Any]]:
    """The thinking that an answer of ours handed out, as it came; `index` is the stream's and is taken off.

    Thinking without a signature (another provider's reasoning) would be refused, so it is left out.
    """
    blocks = []
    where = f"{param}.thinking_blocks"
    for position, block in enumerate(caller_objects(message.get("thinking_blocks") or [], param=where)):
        kind = block.get("type")
        if kind not in ("thinking", "redacted_thinking"):
            raise InvalidRequest(
                f"{where}[{position}].type must be thinking or redacted_thinking.", param=f"{where}[{position}].type"
            )
        if kind == "thinking" and not block.get("signature"):
            dropped.add("messages.thinking_blocks")
            continue
        blocks.append({name: value for name, value in block.items() if name != "index"})
    if message.get("reasoning_content") and not message.get("thinking_blocks"):
        dropped.add("messages.reasoning_content")
    return blocks
