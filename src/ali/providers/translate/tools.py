"""Tools, the choice among them, and calls of them: OpenAI's functions and Anthropic's client tools."""

import hashlib
import re
from typing import Any

import orjson

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_json, caller_name, caller_object, caller_objects, caller_text

_NOT_IN_ANTHROPIC_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_OPENAI_ID_CHARACTERS = 40
_ANTHROPIC_ONLY = {
    "allowed_callers": ["direct"],
    "cache_control": None,
    "defer_loading": False,
    "eager_input_streaming": None,
    "input_examples": [],
}
CHOICE_OF_WORD = {"auto": "auto", "none": "none", "required": "any"}
_WORD_OF_CHOICE = {"auto": "auto", "none": "none", "any": "required"}


def messages_tools(request: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The tools of a chat request and its `tool_choice` with `parallel_tool_calls`, as Messages has them."""
    tools = [
        _client_tool(tool, param=f"tools[{position}]")
        for position, tool in enumerate(caller_objects(request.get("tools") or [], param="tools"))
    ]
    choice, allowed = _messages_choice(request.get("tool_choice"))
    if allowed is not None:
        tools = [tool for tool in tools if tool["name"] in allowed]
    return tools, settled_choice(choice, tools=tools, parallel=request.get("parallel_tool_calls"))


def settled_choice(
    choice: dict[str, Any] | None, *, tools: list[dict[str, Any]], parallel: object
) -> dict[str, Any] | None:
    """Anthropic's `tool_choice` with OpenAI's `parallel_tool_calls`; none where there are no `tools`.

    Raises `InvalidRequest` where it forces a call and there is nothing to call.
    """
    if not tools:
        if choice is not None and choice["type"] in ("any", "tool"):
            raise InvalidRequest("tool_choice asks for a tool that tools does not hold.", param="tool_choice")
        return None
    if parallel is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    return choice


def chat_tools(request: dict[str, Any], *, dropped: set[str]) -> dict[str, Any]:
    """The tools of a Messages request and its `tool_choice`, as the parameters of a chat request."""
    tools = [
        _function_tool(tool, param=f"tools[{position}]", dropped=dropped)
        for position, tool in enumerate(caller_objects(request.get("tools") or [], param="tools"))
    ]
    choice = caller_object(request.get("tool_choice") or {}, param="tool_choice")
    kind = choice.get("type")
    if not tools:
        if kind in ("any", "tool"):
            raise InvalidRequest("tool_choice asks for a tool that tools does not hold.", param="tool_choice")
        return {}
    said: dict[str, Any] = {"tools": tools}
    if kind == "tool":
        name = caller_name(choice.get("name"), param="tool_choice.name")
        said["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif isinstance(kind, str) and kind in _WORD_OF_CHOICE:
        said["tool_choice"] = _WORD_OF_CHOICE[kind]
    elif choice:
        raise InvalidRequest("tool_choice.type must be auto, any, tool or none.", param="tool_choice.type")
    if choice.get("disable_parallel_tool_use") is True:
        said["parallel_tool_calls"] = False
    return said


def tool_use_block(call: dict[str, Any], *, param: str) -> dict[str, Any]:
    """A tool call of an assistant's chat message as a `tool_use` block; empty arguments are an empty object."""
    if call.get("type", "function") != "function":
        raise InvalidRequest(f"{param}: only function calls can go to this model's provider.", param=f"{param}.type")
    function = caller_object(call.get("function"), param=f"{param}.function")
    where = f"{param}.function.arguments"
    arguments = caller_text(function.get("arguments") or "", param=where)
    return {
        "type": "tool_use",
        "id": anthropic_id(caller_name(call.get("id"), param=f"{param}.id")),
        "name": caller_name(function.get("name"), param=f"{param}.function.name"),
        "input": parsed_arguments(arguments, param=where),
    }


def tool_call(block: dict[str, Any], *, param: str) -> dict[str, Any]:
    """A `tool_use` block of the history as a tool call."""
    return {
        "id": openai_id(caller_name(block.get("id"), param=f"{param}.id")),
        "type": "function",
        "function": {
            "name": caller_name(block.get("name"), param=f"{param}.name"),
            "arguments": caller_json(block.get("input") or {}, param=f"{param}.input"),
        },
    }


def anthropic_id(call_id: str) -> str:
    """`call_id` in the letters that Anthropic takes (letters, digits, `_`, `-`); the same one for call and result."""
    return _NOT_IN_ANTHROPIC_IDS.sub("_", call_id)


def openai_id(call_id: str) -> str:
    """`call_id` within the 40 characters that OpenAI takes; the same one for call and result."""
    if len(call_id) <= _OPENAI_ID_CHARACTERS:
        return call_id
    return "call_" + hashlib.blake2b(call_id.encode(), digest_size=16).hexdigest()


def _client_tool(tool: dict[str, Any], *, param: str) -> dict[str, Any]:
    if tool.get("type", "function") != "function":
        raise InvalidRequest(
            f"{param}: this model's provider has no such tool type here. Describe the tool as a function.",
            param=f"{param}.type",
        )
    where = f"{param}.function"
    said = client_tool(caller_object(tool.get("function"), param=where), param=where)
    if tool.get("cache_control"):
        said["cache_control"] = tool["cache_control"]
    return said


def client_tool(function: dict[str, Any], *, param: str) -> dict[str, Any]:
    """OpenAI's description of a function as Anthropic's client tool."""
    schema = caller_object(function.get("parameters") or {}, param=f"{param}.parameters")
    if "type" not in schema:
        schema = {"type": "object", "properties": {}, **schema}
    said: dict[str, Any] = {"name": caller_name(function.get("name"), param=f"{param}.name"), "input_schema": schema}
    if function.get("description"):
        said["description"] = caller_text(function["description"], param=f"{param}.description")
    if function.get("strict") is True:
        said["strict"] = True
    return said


def _function_tool(tool: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise InvalidRequest(
            f"{param}: Anthropic's own tools (web search, code execution, bash, computer …) only run with Anthropic's "
            "models. Describe the tool with an input_schema, or choose an Anthropic model.",
            param=f"{param}.type",
        )
    for name, default in _ANTHROPIC_ONLY.items():
        if tool.get(name) not in (None, default):
            dropped.add(f"tools.{name}")
    function: dict[str, Any] = {
        "name": caller_name(tool.get("name"), param=f"{param}.name"),
        "parameters": caller_object(tool.get("input_schema"), param=f"{param}.input_schema"),
    }
    if tool.get("description"):
        function["description"] = caller_text(tool["description"], param=f"{param}.description")
    if tool.get("strict") is True:
        function["strict"] = True
    return {"type": "function", "function": function}


def _messages_choice(choice: object) -> tuple[dict[str, Any] | None, frozenset[str] | None]:
    """Anthropic's `tool_choice`, and the names that OpenAI's `allowed_tools` leaves (None: all)."""
    if choice is None:
        return None, None
    if isinstance(choice, str) and choice in CHOICE_OF_WORD:
        return {"type": CHOICE_OF_WORD[choice]}, None
    if isinstance(choice, dict) and choice.get("type") == "function":
        function = caller_object(choice.get("function"), param="tool_choice.function")
        return {"type": "tool", "name": caller_name(function.get("name"), param="tool_choice.function.name")}, None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = caller_object(choice.get("allowed_tools"), param="tool_choice.allowed_tools")
        names = [
            caller_object(tool.get("function"), param=f"tool_choice.allowed_tools.tools[{position}].function").get(
                "name"
            )
            for position, tool in enumerate(
                caller_objects(allowed.get("tools"), param="tool_choice.allowed_tools.tools")
            )
        ]
        mode = "any" if allowed.get("mode") == "required" else "auto"
        return {"type": mode}, frozenset(name for name in names if isinstance(name, str))
    raise InvalidRequest(
        "tool_choice must be auto, none, required, a function's name, or allowed_tools.", param="tool_choice"
    )


def parsed_arguments(arguments: str, *, param: str) -> dict[str, Any]:
    """Arguments that a model wrote, as the object they are; none at all is an empty one."""
    if not arguments.strip():
        return {}
    try:
        parsed = orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(
            f"{param} is not valid JSON. Send the arguments as the model wrote them.", param=param
        ) from error
    if not isinstance(parsed, dict):
        raise InvalidRequest(f"{param} must be a JSON object, written as a string.", param=param)
    return parsed
