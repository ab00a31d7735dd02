"""Whatever is wrong with a request for responses is named at once; no model is asked, and nothing is left behind."""

import io
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import orjson
import psycopg
import pytest
import pytest_asyncio

from ali.ops.simulator import Answer, Simulator
from tests.administration.callers import another_tenant
from tests.contract.judges import CLAUDE, EXTRACTIVE, GPT
from tests.contract.test_bad_input import WRONG_JSON, spoiled
from tests.fixtures.service import Service
from tests.fixtures.standing_service import Standing, standing_service
from tests.responses.conftest import behind

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL: Final = "local/gpt-4.1"
RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"
MOST_S: Final = 2.0
NOBODYS: Final = "0" * 32
HELLO: Final = {"role": "user", "content": "Hello"}
FUNCTION: Final = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CUSTOM: Final = {"type": "custom", "name": "c"}
MCP: Final = {"type": "mcp", "server_label": "dice", "server_url": "https://elsewhere.example/mcp"}
CALL: Final = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT: Final = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
BIG: Final = 10**30


def deep(levels: int) -> Any:  # noqa: ANN401 - JSON
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


TYPE, VALUE, MISSING = "invalid_type", "invalid_value", "missing_required_parameter"

Case = tuple[dict[str, Any], str | None, str]
"""Members of a body that is otherwise good, the parameter that is named, the code."""

TYPES: Final[list[Case]] = [
    ({"model": 5}, "model", TYPE),
    ({"model": []}, "model", TYPE),
    ({"model": {"id": GPT}}, "model", TYPE),
    ({"model": True}, "model", TYPE),
    ({"model": None}, "model", MISSING),
    ({"input": 5}, "input", TYPE),
    ({"input": {"role": "user"}}, "input", TYPE),
    ({"input": True}, "input", TYPE),
    ({"input": None}, "input", MISSING),
    ({"input": []}, "input", MISSING),
    ({"input": [7]}, "input[0]", TYPE),
    ({"input": ["Hello"]}, "input[0]", TYPE),
    ({"background": "yes"}, "background", VALUE),
    ({"background": 1}, "background", VALUE),
    ({"background_options": 7}, "background_options", VALUE),
    ({"context_management": 7}, "context_management", TYPE),
    ({"context_management": [7]}, "context_management[0]", TYPE),
    ({"context_management": [{"compact_threshold": 1000}]}, "context_management[0].type", MISSING),
    ({"conversation": 7}, "conversation", TYPE),
    ({"conversation": {}}, "conversation", TYPE),
    ({"conversation": {"id": 7}}, "conversation", TYPE),
    ({"conversation": []}, "conversation", TYPE),
    ({"frequency_penalty": "much"}, "frequency_penalty", VALUE),
    ({"presence_penalty": []}, "presence_penalty", TYPE),
    ({"include": "reasoning.encrypted_content"}, "include", VALUE),
    ({"include": {}}, "include", TYPE),
    ({"include": ["everything"]}, "include[0]", VALUE),
    ({"include": [7]}, "include[0]", VALUE),
    ({"include": [[]]}, "include[0]", TYPE),
    ({"include": [{}]}, "include[0]", TYPE),
    ({"include": [None]}, "include[0]", VALUE),
    ({"instructions": 7}, "instructions", VALUE),
    ({"instructions": ["Be kind."]}, "instructions", TYPE),
    ({"max_output_tokens": "16"}, "max_output_tokens", VALUE),
    ({"max_output_tokens": 0}, "max_output_tokens", VALUE),
    ({"max_output_tokens": -1}, "max_output_tokens", VALUE),
    ({"max_output_tokens": 1.5}, "max_output_tokens", VALUE),
    ({"max_output_tokens": True}, "max_output_tokens", TYPE),
    ({"max_output_tokens": BIG}, "max_output_tokens", VALUE),
    ({"max_tool_calls": 0}, "max_tool_calls", VALUE),
    ({"max_tool_calls": []}, "max_tool_calls", TYPE),
    ({"metadata": "x"}, "metadata", TYPE),
    ({"metadata": []}, "metadata", TYPE),
    ({"metadata": {"a": 1}}, "metadata.a", TYPE),
    ({"metadata": {"a": None}}, "metadata.a", TYPE),
    ({"metadata": {"a": "\x00"}}, "metadata.a", VALUE),
    ({"metadata": {"\x00": "a"}}, "metadata", VALUE),
    ({"metadata": {"a": "x" * 513}}, "metadata.a", "string_above_max_length"),
    ({"metadata": {"x" * 65: "a"}}, "metadata", "property_name_above_max_length"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls", VALUE),
    ({"prompt": "pmpt_1"}, "prompt", VALUE),
    ({"prompt": {"id": 7}}, "prompt.id", VALUE),
    ({"prompt": {}}, "prompt.id", MISSING),
    ({"prompt_cache_key": 7}, "prompt_cache_key", VALUE),
    ({"prompt_cache_retention": "forever"}, "prompt_cache_retention", VALUE),
    ({"reasoning": "high"}, "reasoning", VALUE),
    ({"reasoning": {"effort": "heroic"}}, "reasoning.effort", VALUE),
    ({"reasoning": {"effort": ["low"]}}, "reasoning.effort", TYPE),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary", VALUE),
    ({"safety_identifier": 7}, "safety_identifier", VALUE),
    ({"safety_identifier": "x" * 200}, "safety_identifier", "string_above_max_length"),
    ({"service_tier": "first"}, "service_tier", VALUE),
    ({"store": "yes"}, "store", VALUE),
    ({"store": False, "background": True}, "store", VALUE),
    ({"stream": "yes"}, "stream", VALUE),
    ({"stream": 1}, "stream", VALUE),
    ({"stream_options": []}, "stream_options", TYPE),
    ({"stream_options": {"include_obfuscation": "no"}}, "stream_options.include_obfuscation", VALUE),
    ({"temperature": "hot"}, "temperature", VALUE),
    ({"temperature": 2.1}, "temperature", VALUE),
    ({"temperature": BIG}, "temperature", VALUE),
    ({"text": "json"}, "text", VALUE),
    ({"text": {"format": "json"}}, "text.format", VALUE),
    ({"text": {"format": {}}}, "text.format.type", VALUE),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", VALUE),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", MISSING),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", MISSING),
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": 1}}}, "text.format.schema", VALUE),
    ({"text": {"verbosity": "endless"}}, "text.verbosity", VALUE),
    ({"top_logprobs": 21}, "top_logprobs", VALUE),
    ({"top_logprobs": "2"}, "top_logprobs", VALUE),
    ({"top_p": 2}, "top_p", VALUE),
    ({"truncation": "always"}, "truncation", VALUE),
    ({"user": 7}, "user", VALUE),
]

ITEMS: Final[list[Case]] = [
    ({"input": [{}]}, "input[0].type", MISSING),
    ({"input": [HELLO, {"type": "poem"}]}, "input[1].type", VALUE),
    ({"input": [{"type": 7}]}, "input[0].type", TYPE),
    ({"input": [{"role": "user"}]}, "input[0].content", MISSING),
    ({"input": [{"content": "x"}]}, "input[0].role", MISSING),
    ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role", VALUE),
    ({"input": [{"role": 7, "content": "x"}]}, "input[0].role", TYPE),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", VALUE),
    ({"input": [{"role": "user", "content": 7}]}, "input[0].content", TYPE),
    ({"input": [{"role": "user", "content": [7]}]}, "input[0].content[0]", TYPE),
    ({"input": [{"role": "user", "content": [{}]}]}, "input[0].content[0].type", MISSING),
    ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "input[0].content[0].type", VALUE),
    (
        {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
        "input[0].content[0].type",
        VALUE,
    ),
    (
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
        "input[0].content[0].type",
        VALUE,
    ),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", MISSING),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input[0].content[0].image_url",
        MISSING,
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}]},
        "input[0].content[0].image_url",
        VALUE,
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "a", "file_data": "b"}]}]},
        "input[0].content[0]",
        "mutually_exclusive_parameters",
    ),
    ({"input": [HELLO | {"status": "asleep"}]}, "input[0].status", VALUE),
    ({"input": [HELLO | {"phase": "last"}]}, "input[0].phase", VALUE),
    ({"input": [HELLO | {"id": 7}]}, "input[0].id", TYPE),
    ({"input": [HELLO | {"id": ""}]}, "input[0].id", VALUE),
    ({"input": [HELLO | {"id": "a\x00b"}]}, "input[0].id", VALUE),
    ({"input": [HELLO | {"id": "x" * 129}]}, "input[0].id", VALUE),
    ({"input": [HELLO | {"id": "a"}, HELLO | {"id": "a"}]}, "input[1].id", "duplicate_item"),
    ({"input": [HELLO] * 5001}, "input", "array_above_max_length"),
    ({"input": [HELLO | {"deep": deep(101)}]}, "input[0]", VALUE),
    ({"input": [OUTPUT]}, "input", "unpaired_tool_call"),
    ({"input": [HELLO, CALL]}, "input", "unpaired_tool_call"),
    ({"input": [HELLO, OUTPUT, CALL]}, "input", "unpaired_tool_call"),
    ({"input": [HELLO, CALL, OUTPUT | {"call_id": "call_2"}]}, "input", "unpaired_tool_call"),
    ({"input": [HELLO, CALL, OUTPUT | {"type": "custom_tool_call_output"}]}, "input", "unpaired_tool_call"),
    ({"input": [HELLO, {**CALL, "arguments": {}}, OUTPUT]}, "input[1].arguments", TYPE),
    ({"input": [HELLO, {**CALL, "call_id": ""}, OUTPUT]}, "input[1].call_id", VALUE),
    ({"input": [HELLO, {**CALL, "call_id": "x" * 513}]}, "input[1].call_id", "string_above_max_length"),
    ({"input": [HELLO, {**CALL, "name": None}, OUTPUT]}, "input[1].name", MISSING),
    ({"input": [HELLO, CALL, {**OUTPUT, "output": 7}]}, "input[2].output", TYPE),
    ({"input": [HELLO, CALL, {**OUTPUT, "output": [{"type": "output_text"}]}]}, "input[2].output[0].type", VALUE),
    ({"input": [{"type": "item_reference"}]}, "input[0].id", MISSING),
    (
        {"input": [HELLO, {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}]},
        "input",
        "unpaired_tool_call",
    ),
    (
        {"input": [HELLO, {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": "y"}]},
        "input[1].approve",
        TYPE,
    ),
    ({"input": [HELLO, {"type": "reasoning", "summary": "short"}]}, "input[1].summary", TYPE),
    (
        {"input": [HELLO, {"type": "reasoning", "summary": [], "encrypted_content": 7}]},
        "input[1].encrypted_content",
        TYPE,
    ),
]

TOOLS: Final[list[Case]] = [
    ({"tools": {}}, "tools", TYPE),
    ({"tools": "all"}, "tools", TYPE),
    ({"tools": [FUNCTION | {"name": str(n)} for n in range(129)]}, "tools", TYPE),
    ({"tools": [7]}, "tools[0].type", MISSING),
    ({"tools": [{}]}, "tools[0].type", MISSING),
    ({"tools": [{"type": 7}]}, "tools[0].type", MISSING),
    ({"tools": [{"type": "function"}]}, "tools[0].name", MISSING),
    ({"tools": [FUNCTION | {"name": ""}]}, "tools[0].name", VALUE),
    ({"tools": [FUNCTION | {"name": "a b"}]}, "tools[0].name", VALUE),
    ({"tools": [FUNCTION | {"name": "a\x00"}]}, "tools[0].name", VALUE),
    ({"tools": [FUNCTION | {"name": "x" * 129}]}, "tools[0].name", VALUE),
    ({"tools": [FUNCTION | {"name": 7}]}, "tools[0].name", VALUE),
    ({"tools": [FUNCTION | {"parameters": []}]}, "tools[0].parameters", TYPE),
    ({"tools": [FUNCTION | {"parameters": deep(101)}]}, "tools", VALUE),
    ({"tools": [FUNCTION | {"parameters": deep(300)}]}, "tools", VALUE),
    ({"tools": [FUNCTION | {"strict": "yes"}]}, "tools[0].strict", TYPE),
    ({"tools": [FUNCTION | {"description": 7}]}, "tools[0].description", TYPE),
    ({"tools": [CUSTOM | {"format": "regex"}]}, "tools[0].format", TYPE),
    ({"tools": [FUNCTION, FUNCTION]}, "tools", "duplicate_tool_name"),
    ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0].type", "tool_not_supported"),
    ({"tools": [{"type": "web_search"}], "model": CLAUDE}, "tools", "tool_not_supported"),
    ({"tools": [{"type": "code_interpreter"}], "model": LOCAL}, "tools", "tool_not_supported"),
    ({"tools": [{"type": "image_generation"}], "model": EXTRACTIVE}, "tools", "tool_not_supported"),
    ({"tools": [{"type": "web_search"}], "model": CLAUDE, "stream": True}, "tools", "tool_not_supported"),
    ({"tools": [{"type": "mcp"}]}, "tools[0].server_label", "invalid_request"),
    ({"tools": [MCP | {"server_label": "a b"}]}, "tools[0].server_label", "invalid_request"),
    ({"tools": [MCP | {"server_url": None}]}, "tools[0].server_url", "invalid_request"),
    ({"tools": [MCP]}, "tools[0].server_url", "mcp_server_not_allowed"),
    ({"tools": [MCP | {"server_url": "file:///etc/passwd"}]}, "tools[0].server_url", "mcp_server_not_allowed"),
    ({"tools": [MCP | {"connector_id": "connector_gmail"}]}, "tools[0].connector_id", "invalid_request"),
    ({"tools": [MCP], "background": True}, "tools[0].server_url", "mcp_server_not_allowed"),
    ({"tool_choice": "perhaps"}, "tool_choice", VALUE),
    ({"tool_choice": 7}, "tool_choice", VALUE),
    ({"tool_choice": []}, "tool_choice", VALUE),
    ({"tool_choice": {}}, "tool_choice", VALUE),
    ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", VALUE),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice", VALUE),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function", "name": ["f"]}}, "tool_choice", VALUE),
    ({"tools": [FUNCTION], "tool_choice": {"type": "custom", "name": "f"}}, "tool_choice", VALUE),
    ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, "tool_choice", VALUE),
    ({"tools": [FUNCTION], "tool_choice": {"type": "mcp", "server_label": "dice"}}, "tool_choice", VALUE),
    ({"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", VALUE),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [7]}},
        "tool_choice.tools[0]",
        TYPE,
    ),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [CUSTOM]}},
        "tool_choice.tools[0]",
        VALUE,
    ),
]

REST: Final[list[Case]] = [
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": deep(200)}}}, "text", VALUE),
    ({"prompt": {"id": "pmpt_1", "variables": deep(300)}}, "prompt", VALUE),
    ({"whatever": deep(300)}, "whatever", VALUE),
    ({"prompt": {"id": "pmpt_1"}, "model": CLAUDE}, "prompt", "unsupported_parameter"),
    ({"prompt": {"id": "pmpt_1"}, "model": LOCAL}, "prompt", "unsupported_parameter"),
    ({"prompt": {"id": "pmpt_1"}, "model": EXTRACTIVE, "input": None}, "prompt", "unsupported_parameter"),
    ({"top_logprobs": 2, "model": CLAUDE}, "top_logprobs", "invalid_request"),
]
REFUSED: Final = [*TYPES, *ITEMS, *TOOLS, *REST]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    home = tmp_path_factory.mktemp("wrong")
    patience = {"upstream_first_byte_s": 100.0, "upstream_total_s": 100.0, "max_body_bytes": 64 * 1024 * 1024}
    async with (
        Simulator() as simulator,
        standing_service(worker_dsn, home, simulator, **(behind(simulator) | patience)) as standing,
    ):
        yield standing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(standing: Standing) -> "AsyncIterator[Ground]":
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=MOST_S)) as session:
        ground = Ground(standing, session)
        await ground.prepare()
        yield ground


class Ground:
    """A tenant that has responses and conversations in every state, and what it asks."""

    def __init__(self, standing: Standing, session: aiohttp.ClientSession) -> None:
        self.service: Service = standing.service
        self.simulator = standing.simulator
        self.session = session
        self.names: dict[str, str] = {}

    async def prepare(self) -> None:
        tenant = self.service.tenant
        made = await self.good(input=[HELLO | {"id": "msg_said"}])
        self.names |= {"response": made["id"], "item": "msg_said", "output": made["output"][0]["id"]}
        parent = await self.good()
        broken = await self.good(previous_response_id=parent["id"])
        for method, name in (("DELETE", parent["id"]),):
            assert (await self.ask(method, f"{RESPONSES}/{name}"))[0] == 200
        self.names |= {"deleted": parent["id"], "broken": broken["id"]}
        for name in ("conversation", "busy"):
            _, conversation = await self.ask("POST", CONVERSATIONS, {"items": [HELLO | {"id": f"msg_{name}"}]})
            self.names[name] = conversation["id"]
        talked = await self.good(conversation=self.names["conversation"])
        self.names["talked"] = talked["id"]
        self.simulator.script(*[Answer(latency_s=90.0)] * 2)
        running = await self.good(background=True)
        busy = await self.good(background=True, conversation=self.names["busy"])
        self.names |= {"running": running["id"], "running_in_busy": busy["id"]}
        await self.simulator.until(lambda: len(self.simulator.requests) == 6)
        foreign = another_tenant(tenant).secret
        _, theirs = await self.ask("POST", RESPONSES, {"model": EXTRACTIVE, "input": "Hello"}, secret=foreign)
        _, talk = await self.ask("POST", CONVERSATIONS, {}, secret=foreign)
        self.names |= {"foreign": theirs["id"], "foreign_conversation": talk["id"], "nobodys": NOBODYS}

    async def good(self, **members: Any) -> Any:  # noqa: ANN401 - JSON
        status, made = await self.ask("POST", RESPONSES, {"model": GPT, "input": "Hello", **members})
        assert status == 200, made
        return made

    async def ask(self, method: str, path: str, body: object = None, *, secret: str | None = None) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {secret or self.service.tenant.secret}"}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        data = None if content is None else io.BytesIO(content)
        if data is not None:
            headers["content-type"] = "application/json"
        async with self.session.request(method, self.service.url + path, data=data, headers=headers) as answer:
            content = await answer.read()
            return answer.status, orjson.loads(content) if answer.content_type == "application/json" else content

    def rows(self) -> dict[str, int]:
        """How much there is of everything, for everybody."""
        with psycopg.connect(self.service.tenant.dsn) as connection:
            row = connection.execute(
                "select (select count(*) from ali.response), (select count(*) from ali.response_event),"
                " (select count(*) from ali.conversation), (select count(*) from ali.conversation_item),"
                " (select count(*) from ali.conversation where claimed_by is not null)"
            ).fetchone()
        assert row is not None
        return dict(zip(("responses", "events", "conversations", "items", "claims"), row, strict=True))

    def filled(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """`value` with the names of what is there in place of `<…>`."""
        text = json.dumps(value)
        for name, known in self.names.items():
            text = text.replace(f"<{name}>", known)
        return json.loads(text)

    async def refuse(self, method: str, path: str, body: object, *, status: int) -> dict[str, Any]:
        """The error of a request that is refused, and changes nothing."""
        before, asked = self.rows(), len(self.simulator.requests)
        got, answer = await self.ask(method, path, body)
        assert got == status, answer
        assert set(answer) == {"error"}
        error: dict[str, Any] = answer["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert error["type"] == "invalid_request_error"
        assert self.rows() == before
        assert len(self.simulator.requests) == asked
        return error


@pytest.mark.parametrize("case", REFUSED, ids=range(len(REFUSED)))
async def test_what_is_wrong_with_a_response_is_named(ground: Ground, case: Case) -> None:
    members, param, code = case
    body = {"model": GPT, "input": "Hello", **members}
    error = await ground.refuse("POST", RESPONSES, body, status=400)
    assert (error["param"], error["code"]) == (param, code), error["message"]


STATE: Final[list[tuple[dict[str, Any], int, str, str]]] = [
    ({"previous_response_id": 7}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": ""}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "resp_<nobodys>"}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "<conversation>"}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "resp_\u0000"}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "<foreign>"}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "<deleted>"}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "<broken>"}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "<broken>", "stream": True}, 400, "previous_response_id", "previous_response_not_found"),
    (
        {"previous_response_id": "<broken>", "background": True},
        400,
        "previous_response_id",
        "previous_response_not_found",
    ),
    ({"previous_response_id": "<broken>", "store": False}, 400, "previous_response_id", "previous_response_not_found"),
    ({"previous_response_id": "<running>"}, 400, "previous_response_id", "previous_response_unusable"),
    ({"previous_response_id": "<running_in_busy>"}, 400, "previous_response_id", "previous_response_unusable"),
    ({"previous_response_id": "<talked>"}, 400, "previous_response_id", "previous_response_unusable"),
    (
        {"previous_response_id": "<response>", "conversation": "<conversation>"},
        400,
        "previous_response_id",
        "mutually_exclusive_parameters",
    ),
    ({"previous_response_id": "<response>", "input": [OUTPUT]}, 400, "input", "unpaired_tool_call"),
    (
        {"previous_response_id": "<response>", "input": [HELLO | {"id": "<item>"}]},
        400,
        "input[0].id",
        "duplicate_item",
    ),
    (
        {
            "previous_response_id": "<response>",
            "input": [HELLO, {"role": "assistant", "content": "x", "id": "<output>"}],
        },
        400,
        "input[1].id",
        "duplicate_item",
    ),
    ({"conversation": "conv_<nobodys>"}, 404, "conversation", "conversation_not_found"),
    ({"conversation": "<response>"}, 404, "conversation", "conversation_not_found"),
    ({"conversation": {"id": "<foreign_conversation>"}}, 404, "conversation", "conversation_not_found"),
    ({"conversation": "conv_<nobodys>", "background": True}, 404, "conversation", "conversation_not_found"),
    ({"conversation": "conv_<nobodys>", "store": False}, 404, "conversation", "conversation_not_found"),
    ({"conversation": "<busy>"}, 409, "conversation", "conversation_locked"),
    ({"conversation": "<busy>", "stream": True}, 409, "conversation", "conversation_locked"),
    ({"conversation": "<busy>", "background": True}, 409, "conversation", "conversation_locked"),
    ({"conversation": "<busy>", "store": False}, 409, "conversation", "conversation_locked"),
    (
        {"conversation": "<conversation>", "input": [HELLO | {"id": "msg_conversation"}]},
        400,
        "input[0].id",
        "duplicate_item",
    ),
    ({"conversation": "<conversation>", "input": [OUTPUT]}, 400, "input", "unpaired_tool_call"),
    (
        {"conversation": "<conversation>", "tools": [{"type": "web_search"}], "model": CLAUDE},
        400,
        "tools",
        "tool_not_supported",
    ),
    ({"input": [HELLO, {"type": "item_reference", "id": "msg_nothing"}]}, 404, "input", "not_found"),
    (
        {"conversation": "<conversation>", "input": [{"type": "item_reference", "id": "msg_nothing"}]},
        404,
        "input",
        "not_found",
    ),
    ({"model": "gpt-none"}, 404, "model", "model_not_found"),
    ({"model": ""}, 404, "model", "model_not_found"),
    ({"model": "x" * 300}, 404, "model", "model_not_found"),
    ({"model": "gpt\u0000"}, 404, "model", "model_not_found"),
    ({"model": "nowhere/gpt-4.1"}, 404, "model", "model_not_found"),
    ({"model": "text-embedding-3-small"}, 400, "model", "operation_not_supported"),
]


@pytest.mark.parametrize("case", STATE, ids=range(len(STATE)))
async def test_what_a_response_cannot_go_on_from_is_named_and_claims_nothing(
    ground: Ground, case: tuple[dict[str, Any], int, str, str]
) -> None:
    members, status, param, code = case
    body = ground.filled({"model": GPT, "input": "Hello", **members})
    error = await ground.refuse("POST", RESPONSES, body, status=status)
    assert (error["param"], error["code"]) == (param, code), error["message"]


PATHS: Final[list[tuple[str, str, object, int, str | None, str]]] = [
    *[
        (method, f"{RESPONSES}/{name}{suffix}", None, 404, None, "response_not_found")
        for method, suffix in (
            ("GET", ""),
            ("GET", "?stream=true"),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("GET", "/input_items"),
        )
        for name in ("resp_<nobodys>", "resp_x", "<foreign>", "<deleted>", "<conversation>", "%00", "x" * 1000)
    ],
    ("GET", f"{RESPONSES}/<response>?stream=perhaps", None, 400, "stream", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>?starting_after=1", None, 400, "starting_after", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>?stream=true", None, 400, "stream", "response_not_streamable"),
    ("GET", f"{RESPONSES}/<running>?stream=true&starting_after=-2", None, 400, "starting_after", "invalid_request"),
    ("GET", f"{RESPONSES}/<running>?stream=true&starting_after=x", None, 400, "starting_after", "invalid_request"),
    ("GET", f"{RESPONSES}/<running>?stream=true&starting_after={BIG}", None, 400, "starting_after", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>?include[]=everything", None, 400, "include", VALUE),
    ("GET", f"{RESPONSES}/<response>?include=everything", None, 400, "include", VALUE),
    ("GET", f"{RESPONSES}/<response>/input_items?limit=0", None, 400, "limit", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?limit=101", None, 400, "limit", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?limit=many", None, 400, "limit", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?limit={BIG}", None, 400, "limit", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?order=up", None, 400, "order", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?after=msg_nothing", None, 400, "after", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?before=%00", None, 400, "before", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?after={'x' * 300}", None, 400, "after", "invalid_request"),
    ("GET", f"{RESPONSES}/<response>/input_items?include[]=all", None, 400, "include", VALUE),
    ("POST", f"{RESPONSES}/<response>/cancel", None, 400, None, "response_not_cancellable"),
    ("GET", RESPONSES, None, 405, None, "method_not_allowed"),
    ("PUT", RESPONSES, {}, 405, None, "method_not_allowed"),
    ("DELETE", RESPONSES, None, 405, None, "method_not_allowed"),
    ("POST", f"{RESPONSES}/<response>", {}, 405, None, "method_not_allowed"),
    ("PATCH", f"{RESPONSES}/<response>", {}, 405, None, "method_not_allowed"),
    ("GET", f"{RESPONSES}/<response>/cancel", None, 405, None, "method_not_allowed"),
    ("POST", f"{RESPONSES}/<response>/input_items", {}, 405, None, "method_not_allowed"),
    ("GET", f"{RESPONSES}/<response>/output_items", None, 404, None, "unknown_url"),
    ("POST", f"{CONVERSATIONS}/<busy>/items", {"items": [HELLO]}, 409, None, "conversation_locked"),
    ("POST", f"{CONVERSATIONS}/<foreign_conversation>/items", {"items": [HELLO]}, 404, None, "conversation_not_found"),
    (
        "POST",
        f"{CONVERSATIONS}/<conversation>/items",
        {"items": [HELLO, HELLO | {"id": "msg_conversation"}]},
        400,
        "items",
        "duplicate_item",
    ),
    (
        "POST",
        f"{CONVERSATIONS}/<conversation>/items",
        {"items": [HELLO | {"d": deep(101)}]},
        400,
        None,
        "json_too_deep",
    ),
    ("POST", CONVERSATIONS, {"items": [HELLO | {"d": deep(240)}]}, 400, None, "json_too_deep"),
    ("POST", CONVERSATIONS, {"metadata": {"a": "\x00"}}, 400, "metadata.a", VALUE),
    ("GET", f"{CONVERSATIONS}/<conversation>/items/msg_nothing", None, 404, None, "conversation_item_not_found"),
    ("GET", f"{CONVERSATIONS}/<conversation>/items/%00", None, 400, "item_id", "invalid_request"),
    ("DELETE", f"{CONVERSATIONS}/<conversation>/items/<item>", None, 404, None, "conversation_item_not_found"),
    ("PUT", f"{CONVERSATIONS}/<conversation>", {}, 405, None, "method_not_allowed"),
    ("GET", CONVERSATIONS, None, 405, None, "method_not_allowed"),
]


@pytest.mark.parametrize("case", PATHS, ids=range(len(PATHS)))
async def test_what_is_asked_of_what_is_not_there_or_cannot_be_done_is_refused(
    ground: Ground, case: tuple[str, str, object, int, str | None, str]
) -> None:
    method, path, body, status, param, code = case
    for name, known in ground.names.items():
        path = path.replace(f"<{name}>", known)
    error = await ground.refuse(method, path, ground.filled(body), status=status)
    assert (error["param"], error["code"]) == (param, code), error["message"]


@pytest.mark.parametrize("path", [RESPONSES, CONVERSATIONS, f"{CONVERSATIONS}/<conversation>/items"])
async def test_a_body_that_is_no_object_is_refused(ground: Ground, path: str) -> None:
    path = path.replace("<conversation>", ground.names["conversation"])
    empty_is_good = path == CONVERSATIONS
    for name, body in WRONG_JSON.items():
        if not (empty_is_good and name == "an empty object"):
            too_large = path != RESPONSES and len(body) > 1024 * 1024
            await ground.refuse("POST", path, body, status=413 if too_large else 400)


async def test_a_body_that_is_broken_is_refused_or_changes_nothing(ground: Ground) -> None:
    for name, body in spoiled({"model": EXTRACTIVE, "input": "Hello"}).items():
        if name.startswith("two ") and name != "two objects":  # the last one counts, as everywhere in JSON
            continue
        await ground.refuse("POST", RESPONSES, body, status=400)


async def test_an_item_that_is_too_large_is_refused(ground: Ground) -> None:
    body = orjson.dumps({"model": GPT, "input": [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]})
    error = await ground.refuse("POST", RESPONSES, body, status=400)
    assert (error["param"], error["code"]) == ("input[0]", "item_too_large")
