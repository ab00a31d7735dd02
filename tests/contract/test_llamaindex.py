"""LlamaIndex by the Responses API of this service, in an environment of its own: it wants another SDK of OpenAI's.

tests/fixtures/llamaindex/converse.py does the work; here the provider is told what to say, and what came of it is read.
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
from tests.fixtures.tools import requires_environment

CONVERSE: Final = Path(__file__).resolve().parents[1] / "fixtures" / "llamaindex" / "converse.py"
CALL: Final = Answer(tool_calls=(ToolCall(name="get_weather", id="call_recife", arguments={"city": "Recife"}),))
CITY: Final = {"name": "Olinda", "people": 3}


@pytest.mark.parametrize("model", [GPT, CLAUDE])
async def test_llamaindex_uses_tools_streams_remembers_and_fills_schemas(
    service: Service, simulator: Simulator, model: str
) -> None:
    python = requires_environment("llamaindex")
    simulator.script(CALL, "It is hot in Recife.")
    simulator.script(CALL)
    simulator.script("It is hot in Recife today.")
    simulator.script("It is hot.", "About 31 degrees.")
    simulator.script(orjson.dumps(CITY).decode())
    running = await asyncio.create_subprocess_exec(
        python,
        str(CONVERSE),
        service.openai_base_url,
        model,
        env={**os.environ, "OPENAI_API_KEY": service.tenant.secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await running.communicate()
    assert running.returncode == 0, complained.decode()
    found: dict[str, Any] = orjson.loads(said.splitlines()[-1])
    call = {"name": "get_weather", "arguments": {"city": "Recife"}}
    assert found["tool"] == {**call, "answer": "It is hot in Recife."}
    assert found["streamed tool"] == call
    assert found["stream"]["joined"] == found["stream"]["whole"] == "It is hot in Recife today."
    assert found["stream"]["deltas"] > 1
    assert found["memory"] == {"first": "It is hot.", "second": "About 31 degrees."}
    assert found["schema"] == CITY
    _, with_result, _, _, _, reminded, _ = (request.body for request in simulator.requests)
    assert b"31 degrees in Recife" in with_result
    assert b"How is the weather in Recife?" in reminded
    assert b"How hot?" in reminded
