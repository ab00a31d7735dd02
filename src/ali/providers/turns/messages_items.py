"""The items of a response's input as Anthropic's turns: one `system`, and user and assistant in alternation.

Items are a flat list; where one turn of the assistant ends and the next begins has to be seen. What Anthropic holds to:
the results of a turn's calls stand first in the user message right after it, one for each call; thinking stands where
it stood, and never last.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.messages_turns import MessagesTurns, shortest, written
from ali.providers.translate.shapes import (
    caller_json,
    caller_name,
    caller_object,
    caller_objects,
    caller_text,
)
from ali.providers.translate.tools import anthropic_id, parsed_arguments
from ali.providers.turns.messages_parts import content_blocks, text_blocks
from ali.providers.turns.messages_tools import custom_input
from ali.providers.turns.tool_names import mcp_function_name

_THINKING: Final = ("thinking", "redacted_thinking")
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")

Unseal = Callable[[str], dict[str, Any] | None]


def messages_of_items(items: object, *, unseal: Unseal, dropped: set[str]) -> MessagesTurns:
    """`items`, the `input` of a response. Names what is lost in `dropped`; raises `InvalidRequest` naming the item.

    System and developer messages, wherever they stand, go to `system` in their order. Items of tools that ran on the
    server are left out, but for those of MCP servers, whose calls the model sees as calls of a function.
    """
    listed = caller_objects(items, param="input")
    turns = _Turns(_outputs(listed, dropped=dropped), dropped=dropped)
    for position, item in enumerate(listed):
        where = f"input[{position}]"
        match item.get("type") or ("message" if "role" in item else None):
            case "message":
                _message(turns, item, param=where, dropped=dropped)
            case "reasoning":
                turns.assistant(_sealed_blocks(item, unseal=unseal, dropped=dropped))
            case "function_call":
                arguments = caller_text(item.get("arguments") or "", param=f"{where}.arguments")
                given = parsed_arguments(arguments, param=f"{where}.arguments")
                turns.call(item, given=given, param=where)
            case "custom_tool_call":
                turns.call(
                    item, given=custom_input(caller_text(item.get("input") or "", param=f"{where}.input")), param=where
                )
            case "mcp_call":
                _mcp_call(turns, item, param=where, dropped=dropped)
            case "function_call_output" | "custom_tool_call_output":
                turns.end_assistant()  # the result has gone to its call already
            case "mcp_list_tools":
                pass  # what it lists stands in `tools`
            case "compaction":
                raise InvalidRequest(
                    f"{where}: only the provider that compacted this can read it, and without it the conversation is "
                    "not whole. Send the items themselves, or ask a model of that provider.",
                    param=where,
                )
            case str() as kind:
                dropped.add(f"input.{kind}")
            case _:
                raise InvalidRequest(f"{where}.type is missing: it must name the kind of item.", param=f"{where}.type")
    return turns.finish()


class _Turns:
    """The turns so far. `outputs`: the results of calls that are to come, by the call's id, in their order."""

    def __init__(self, outputs: dict[str, deque[tuple[str, dict[str, Any]]]], *, dropped: set[str]) -> None:
        self.system: list[dict[str, Any]] = []
        self._outputs = outputs
        self._dropped = dropped
        self._turns: list[tuple[str, list[dict[str, Any]]]] = []
        self._assistant: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []  # of the assistant's open turn
        self._answered = False  # a call in the open turn has its result in its own item, so that words come after it
        self._ids: dict[str, int] = {}

    def user(self, blocks: list[dict[str, Any]]) -> None:
        """Words of the user."""
        self.end_assistant()
        self._say("user", blocks)

    def assistant(self, blocks: list[dict[str, Any]]) -> None:
        """Words and thinking of the assistant; after a call that was answered on the server, another turn begins."""
        if self._answered:
            self.end_assistant()
        self._assistant += blocks

    def call(self, item: dict[str, Any], *, given: dict[str, Any], param: str) -> None:
        """A call of the caller's tool, whose result is another item."""
        call_id = caller_name(item.get("call_id"), param=f"{param}.call_id")
        outputs = self._outputs.get(call_id)
        if not outputs:
            raise InvalidRequest(
                f"{param}: input holds no output for this call. Add the item with its call_id.",
                param=f"{param}.call_id",
            )
        _, result = outputs.popleft()
        self._call(call_id, name=caller_name(item.get("name"), param=f"{param}.name"), given=given, result=result)

    def answered_call(self, call_id: str, *, name: str, given: dict[str, Any], result: dict[str, Any]) -> None:
        """A call whose result is known from its own item."""
        self._answered = True
        self._call(call_id, name=name, given=given, result=result)

    def _call(self, call_id: str, *, name: str, given: dict[str, Any], result: dict[str, Any]) -> None:
        use_id = self._own_id(call_id)
        self._assistant.append({"type": "tool_use", "id": use_id, "name": name, "input": given})
        self._results.append({"type": "tool_result", "tool_use_id": use_id, **result})

    def _own_id(self, call_id: str) -> str:
        """`call_id` in Anthropic's letters, and unique in the request: some models count from 0 in each turn."""
        plain = anthropic_id(call_id)
        use_id = plain
        while use_id in self._ids:
            self._ids[plain] += 1
            use_id = f"{plain}_{self._ids[plain]}"
        self._ids[use_id] = 1
        return use_id

    def end_assistant(self) -> None:
        """The assistant's open turn is over; the results of its calls follow. Thinking that led to nothing goes."""
        blocks, results = self._assistant, self._results
        self._assistant, self._results, self._answered = [], [], False
        while blocks and blocks[-1]["type"] in _THINKING:
            blocks.pop()
            self._dropped.add("input.reasoning")
        self._say("assistant", blocks)
        self._say("user", results)

    def _say(self, role: str, blocks: list[dict[str, Any]]) -> None:
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(blocks)
        elif blocks:
            self._turns.append((role, blocks))

    def finish(self) -> MessagesTurns:
        """All of it. Raises `InvalidRequest` for results without a call, and where nothing is said at all."""
        self.end_assistant()
        for outputs in self._outputs.values():
            for where, _ in outputs:
                raise InvalidRequest(
                    f"{where}: input holds no call with this call_id. Send the call itself before its output.",
                    param=f"{where}.call_id",
                )
        if not self._turns:
            raise InvalidRequest("input must hold at least one message that is not blank.", param="input")
        return MessagesTurns(system=self.system, messages=written(self._turns))


def _outputs(items: list[dict[str, Any]], *, dropped: set[str]) -> dict[str, deque[tuple[str, dict[str, Any]]]]:
    """Where each result stands in the input, and its block but for the id."""
    found: dict[str, deque[tuple[str, dict[str, Any]]]] = defaultdict(deque)
    for position, item in enumerate(items):
        if item.get("type") not in _OUTPUTS:
            continue
        where = f"input[{position}]"
        call_id = caller_name(item.get("call_id"), param=f"{where}.call_id")
        blocks = content_blocks(item.get("output"), param=f"{where}.output", dropped=dropped)
        found[call_id].append((where, {"content": shortest(blocks)} if blocks else {}))
    return found


def _message(turns: _Turns, item: dict[str, Any], *, param: str, dropped: set[str]) -> None:
    content, where = item.get("content"), f"{param}.content"
    match item.get("role"):
        case "system" | "developer":
            turns.system += text_blocks(content, param=where)
        case "user":
            turns.user(content_blocks(content, param=where, dropped=dropped))
        case "assistant":
            turns.assistant(text_blocks(content, param=where))
        case _:
            raise InvalidRequest(f"{param}.role must be user, assistant, system or developer.", param=f"{param}.role")


def _sealed_blocks(item: dict[str, Any], *, unseal: Unseal, dropped: set[str]) -> list[dict[str, Any]]:
    """The thinking that an answer of this model handed out, as it came. Any other would be refused: it is left out."""
    sealed = item.get("encrypted_content")
    opened = unseal(sealed) if isinstance(sealed, str) and sealed else None
    blocks = opened.get("blocks") if opened is not None else None
    if not isinstance(blocks, list) or not all(
        isinstance(block, dict) and block.get("type") in _THINKING for block in blocks
    ):
        dropped.add("input.reasoning")
        return []
    return blocks


def _mcp_call(turns: _Turns, item: dict[str, Any], *, param: str, dropped: set[str]) -> None:
    """A call that was answered on the server; one that never was is left out."""
    output, error = item.get("output"), item.get("error")
    if output is None and error is None:
        dropped.add("input.mcp_call")
        return
    label = caller_name(item.get("server_label"), param=f"{param}.server_label")
    name = caller_name(item.get("name"), param=f"{param}.name")
    result: dict[str, Any] = {}
    if output is None:
        result["is_error"] = True
        output = error if isinstance(error, str) else _error_text(error, param=f"{param}.error")
    if caller_text(output, param=f"{param}.output").strip():
        result["content"] = output
    turns.answered_call(
        caller_name(item.get("id"), param=f"{param}.id"),
        name=mcp_function_name(label, name),
        given=_mcp_arguments(item, param=f"{param}.arguments"),
        result=result,
    )


def _mcp_arguments(item: dict[str, Any], *, param: str) -> dict[str, Any]:
    """The caller did not write them: what the model wrote badly is no reason to refuse the conversation for good."""
    arguments = caller_text(item.get("arguments") or "", param=param)
    try:
        return parsed_arguments(arguments, param=param)
    except InvalidRequest:
        return {"arguments": arguments}


def _error_text(error: object, *, param: str) -> str:
    said = caller_object(error, param=param)
    for field in ("message", "content"):
        if isinstance(said.get(field), str):
            text: str = said[field]
            return text
    return caller_json(said, param=param)
