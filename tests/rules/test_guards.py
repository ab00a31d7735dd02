"""The guards of `tests.fixtures.guards` catch what they are for, and nothing else.

A guard that never fires looks exactly like one that works, so each is shown a seeded fault, in a pytest of its own. The
innocent tests beside them matter as much: a guard that cries wolf on a busy machine is switched off within a week.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from tests.fixtures.loopback import is_local

ROOT: Final = Path(__file__).resolve().parents[2]
SEEDED: Final = Path(__file__).with_name("seeded_faults.py")

CAUGHT: Final = {
    "ipv4_connection": "socket.connect beyond loopback: '192.0.2.1'",
    "ipv6_connection": "socket.connect beyond loopback: '2001:db8::1'",
    "mapped_address": "socket.connect beyond loopback: '::ffff:192.0.2.1'",
    "datagram": "socket.sendto beyond loopback: '192.0.2.1'",
    "name_lookup": "socket.getaddrinfo beyond loopback: 'provider.example'",
    "swallowed_attempt": "socket.connect beyond loopback: '192.0.2.1'",
    "aiohttp_by_name": "beyond loopback: 'provider.example'",
    "uvloop_by_address": "uvloop create_connection beyond loopback: '192.0.2.1'",
    "uvloop_by_name": "beyond loopback: 'provider.example'",
    "psycopg_by_address": "psycopg connect beyond loopback: '192.0.2.1'",
    "psycopg_async_by_address": "psycopg connect beyond loopback: '192.0.2.1'",
    "sleep_in_a_coroutine": "time.sleep(0.5)",
    "sleep_on_a_loop_in_another_thread": "time.sleep(0.5)",
    "synchronous_connect_in_a_coroutine": "psycopg.connect(",
    "computing_in_our_code": "computed",
    "task_without_an_owner": "A task was left without an owner",
    "thread_without_an_owner": "A thread was left running",
    "unawaited_coroutine": "was never awaited",
    "unclosed_socket": "unclosed <socket.socket",
}
"""Each seeded fault to what its failure must say."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The name of each seeded test to its failure's text, empty where it passed."""
    report = tmp_path_factory.mktemp("guards") / "report.xml"
    subprocess.run(  # noqa: S603 - our own interpreter, on a file of this repository
        [
            sys.executable,
            *("-m", "pytest", "-q", "--noconftest", "-p", "tests.fixtures.guards"),
            *("-p", "no:xdist", "--durations=0", f"--junitxml={report}", str(SEEDED)),
        ],
        cwd=ROOT,
        capture_output=True,
        timeout=100,
        check=False,
    )
    found: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it a moment ago
        failures = [*case.iter("failure"), *case.iter("error")]
        name = case.get("name", "").removeprefix("test_")
        found[name] = found.get(name, "") + "".join(f"{item.get('message')}\n{item.text}" for item in failures)
    return found


@pytest.mark.parametrize("fault", CAUGHT)
def test_a_seeded_fault_fails_its_test(outcomes: dict[str, str], fault: str) -> None:
    assert CAUGHT[fault] in outcomes[fault]


def test_innocent_tests_pass_beside_them(outcomes: dict[str, str]) -> None:
    innocent = {name: failure for name, failure in outcomes.items() if name not in CAUGHT}
    assert len(innocent) >= 9
    assert {name: failure for name, failure in innocent.items() if failure} == {}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("/tmp/postgresql", True),  # noqa: S108 - a socket's folder, never opened
        ("", True),
        (None, True),
        ("0.0.0.0", False),  # noqa: S104 - refused, not bound
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("::ffff:10.0.0.1", False),
        ("localhost.provider.example", False),
        ("2130706433", False),
    ],
)
def test_only_this_machine_counts_as_local(host: str | None, local: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_local(host) is local
