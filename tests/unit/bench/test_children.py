import sys
from pathlib import Path

import pytest

from bench.gateway import processes
from bench.gateway.children import StartFailed, free_port, workplace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads Linux's /proc")

_LEAVES_A_DAEMON = """
import http.server, subprocess, sys
subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ok).serve_forever()
"""


async def test_leaving_the_workplace_ends_a_child_and_what_it_put_into_another_session() -> None:
    port = free_port()
    async with workplace() as children:
        child = children.start("server", [sys.executable, "-c", _LEAVES_A_DAEMON, str(port)], cores={0})
        assert await children.wait_until_ready(child, port=port, path="/readyz", timeout_s=20) > 0
        pids = processes.tree(child.pid).service
        assert len(pids) == 2
        folder = children.folder
    assert [processes.started_at_s(pid) for pid in pids] == [None, None]
    assert not folder.exists()


async def test_a_child_that_ends_before_it_is_ready_tells_its_last_words() -> None:
    async with workplace() as children:
        child = children.start(
            "server", [sys.executable, "-c", "import sys; print('no such setting'); sys.exit(3)"], cores={0}
        )
        with pytest.raises(StartFailed, match=r"ended by itself \(status 3\): no such setting"):
            await children.wait_until_ready(child, port=free_port(), path="/readyz", timeout_s=20)


async def test_a_child_that_never_answers_is_stopped_when_the_time_is_over() -> None:
    async with workplace() as children:
        child = children.start("server", ["/bin/sleep", "60"], cores={0})
        with pytest.raises(StartFailed, match="no 200 on /readyz within 0 s"):
            await children.wait_until_ready(child, port=free_port(), path="/readyz", timeout_s=0.2)
        assert child.poll() is not None


async def test_the_logs_of_a_workplace_go_with_it() -> None:
    async with workplace() as children:
        path: Path = children.log("server")
    assert not path.parent.exists()
