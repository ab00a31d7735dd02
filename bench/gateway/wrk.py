"""wrk as the load generator: it is written in C and takes little of the core that it shares with the upstream."""

import asyncio
import json
from pathlib import Path

from bench.gateway.client import Load

# No request() function: wrk then formats the request once and runs no Lua for it.
_SCRIPT = """\
wrk.method = "POST"
wrk.body = %s
%s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%%d,"duration_us":%%d,"p50_us":%%d,"p99_us":%%d,"errors":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def script(*, headers: tuple[tuple[str, str], ...], body: bytes) -> str:
    """The Lua that makes wrk send this request and print what it saw as one line of JSON."""
    lines = [
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
        for name, value in (("content-type", "application/json"), *headers)
    ]
    return _SCRIPT % (json.dumps(body.decode()), "\n".join(lines))


def parse_result(output: str) -> Load:
    """The `RESULT` line of the script above. Raises ValueError where there is none: wrk failed."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            seen = json.loads(line.removeprefix("RESULT "))
            return Load(
                requests=seen["requests"],
                duration_s=seen["duration_us"] / 1e6,
                p50_ms=seen["p50_us"] / 1e3,
                p99_ms=seen["p99_us"] / 1e3,
                errors=seen["errors"],
            )
    raise ValueError(f"wrk printed no result: {output.strip()[:500]}")


async def run_wrk(lua: Path, *, port: int, connections: int, duration_s: float) -> Load:
    """One run with one thread. Whole seconds only: wrk counts so."""
    process = await asyncio.create_subprocess_exec(
        *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(duration_s))}s"),
        *("--timeout", "30s", "--script", str(lua), f"http://127.0.0.1:{port}/v1/chat/completions"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), duration_s + 60)
    finally:
        if process.returncode is None:
            process.kill()
    return parse_result(output.decode(errors="replace"))
