"""A simulated model that does as it is told, for suites that judge a model by what it answers.

It calls a tool where one is offered and no result has come yet, answers in JSON where a schema or the words ask for it,
and in plain text otherwise; arguments and fields fit their schema and are taken from what the user said.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ali.ops.simulator import Answer, ReceivedRequest, ToolCall

TEXT: Final = "I am well, and at your service."
_QUOTED: Final = re.compile(r"'([^']+)'")
_NUMBER: Final = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    name: str
    schema: Mapping[str, Any]


def oblige(request: ReceivedRequest) -> Answer:
    """What an obedient model answers to `request`, in any dialect. A `simulator.default`."""
    body: Mapping[str, Any] = request.json
    said = _said(body)
    tool = _tool_to_call(body)
    if tool is not None:
        return Answer(tool_calls=(ToolCall(name=tool.name, arguments=_fitting(tool.schema, said)),))
    schema = _schema_of_answer(body)
    if schema is not None:
        return Answer(text=orjson.dumps(_fitting(schema, said)).decode())
    if "JSON" in said:
        return Answer(text=orjson.dumps(dict.fromkeys(_QUOTED.findall(said), TEXT)).decode())
    return Answer(text=TEXT)


def _tool_to_call(body: Mapping[str, Any]) -> _Tool | None:
    """The tool that the request forces, else the first offered to a user who has no result yet."""
    tools = list(_tools(body))
    choice: Any = body.get("tool_choice") or "auto"
    kind = choice if isinstance(choice, str) else choice["type"]
    if not tools or kind == "none":
        return None
    if kind in ("function", "tool"):
        name = choice["function"]["name"] if "function" in choice else choice["name"]
        return next(tool for tool in tools if tool.name == name)
    return None if kind == "auto" and _has_result(body) else tools[0]


def _tools(body: Mapping[str, Any]) -> Iterator[_Tool]:
    for offered in body.get("tools") or []:
        if "function" in offered:
            yield _Tool(name=offered["function"]["name"], schema=offered["function"].get("parameters") or {})
        else:
            yield _Tool(name=offered["name"], schema=offered.get("input_schema") or offered.get("parameters") or {})


def _has_result(body: Mapping[str, Any]) -> bool:
    """Whether the last message (or item) brings the result of a tool."""
    last = _said_so_far(body)[-1]
    if "role" not in last:
        return True
    return last["role"] == "tool" or any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in last["content"]
    )


def _said_so_far(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Messages, or the items of the Responses API."""
    said: str | list[Mapping[str, Any]] = body["messages"] if "messages" in body else body["input"]
    return [{"role": "user", "content": said}] if isinstance(said, str) else said


def _schema_of_answer(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that the answer's text must fit."""
    wanted = body.get("response_format") or {}
    if "json_schema" in wanted:
        schema: Mapping[str, Any] = wanted["json_schema"]["schema"]
        return schema
    config = body.get("output_config") or body.get("text") or {}
    asked: Mapping[str, Any] | None = (config.get("format") or {}).get("schema")
    return asked


def _said(body: Mapping[str, Any]) -> str:
    """The text of the last user message."""
    content = next(message["content"] for message in reversed(_said_so_far(body)) if message.get("role") == "user")
    if isinstance(content, str):
        return content
    return " ".join(block["text"] for block in content if block.get("type") in ("text", "input_text"))


def _fitting(schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """An object that fits `schema`."""
    value = _value(schema, said, definitions=schema.get("$defs") or {})
    return value if isinstance(value, dict) else {}


def _value(schema: Mapping[str, Any], said: str, *, definitions: Mapping[str, Any]) -> object:
    """A value that fits `schema`: the number or the quoted words of `said`, where there are such."""
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], said, definitions=definitions)
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], said, definitions=definitions)
    if "enum" in schema:
        return schema["enum"][0]
    number, quoted = _NUMBER.search(said), _QUOTED.search(said)
    match schema.get("type"):
        case "integer" | "number":
            return int(number[0]) if number else 0
        case "boolean":
            return True
        case "array":
            return [_value(schema.get("items") or {}, said, definitions=definitions)]
        case "string":
            return quoted[1] if quoted else TEXT
        case _:
            properties = schema.get("properties") or {}
            return {name: _value(part, said, definitions=definitions) for name, part in properties.items()}
