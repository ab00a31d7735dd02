"""Large files through the real program: however large, a process holds a few pieces of one and no more."""

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.service import Service, serving
from tests.fixtures.database import HMAC_SECRET, temporary_home

MEBIBYTE: Final = 1024 * 1024
SIZE_BYTES: Final = 128 * MEBIBYTE
MOST_GROWTH_BYTES: Final = 48 * MEBIBYTE
_PIECE: Final = os.urandom(MEBIBYTE)
_HEAD: Final = (
    b'--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--B\r\ncontent-disposition: form-data; name="%b"; filename="large.bin"\r\n\r\n'
)
_TAIL: Final = b"\r\n--B--\r\n"


@pytest.fixture
def service(database_dsn: str) -> Iterator[Service]:
    variables = {"DATABASE_URL": database_dsn, "ALI_API_KEY_HMAC_SECRET": HMAC_SECRET, "ALI_LOG_LEVEL": "warning"}
    with temporary_home() as home, serving(home, variables=variables) as service:
        yield service


class Memory:
    """The most that a process has held since this was made, in bytes, beyond what it held then."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        self._before = self._read("VmRSS")

    def growth(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        [line] = [each for each in self._status.read_text("ascii").splitlines() if each.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024


def sent(service: Service, path: str, *, size_bytes: int, field: str = "file") -> Any:  # noqa: ANN401 - JSON
    """What is answered to a form with a file of so many bytes, which this process does not hold either."""
    head = _HEAD % field.encode()

    def body() -> Iterator[bytes]:
        yield head
        yield from (_PIECE for _ in range(size_bytes // len(_PIECE)))
        yield _TAIL

    connection = HTTPConnection("127.0.0.1", service.port, timeout=100)
    headers = {
        "content-type": "multipart/form-data; boundary=B",
        "authorization": f"Bearer {service.key}",
        "content-length": str(len(head) + size_bytes + len(_TAIL)),
    }
    connection.request("POST", path, body(), headers)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def received(service: Service, path: str) -> int:
    """How many bytes are at `path`."""
    connection = service.send("GET", path)
    response = connection.getresponse()
    size = 0
    while piece := response.read(MEBIBYTE):
        assert piece == _PIECE[: len(piece)]
        size += len(piece)
    connection.close()
    return size


def test_a_large_file_is_never_whole_in_memory(service: Service) -> None:
    sent(service, "/v1/files", size_bytes=MEBIBYTE)
    pid = service.program.process.pid
    memory = Memory(pid)
    file = sent(service, "/v1/files", size_bytes=SIZE_BYTES)
    assert file["bytes"] == SIZE_BYTES
    assert received(service, f"/v1/files/{file['id']}/content") == SIZE_BYTES
    assert memory.growth() < MOST_GROWTH_BYTES


def test_parts_become_a_file_that_is_never_whole_in_memory(service: Service) -> None:
    assert in_parts(service, size_bytes=SIZE_BYTES) < MOST_GROWTH_BYTES


def in_parts(service: Service, *, size_bytes: int) -> int:
    """Send a file in parts: the growth of the process that took them."""
    sent(service, "/v1/files", size_bytes=MEBIBYTE)
    pid = service.program.process.pid
    memory = Memory(pid)
    asked = {"bytes": size_bytes, "filename": "a", "mime_type": "text/plain", "purpose": "user_data"}
    _, upload = service.request("POST", "/v1/uploads", asked)
    path = f"/v1/uploads/{upload['id']}"
    part_bytes = 64 * MEBIBYTE
    parts = [
        sent(service, f"{path}/parts", size_bytes=part_bytes, field="data")["id"]
        for _ in range(size_bytes // part_bytes)
    ]
    _, done = service.request("POST", f"{path}/complete", {"part_ids": parts})
    assert done["file"]["bytes"] == size_bytes
    assert received(service, f"/v1/files/{done['file']['id']}/content") == size_bytes
    return memory.growth()
