"""What a simulated model says to a request: scripted, directed, or an echo, with its count of tokens."""

import re
from dataclasses import replace
from functools import lru_cache

from ali.ops.simulator.answers import Answer, Completion, Pace, RedactedThinking, Thinking
from ali.ops.simulator.checks import Refused
from ali.ops.simulator.directives import DirectiveMisread, directed, directed_after_tools
from ali.ops.simulator.faults import Fault
from ali.ops.simulator.prompt import Prompt
from ali.providers.contract import Usage

_WORD = re.compile(r"\s*\S+|\s+\Z")
_ABSURD = 10**18
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_THOUGHT = "The simulated model thinks it over."


def said(
    prompt: Prompt, answer: Answer, *, serial: int, now_s: int, model: str, pace: Pace, directives: bool
) -> Completion:
    """The completion for `prompt`: `answer`, changed by the directives of the last user message where they count.

    Raises `Refused` for a directive that cannot be obeyed.
    """
    text = prompt.asked
    if directives:
        try:
            found = directed(answer, text)
        except DirectiveMisread as error:
            raise Refused(400, str(error)) from error
        answer, text = found.answer, found.text
        if not text and answer.text is None and not answer.tool_calls:
            answer = directed_after_tools(answer, prompt.asked_before)
        if not answer.thinking and _summary_asked(prompt):
            answer = replace(answer, thinking=(Thinking(text=_THOUGHT),))
    words = _words(answer, text or prompt.heard, tokens=pace.tokens)
    limit = next((prompt.body[name] for name in _LIMITS if prompt.body.get(name)), None)
    truncated = answer.text is None and isinstance(limit, int) and limit < len(words)
    words = words[:limit] if truncated and isinstance(limit, int) else words
    return Completion(
        serial=serial,
        created_s=now_s,
        model=model,
        answer=answer,
        words=words,
        usage=answer.usage or _counted(answer, words, input_tokens=prompt.tokens),
        truncated=truncated,
    )


def under(fault: Fault | None, completion: Completion) -> Completion:
    """`completion` with the token counts that a fault of usage gives it."""
    match fault:
        case Fault.MISSING_USAGE:
            return replace(completion, usage=None)
        case Fault.NEGATIVE_USAGE:
            return replace(completion, usage=Usage(input_tokens=-5, output_tokens=-7, reported=True))
        case Fault.ABSURD_USAGE:
            return replace(completion, usage=Usage(input_tokens=_ABSURD, output_tokens=_ABSURD, reported=True))
        case _:
            return completion


def _summary_asked(prompt: Prompt) -> bool:
    """Whether a Responses request wants to read how the model reasoned."""
    reasoning = prompt.body.get("reasoning")
    return isinstance(reasoning, dict) and reasoning.get("summary") is not None


def _words(answer: Answer, asked: str, *, tokens: int) -> tuple[str, ...]:
    """The text in token-sized pieces."""
    if answer.text is not None:
        return tuple(_WORD.findall(answer.text))
    if answer.tool_calls or answer.refusal is not None:
        return ()
    return _echo(asked, tokens if answer.tokens is None else answer.tokens)


@lru_cache(maxsize=64)
def _echo(asked: str, tokens: int) -> tuple[str, ...]:
    """The words of `asked`, over and over, `tokens` of them."""
    source = asked.split() or ["simulated"]
    words = (source * (tokens // len(source) + 1))[:tokens]
    return (*words[:1], *[" " + word for word in words[1:]])


def _counted(answer: Answer, words: tuple[str, ...], *, input_tokens: int) -> Usage:
    """A token a word, of arguments a token for every four characters; thinking counts as output too."""
    if not (answer.thinking or answer.tool_calls or answer.refusal):
        return Usage(input_tokens=input_tokens, output_tokens=len(words), reported=True)
    reasoning = sum(
        len(block.data) // 4 if isinstance(block, RedactedThinking) else len(block.text.split()) + 1
        for block in answer.thinking
    )
    arguments = sum(len(call.arguments_json) // 4 + 4 for call in answer.tool_calls)
    refusal = len((answer.refusal or "").split())
    return Usage(
        input_tokens=input_tokens,
        output_tokens=len(words) + reasoning + arguments + refusal,
        reasoning_tokens=reasoning,
        reported=True,
    )
