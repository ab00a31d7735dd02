"""The tools of a response and the choice among them, as Messages has them; custom tools as tools of one string."""

from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_name, caller_object, caller_objects, caller_text
from ali.providers.translate.tools import CHOICE_OF_WORD, client_tool, settled_choice
from ali.providers.turns.chat_tools import WITHOUT_COUNTERPART

CUSTOM_INPUT: Final = "input"
"""The one property of the tool that stands for a custom tool."""


def tools_of_response(tools: object, *, dropped: set[str]) -> list[dict[str, Any]]:
    """Tools of type `function` and `custom` as Anthropic's client tools. Raises `InvalidRequest` for any other."""
    said = []
    for position, tool in enumerate(caller_objects(tools or [], param="tools")):
        param = f"tools[{position}]"
        dropped.update(
            f"tools.{name}" for name, default in WITHOUT_COUNTERPART.items() if tool.get(name) not in (None, default)
        )
        match tool.get("type"):
            case "function":
                said.append(client_tool(tool, param=param))
            case "custom":
                said.append(_custom_tool(tool, param=param, dropped=dropped))
            case _:
                raise InvalidRequest(
                    f"{param}: this model's provider has no such tool type here. Describe the tool as a function, or "
                    "choose a model of the provider that offers it.",
                    param=f"{param}.type",
                )
    return said


def custom_input(written: str) -> dict[str, Any]:
    """What a custom tool was called with, as the input of the tool that stands for it."""
    return {CUSTOM_INPUT: written}


def choice_of_response(
    request: dict[str, Any], *, tools: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Those of `tools` that `tool_choice` allows, and Anthropic's `tool_choice` with `parallel_tool_calls`."""
    choice, tools = _choice(request.get("tool_choice"), tools)
    return tools, settled_choice(choice, tools=tools, parallel=request.get("parallel_tool_calls"))


def _custom_tool(tool: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    """A grammar cannot be enforced: it is told in the description, and named."""
    described = [caller_text(tool["description"], param=f"{param}.description")] if tool.get("description") else []
    form = caller_object(tool.get("format") or {"type": "text"}, param=f"{param}.format")
    if form.get("type") == "grammar":
        dropped.add("tools.format")
        grammar = caller_name(form.get("definition"), param=f"{param}.format.definition")
        syntax = caller_name(form.get("syntax"), param=f"{param}.format.syntax")
        described.append(f"`{CUSTOM_INPUT}` must match this grammar ({syntax}):\n{grammar}")
    elif form.get("type") != "text":
        raise InvalidRequest(f"{param}.format.type must be text or grammar.", param=f"{param}.format.type")
    schema = {
        "type": "object",
        "properties": {CUSTOM_INPUT: {"type": "string"}},
        "required": [CUSTOM_INPUT],
        "additionalProperties": False,
    }
    function = {"name": tool.get("name"), "parameters": schema, "description": "\n\n".join(described)}
    return client_tool(function, param=param)


def _choice(choice: object, tools: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    if choice is None:
        return None, tools
    if isinstance(choice, str) and choice in CHOICE_OF_WORD:
        return {"type": CHOICE_OF_WORD[choice]}, tools
    if isinstance(choice, dict):
        match choice.get("type"):
            case "function" | "custom":
                return _one(caller_name(choice.get("name"), param="tool_choice.name"), tools)
            case "allowed_tools":
                return _among(choice, tools)
    raise InvalidRequest(
        "tool_choice must be auto, none, required, a function's or custom tool's name, or allowed_tools.",
        param="tool_choice",
    )


def _one(name: str, tools: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if not any(tool["name"] == name for tool in tools):
        raise InvalidRequest("tool_choice asks for a tool that tools does not hold.", param="tool_choice")
    return {"type": "tool", "name": name}, tools


def _among(choice: dict[str, Any], tools: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    names = {
        _allowed(allowed, param=f"tool_choice.tools[{position}]")
        for position, allowed in enumerate(caller_objects(choice.get("tools"), param="tool_choice.tools"))
    }
    mode = "any" if choice.get("mode") == "required" else "auto"
    return {"type": mode}, [tool for tool in tools if tool["name"] in names]


def _allowed(allowed: dict[str, Any], *, param: str) -> str:
    """The name of the tool that one entry of a choice means."""
    if allowed.get("type") not in ("function", "custom"):
        raise InvalidRequest(f"{param}: no such tool can be offered to this model's provider.", param=f"{param}.type")
    return caller_name(allowed.get("name"), param=f"{param}.name")
