"""A model that searches files and cites them, for tests, and what came of it."""

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from openai.types.responses import Response, ResponseFileSearchToolCall, ResponseOutputMessage

from ali.ops.simulator import Answer, ReceivedRequest, ToolCall
from tests.contract.judges import CLAUDE

NATIVE: Final = "gpt-4.1"
LOCAL: Final = "local/gpt-4.1"
EXTRACTIVE: Final = "ali-extractive"
EVERY_UPSTREAM: Final = pytest.mark.parametrize("model", [NATIVE, LOCAL, CLAUDE])
QUESTION: Final = "Quantos dias de férias tem o servidor?"
SEARCH: Final = ToolCall(name="file_search", id="call_1", arguments={"queries": ["férias do servidor"]})
RESULTS: Final[Any] = ["file_search_call.results"]


def mark_before(words: str) -> Callable[[ReceivedRequest], str]:
    """The mark that a model was given for the stretch in which `words` stand."""

    def found(request: ReceivedRequest) -> str:
        text = told_to_model(request)
        marks = re.findall(r"【c\d+】", text[: text.index(words)])
        assert marks
        return str(marks[-1])

    return found


def told_to_model(request: ReceivedRequest) -> str:
    """All texts of a request."""

    def texts(value: Any) -> list[str]:  # noqa: ANN401 - JSON
        if isinstance(value, str):
            return [value]
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [text for each in inner for text in texts(each)]

    return "\n".join(texts(request.json))


def answering(template: str, **stretches: str) -> Callable[[ReceivedRequest], Answer]:
    """A model that searches once, and then says `template` with the marks of the stretches that are named in it."""

    def answer(request: ReceivedRequest) -> Answer:
        if "From " not in told_to_model(request) and "No passage was found" not in told_to_model(request):
            return Answer(tool_calls=(SEARCH,))
        marks = {name: mark_before(words)(request) for name, words in stretches.items()}
        return Answer(text=template.format(**marks))

    return answer


def message_of(response: Response) -> ResponseOutputMessage:
    [message] = [item for item in response.output if isinstance(item, ResponseOutputMessage)]
    return message


def citations_of(response: Response) -> list[dict[str, Any]]:
    [part] = message_of(response).content
    return [one.model_dump() for one in part.annotations] if part.type == "output_text" else []


def searches_of(response: Response) -> list[ResponseFileSearchToolCall]:
    return [item for item in response.output if isinstance(item, ResponseFileSearchToolCall)]
