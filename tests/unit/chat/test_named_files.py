"""Whatever a body holds: no identifier of a file gets past, and nothing but expected failures comes of it."""

import asyncio
import json
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.chat.envelope import read_envelope
from ali.features.chat.named_files import with_files
from ali.features.chat.operations import CHAT_COMPLETIONS, MESSAGES, Operation
from ali.features.files.queries import missing
from ali.kernel.errors import AliError

OWN: Final = {"file-own": ("own.txt", b"Some text"), "file-pdf": ("own.pdf", b"%PDF-1.4 ...")}
NOBODY: Final = UUID(int=0)
BODY: Final = '{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"KEY": "x"}]}]}'
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_MADE: Final = ("code_execution_output", "bash_code_execution_output")

_KEYS: Final = st.sampled_from(
    ["type", "file_id", "source", "content", "citations", "citation", "file", "file_data", "input", "title", "data"]
)
_WORDS: Final = st.sampled_from(
    [
        *OWN,
        "file-foreign",
        "file",
        "document",
        "image",
        "tool_result",
        "text",
        "container_upload",
        "base64",
        *_CALLS,
        *_MADE,
    ]
)
_VALUE: Final = st.recursive(
    _WORDS | st.none() | st.integers(-5, 5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=15,
)
_SOURCE: Final = st.fixed_dictionaries({"type": st.just("file"), "file_id": st.sampled_from(["file-own", "file-pdf"])})
_BLOCK: Final = st.one_of(
    st.dictionaries(_KEYS, _VALUE, max_size=5),
    st.fixed_dictionaries({"type": st.sampled_from(["document", "image"]), "source": _SOURCE | _VALUE}),
    st.fixed_dictionaries({"type": st.just("tool_result"), "content": _VALUE}),
    st.fixed_dictionaries({"type": st.just("file"), "file": st.dictionaries(_KEYS, _WORDS, max_size=4)}),
)
_MESSAGES: Final = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.lists(_BLOCK | _VALUE, max_size=4)},
        optional={"citations": _VALUE},
    ),
    min_size=1,
    max_size=3,
)


class Drawer:
    """Two files."""

    async def fetch(
        self, *, organization_id: UUID, project_id: UUID, name: str, most_bytes: int, param: str
    ) -> tuple[str, bytes]:
        if name not in OWN:
            raise missing(param=param)
        return OWN[name]


def named(value: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether a provider would find an identifier of a file in it."""
    if isinstance(value, list):
        return any(map(named, value))
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if value.get("file_id") is not None and kind not in _MADE:
        return True
    return any(named(inner) for name, inner in value.items() if name != "input" or kind not in _CALLS)


@pytest.mark.parametrize("operation", [CHAT_COMPLETIONS, MESSAGES], ids=lambda operation: operation.name)
@given(messages=_MESSAGES)
def test_no_identifier_of_a_file_is_ever_passed_on(operation: Operation, messages: list[Any]) -> None:
    body = json.dumps({"model": "m", "max_tokens": 5, "messages": messages}).encode()
    envelope = read_envelope(operation, body)
    if not envelope.names_files:
        assert not named(messages)
        return
    try:
        shown = asyncio.run(
            with_files(envelope, Drawer(), organization_id=NOBODY, project_id=NOBODY, most_bytes=1_000_000)
        )
    except AliError as error:
        assert error.http_status in (400, 404, 413)  # noqa: PT017 - one of two good ends
        return
    assert not named(json.loads(shown.body)["messages"])
    assert all(file is None or file[0] in OWN for file in shown.cited_files)


@pytest.mark.parametrize("hidden", [r"file\u005fid", r"\u0066ile_id", r"f\u0069le_id", r"file_i\u0064"])
def test_an_escaped_key_is_a_key(hidden: str) -> None:
    body = BODY.replace("KEY", hidden)
    assert read_envelope(MESSAGES, body.encode()).names_files


def test_what_names_no_file_is_left_to_itself() -> None:
    text = "o file_id é à ç \\u00e7 \\u0301".encode()
    body = b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "%b"}]}' % text
    assert not read_envelope(MESSAGES, body).names_files
