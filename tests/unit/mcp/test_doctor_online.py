"""`ali doctor --online` before MCP servers: one that answers is reached, one that refuses or never answers is named."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from ali.cli.doctor_mcp import mcp_servers_online
from ali.kernel.checks import CheckResult, CheckStatus
from ali.kernel.settings import Settings
from tests.unit.mcp.servers import Asked, Script, http, scripted


async def found_of(script: Script, *, authorization: str | None = None) -> CheckResult:
    async with scripted(script) as found:
        settings = Settings.model_validate(
            {
                "mcp_servers": [{"url": found.address.url, "authorization": authorization}],
                "outbound_allowed_hosts": [found.address.host],
            }
        )
        (result,) = await asyncio.to_thread(lambda: list(mcp_servers_online(settings)))
        return result


@pytest.mark.parametrize(
    ("status", "authorization", "expected"),
    [
        (405, None, CheckStatus.OK),
        (401, None, CheckStatus.OK),
        (401, "token", CheckStatus.WARN),
        (503, None, CheckStatus.WARN),
    ],
)
async def test_what_a_server_answers_says_how_it_stands(
    status: int, authorization: str | None, expected: CheckStatus
) -> None:
    result = await found_of(lambda _: http(status=status), authorization=authorization)
    assert result.status is expected


async def test_a_stream_without_end_is_left_after_its_head() -> None:
    async def endless(_: Asked) -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        await asyncio.sleep(60)

    started = time.perf_counter()
    assert (await found_of(endless)).status is CheckStatus.OK
    assert time.perf_counter() - started < 3
