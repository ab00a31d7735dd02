"""The tools of a Responses request, and the choice among them, as a chat request has them."""

from typing import Any, Final

from ali.kernel.errors import InvalidRequest
from ali.providers.translate.shapes import caller_name, caller_object, caller_objects, caller_text

_WORDS: Final = ("auto", "none", "required")
WITHOUT_COUNTERPART: Final[dict[str, object]] = {
    "allowed_callers": ["direct"],
    "async": False,
    "defer_loading": False,
    "output_schema": None,
}
"""Fields of a tool that only the Responses API has a word for, each with its default."""


def chat_tools(request: dict[str, Any], *, dropped: set[str]) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls` of a Responses request as parameters of a chat request."""
    tools = [
        _tool(tool, param=f"tools[{position}]", dropped=dropped)
        for position, tool in enumerate(caller_objects(request.get("tools") or [], param="tools"))
    ]
    choice = _choice(request.get("tool_choice"))
    if not tools:
        if choice not in (None, "auto", "none"):
            raise InvalidRequest("tool_choice asks for a tool that tools does not hold.", param="tool_choice")
        return {}
    said: dict[str, Any] = {"tools": tools}
    if choice is not None:
        said["tool_choice"] = choice
    parallel = request.get("parallel_tool_calls")
    if parallel is not None:
        if not isinstance(parallel, bool):
            raise InvalidRequest("parallel_tool_calls must be true or false.", param="parallel_tool_calls")
        said["parallel_tool_calls"] = parallel
    return said


def _tool(tool: dict[str, Any], *, param: str, dropped: set[str]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in ("function", "custom"):
        named = f" of type {kind[:40]}" if isinstance(kind, str) else ""
        raise InvalidRequest(
            f"{param}: this model's provider has no tool{named}. Describe it as a function, or choose a model that "
            "its own provider serves with the Responses API.",
            param=f"{param}.type",
        )
    for name, default in WITHOUT_COUNTERPART.items():
        if tool.get(name) not in (None, default):
            dropped.add(f"tools.{name}")
    said: dict[str, Any] = {"name": caller_name(tool.get("name"), param=f"{param}.name")}
    if tool.get("description"):
        said["description"] = caller_text(tool["description"], param=f"{param}.description")
    if kind == "custom":
        if tool.get("format") is not None:
            said["format"] = _format(tool["format"], param=f"{param}.format")
        return {"type": "custom", "custom": said}
    if tool.get("parameters") is not None:
        said["parameters"] = caller_object(tool["parameters"], param=f"{param}.parameters")
    if isinstance(tool.get("strict"), bool):
        said["strict"] = tool["strict"]
    return {"type": "function", "function": said}


def _format(value: object, *, param: str) -> dict[str, Any]:
    written = caller_object(value, param=param)
    match written.get("type"):
        case "text":
            return {"type": "text"}
        case "grammar":
            grammar = {
                name: caller_name(written.get(name), param=f"{param}.{name}") for name in ("syntax", "definition")
            }
            return {"type": "grammar", "grammar": grammar}
        case _:
            raise InvalidRequest(f"{param}.type must be text or grammar.", param=f"{param}.type")


def _choice(choice: object) -> str | dict[str, Any] | None:
    if choice is None or (isinstance(choice, str) and choice in _WORDS):
        return choice
    if isinstance(choice, dict):
        if choice.get("type") in ("function", "custom"):
            return _named(choice, param="tool_choice")
        if choice.get("type") == "allowed_tools":
            return _allowed(choice)
    raise InvalidRequest(
        "tool_choice must be auto, none, required, a function, a custom tool, or allowed_tools for this model.",
        param="tool_choice",
    )


def _allowed(choice: dict[str, Any]) -> dict[str, Any]:
    where = "tool_choice.tools"
    if choice.get("mode") not in ("auto", "required"):
        raise InvalidRequest("tool_choice.mode must be auto or required.", param="tool_choice.mode")
    tools = []
    for position, tool in enumerate(caller_objects(choice.get("tools"), param=where)):
        if tool.get("type") not in ("function", "custom"):
            raise InvalidRequest(
                f"{where}[{position}].type must be function or custom for this model.",
                param=f"{where}[{position}].type",
            )
        tools.append(_named(tool, param=f"{where}[{position}]"))
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}


def _named(tool: dict[str, Any], *, param: str) -> dict[str, Any]:
    kind: str = tool["type"]
    return {"type": kind, kind: {"name": caller_name(tool.get("name"), param=f"{param}.name")}}
