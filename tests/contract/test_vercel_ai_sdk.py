"""Vercel's AI SDK, in Node, by the Responses API of this service.

tests/fixtures/vercel/converse.mjs does the work; here the provider is told what to say, and what came of it is read.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from ali.ops.simulator import Answer, Simulator, ToolCall
from tests.contract.judges import CLAUDE, GPT
from tests.fixtures.service import Service
from tests.fixtures.tools import requires_packages, requires_tool

CONVERSE: Final = Path(__file__).resolve().parents[1] / "fixtures" / "vercel" / "converse.mjs"
CALL: Final = Answer(tool_calls=(ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife"}),))
CITY: Final = {"name": "Olinda", "people": 3}


@pytest.mark.parametrize("model", [GPT, CLAUDE])
async def test_vercels_sdk_uses_tools_streams_remembers_and_fills_schemas(
    service: Service, simulator: Simulator, model: str
) -> None:
    node, packages = requires_tool("node"), requires_packages("vercel")
    simulator.script(CALL, "It is hot in Recife.", "About 31 degrees.")
    simulator.script(CALL, "It is hot in Recife today.")
    simulator.script("It is hot.", "About 31 degrees.")
    simulator.script(*[Answer(text=orjson.dumps(CITY).decode())] * 2)
    running = await asyncio.create_subprocess_exec(
        node,
        "--input-type=module",
        "-",
        service.openai_base_url,
        model,
        cwd=packages,
        env={**os.environ, "OPENAI_API_KEY": service.tenant.secret},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await running.communicate(CONVERSE.read_bytes())
    assert running.returncode == 0, complained.decode()
    found: dict[str, Any] = orjson.loads(said.splitlines()[-1])
    tool, stream = found["tool"], found["stream"]
    assert (tool["asked"], tool["steps"]) == (["Recife"], 2)
    assert (tool["first"], tool["second"]) == ("It is hot in Recife.", "About 31 degrees.")
    assert tool["usage"] > 0
    assert stream["asked"] == ["Recife"]
    assert stream["joined"] == "It is hot in Recife today."
    assert stream["whole"] == "It is hot in Recife today."
    assert stream["deltas"] > 1
    assert stream["reason"] == "stop"
    assert stream["usage"] > 0
    assert {"tool-input-start", "tool-input-delta", "tool-call", "tool-result", "text-start", "text-end"} <= set(
        stream["kinds"]
    )
    assert found["memory"] == {"first": "It is hot.", "second": "About 31 degrees."}
    assert found["schema"] == {"whole": CITY, "streamed": CITY}
    _, with_result, after, _, _, _, reminded, *_ = (request.body for request in simulator.requests)
    assert b"31 degrees in Recife" in with_result
    for asked in (b"31 degrees in Recife", b"It is hot in Recife.", b"How hot?"):
        assert after.count(asked) == 1
    for asked in (b"How is the weather in Recife?", b"It is hot.", b"How hot?"):
        assert reminded.count(asked) == 1
