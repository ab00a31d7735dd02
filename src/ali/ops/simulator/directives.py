"""Directives in the last user message: any SDK can ask for an answer, a pace or a fault without other means.

    [[fault:stall_mid_stream]]  [[status:429]]  [[tokens:200]]  [[rate:20]]  [[latency:1.5]]
    [[tool:get_weather {"city":"Recife"}]]  [[text:Hello.]]  [[thinking:Hm.]]  [[refusal:No.]]  [[finish:length]]
    [[then:It rains 【c1】.]]

`tool` may be given several times (parallel calls). `then` is what is said once they were answered: with the marks of
passages, or with false ones, it plays a model that cites. Directives are cut from the text that is echoed.
"""

import json
import re
from dataclasses import dataclass, replace

from ali.ops.simulator.answers import Answer, Thinking, ToolCall
from ali.ops.simulator.faults import Fault

_OPENING = "[["
_DIRECTIVE = re.compile(
    r"\[\[(fault|status|tokens|rate|latency|text|thinking|refusal|finish|then):(.*?)\]\]", re.DOTALL
)
_TOOL = re.compile(r"\[\[tool:\s*([A-Za-z0-9_.-]+)\s*")
_MOST_TOKENS = 100_000
_LONGEST_LATENCY_S = 3600.0


class DirectiveMisread(ValueError):
    """A directive that cannot be obeyed; the message says which and what would do."""


@dataclass(frozen=True, slots=True)
class Directed:
    """The answer that was asked for, and the text without its directives."""

    answer: Answer
    text: str


def directed(answer: Answer, text: str) -> Directed:
    """`answer` as the directives in `text` change it. Raises `DirectiveMisread`. Cost without any: one search."""
    if _OPENING not in text:
        return Directed(answer, text)
    calls, text = _tool_calls(text)
    if calls:
        answer = replace(answer, tool_calls=calls)
    for name, value in _DIRECTIVE.findall(text):
        answer = _apply(answer, name, value.strip())
    return Directed(answer, _DIRECTIVE.sub("", text).strip())


def directed_after_tools(answer: Answer, text: str) -> Answer:
    """`answer`, once tools were answered, as `then` in the user's `text` before that changes it."""
    said = [value for name, value in _DIRECTIVE.findall(text) if name == "then"] if _OPENING in text else []
    return replace(answer, text=said[-1].strip()) if said else answer


def _tool_calls(text: str) -> tuple[tuple[ToolCall, ...], str]:
    """The tool directives, and the text without them. Arguments are read as JSON, for they may hold `]]` themselves."""
    calls: list[ToolCall] = []
    while (found := _TOOL.search(text)) is not None:
        end = found.end()
        arguments = "{}"
        if text[end : end + 1] == "{":
            try:
                _, end = json.JSONDecoder().raw_decode(text, found.end())
            except ValueError as error:
                raise DirectiveMisread(f"The arguments in [[tool:{found[1]} …]] are no JSON: {error}.") from error
            arguments = text[found.end() : end]
        close = text.find("]]", end)
        if close < 0 or text[end:close].strip():
            raise DirectiveMisread(f'Write a tool directive as [[tool:{found[1]} {{"name":"value"}}]].')
        calls.append(ToolCall(name=found[1], arguments=arguments))
        text = text[: found.start()] + text[close + 2 :]
    return tuple(calls), text


def _apply(answer: Answer, name: str, value: str) -> Answer:
    match name:
        case "fault":
            try:
                return replace(answer, fault=Fault.named(value))
            except ValueError as error:
                raise DirectiveMisread(str(error)) from error
        case "status":
            return replace(answer, status=int(_number(name, value, 200, 599)))
        case "tokens":
            return replace(answer, tokens=int(_number(name, value, 0, _MOST_TOKENS)))
        case "rate":
            return replace(answer, tokens_per_second=_number(name, value, 0.01, 100_000))
        case "latency":
            return replace(answer, latency_s=_number(name, value, 0, _LONGEST_LATENCY_S))
        case _:
            return _say(answer, name, value)


def _say(answer: Answer, name: str, value: str) -> Answer:
    match name:
        case "thinking":
            return replace(answer, thinking=(Thinking(text=value),))
        case "refusal":
            return replace(answer, refusal=value)
        case "finish":
            return replace(answer, finish_reason=value)
        case "then":
            return answer
        case _:
            return replace(answer, text=value)


def _number(name: str, value: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise DirectiveMisread(f"[[{name}:…]] takes a number from {least:g} to {most:g}, not {value!r}.")
    return number
