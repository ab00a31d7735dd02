"""The items of a response's input as the messages of a chat request.

What the assistant did is several items there and one message here: reasoning, texts and calls that stand side by side
are gathered into one, and the tools' results put right behind it, wherever they stood.
"""

from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.media import text_part
from ali.providers.translate.shapes import caller_json, caller_name, caller_objects, caller_text
from ali.providers.translate.tools import openai_id
from ali.providers.turns.chat_content import chat_content, chat_parts, text_of
from ali.providers.turns.tool_names import mcp_function_name

_LEFT_OUT: Final = frozenset(
    (
        *("additional_tools", "apply_patch_call", "apply_patch_call_output", "code_interpreter_call"),
        *("compaction_trigger", "computer_call", "computer_call_output", "file_search_call", "image_generation_call"),
        *("local_shell_call", "local_shell_call_output", "mcp_approval_request", "mcp_approval_response"),
        *("mcp_list_tools", "program", "program_output", "shell_call", "shell_call_output", "tool_search_call"),
        *("tool_search_output", "web_search_call"),
    )
)
_SEE_BELOW: Final = "The result is attached to the next user message."
_FAILED: Final = "The tool call failed: "


class _Assistant:
    """What the assistant said and called until somebody else spoke, and what its calls gave."""

    __slots__ = ("attached", "calls", "results", "texts", "thoughts")

    def __init__(self) -> None:
        self.thoughts: list[str] = []
        self.texts: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.attached: list[dict[str, Any]] = []

    def messages(self, *, thoughts: bool) -> list[dict[str, Any]]:
        """The message, those of its tools, and the user message with what a tool message cannot carry."""
        text = "\n\n".join(text for text in self.texts if text)
        if not text and not self.calls:
            return []
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if thoughts and self.thoughts and self.calls:
            message["reasoning_content"] = "\n\n".join(self.thoughts)
        if self.calls:
            message["tool_calls"] = self.calls
        attached = [{"role": "user", "content": self.attached}] if self.attached else []
        return [message, *self.results, *attached]


class _Conversation:
    """Messages in their order, the assistant's still open."""

    __slots__ = ("_called", "_dropped", "_latest_user", "_open", "_turns")

    def __init__(self, *, dropped: set[str]) -> None:
        self._dropped = dropped
        self._turns: list[_Assistant | dict[str, Any]] = []
        self._open: _Assistant | None = None  # the last turn, while what comes may still belong to it
        self._called: dict[str, list[tuple[_Assistant, str]]] = {}  # calls without a result yet, and where they stand
        self._latest_user = -1

    def messages(self) -> list[dict[str, Any]]:
        """All messages. Raises `InvalidRequest` for a call whose result is missing.

        Reasoning goes back only within the tool loop that is going on, where models want it; to the rest of them it is
        nothing, and strict servers refuse the field.
        """
        if unanswered := [where for waiting in self._called.values() for _, where in waiting]:
            raise InvalidRequest(
                f"{unanswered[0]}: no output found for this call. Add an item with its output and the same call_id.",
                param=unanswered[0],
            )
        said: list[dict[str, Any]] = []
        for position, turn in enumerate(self._turns):
            if isinstance(turn, dict):
                said.append(turn)
                continue
            recent = position > self._latest_user
            said += turn.messages(thoughts=recent)
            if turn.thoughts and not (recent and turn.calls):
                self._dropped.add("input.reasoning")
        return said

    def say(self, role: str, content: object, *, param: str) -> None:
        """A message that is not the assistant's."""
        self._open = None
        if role == "user":
            self._latest_user = len(self._turns)
            said = chat_content(chat_parts(content, param=param, dropped=self._dropped))
        else:
            said = text_of(content, param=param)
        if said or (role == "user" and content == ""):
            self._turns.append({"role": role, "content": said})

    def answer(self, text: str) -> None:
        """More of the assistant's text."""
        self._before_calls().texts.append(text)

    def think(self, text: str) -> None:
        """More of its reasoning."""
        self._before_calls().thoughts.append(text)

    def call(self, call: dict[str, Any], *, param: str) -> None:
        """A call of the assistant, its result to follow."""
        turn = self._turn()
        turn.calls.append({**call, "id": openai_id(call["id"])})
        self._called.setdefault(call["id"], []).append((turn, param))

    def result(self, call_id: str, output: object, *, param: str) -> None:
        """The result of a call, which goes behind the message that called, whatever came between."""
        waiting = self._called.get(call_id)
        if not waiting:
            raise InvalidRequest(f"{param}: no tool call found with this call_id.", param=f"{param}.call_id")
        turn, _ = waiting.pop(0)
        called = openai_id(call_id)
        texts, attached = [], []
        for part in chat_parts(output, param=f"{param}.output", dropped=self._dropped):
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                attached.append(part)
        if attached:
            texts.append(_SEE_BELOW)
            turn.attached += [text_part(f"Attached result of the tool call {called}:"), *attached]
        turn.results.append({"role": "tool", "tool_call_id": called, "content": "\n".join(texts)})

    def end_calls(self) -> None:
        """A result that the caller brought: what the assistant does next is another message."""
        self._open = None

    def _turn(self) -> _Assistant:
        if self._open is None:
            self._open = _Assistant()
            self._turns.append(self._open)
        return self._open

    def _before_calls(self) -> _Assistant:
        """The open turn, or a new one where its calls have results: what is said now was said knowing them."""
        if self._open is not None and self._open.results:
            self._open = None
        return self._turn()


def chat_messages(instructions: object, items: object, *, dropped: set[str]) -> list[dict[str, Any]]:
    """`instructions` and `input` of a Responses request as chat messages.

    Names what is left out in `dropped`; raises `InvalidRequest` for what cannot be said. The roles `system` and
    `developer` are both `system`: every compatible server knows it, and OpenAI takes it for the other.
    """
    conversation = _Conversation(dropped=dropped)
    if instructions is not None:
        conversation.say("system", caller_text(instructions, param="instructions"), param="instructions")
    for position, item in enumerate(caller_objects(items, param="input")):
        _read(item, conversation, param=f"input[{position}]", dropped=dropped)
    messages = conversation.messages()
    if not messages:
        raise InvalidRequest("input must hold at least one item that this model can read.", param="input")
    return messages


def _read(item: dict[str, Any], conversation: _Conversation, *, param: str, dropped: set[str]) -> None:
    kind = item.get("type")
    match kind:
        case "message" | None:
            _read_message(item, conversation, param=param, dropped=dropped)
        case "function_call" | "custom_tool_call":
            conversation.call(_call(item, param=param), param=param)
            if item.get("namespace"):
                dropped.add("input.namespace")
        case "function_call_output" | "custom_tool_call_output":
            call_id = caller_name(item.get("call_id"), param=f"{param}.call_id")
            conversation.result(call_id, item.get("output"), param=param)
            conversation.end_calls()
        case "mcp_call":
            _read_mcp_call(item, conversation, param=param, dropped=dropped)
        case "reasoning":
            if thought := _thought(item, param=param):
                conversation.think(thought)
            else:
                dropped.add("input.reasoning")
        case "compaction":
            raise InvalidRequest(
                f"{param}: only the model that wrote this compaction can read it. Begin again without it, or choose "
                "that model.",
                param=f"{param}.encrypted_content",
            )
        case str() if kind in _LEFT_OUT:
            dropped.add(f"input.{kind}")
        case _:
            raise InvalidRequest(f"{param}: this kind of item cannot go to this model.", param=f"{param}.type")


def _read_message(item: dict[str, Any], conversation: _Conversation, *, param: str, dropped: set[str]) -> None:
    where = f"{param}.content"
    if item.get("phase") is not None:
        dropped.add("input.phase")
    match item.get("role"):
        case "assistant":
            conversation.answer(text_of(item.get("content"), param=where))
        case "user":
            conversation.say("user", item.get("content"), param=where)
        case "system" | "developer":
            conversation.say("system", item.get("content"), param=where)
        case _:
            raise InvalidRequest(f"{param}.role must be user, assistant, system or developer.", param=f"{param}.role")


def _read_mcp_call(item: dict[str, Any], conversation: _Conversation, *, param: str, dropped: set[str]) -> None:
    """A call that this service made itself, as one of the function that the model saw; without a result left out."""
    output, error = item.get("output"), item.get("error")
    if output is None and error is not None:
        output = _FAILED + (error if isinstance(error, str) else caller_json(error, param=f"{param}.error"))
    if output is None:
        dropped.add("input.mcp_call")
        return
    label = caller_name(item.get("server_label"), param=f"{param}.server_label")
    name = mcp_function_name(label, caller_name(item.get("name"), param=f"{param}.name"))
    call_id = caller_name(item.get("id"), param=f"{param}.id")
    conversation.call(_function_call(call_id, name, item.get("arguments"), param=param), param=param)
    conversation.result(call_id, caller_text(output, param=f"{param}.output"), param=param)


def _call(item: dict[str, Any], *, param: str) -> dict[str, Any]:
    call_id = caller_name(item.get("call_id"), param=f"{param}.call_id")
    name = caller_name(item.get("name"), param=f"{param}.name")
    if item["type"] == "function_call":
        return _function_call(call_id, name, item.get("arguments"), param=param)
    written = caller_text(item.get("input"), param=f"{param}.input")
    return {"id": call_id, "type": "custom", "custom": {"name": name, "input": written}}


def _function_call(call_id: str, name: str, arguments: object, *, param: str) -> dict[str, Any]:
    """Blank arguments are an empty object: servers parse them."""
    written = caller_text(arguments or "", param=f"{param}.arguments")
    if not written.strip():
        written = "{}"
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": written}}


def _thought(item: dict[str, Any], *, param: str) -> str:
    """The reasoning that an open model showed; empty for a summary, and for what is sealed for another model."""
    if item.get("encrypted_content"):
        return ""
    parts = caller_objects(item.get("content") or [], param=f"{param}.content")
    return "".join(
        caller_text(part.get("text"), param=f"{param}.content[{position}].text")
        for position, part in enumerate(parts)
        if part.get("type") == "reasoning_text"
    )
