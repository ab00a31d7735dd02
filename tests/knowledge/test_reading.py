import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from ali.features.knowledge.reading import Reader, Reading, ReadingFailed, merged_text, place_of
from tests.unit.extractive.pdf_bytes import MANUAL, make_pdf

KEY = b"k" * 32
SLOW = make_pdf([[f"linha {n} de um documento bem longo" for n in range(40)]] * 4000)
Write = Callable[[str, bytes], Path]


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[Reader]:
    made = Reader(processes=1)
    yield made
    await made.close()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return written


async def read(reader: Reader, path: Path, *, chunking: str = "auto") -> Reading:
    return await reader.read(path, name=path.name, chunking=chunking, key=KEY)


async def failure_of(reader: Reader, path: Path) -> tuple[str, str]:
    with pytest.raises(ReadingFailed) as failed:
        await read(reader, path)
    return failed.value.code, failed.value.message


async def test_a_pdf_becomes_chunks_that_know_their_pages(reader: Reader, write: Write) -> None:
    reading = await read(reader, write("manual.pdf", MANUAL))

    (prepared,) = reading.prepared
    chunk = prepared.chunk
    assert (reading.pages, chunk.language) == (3, "pt")
    assert place_of(chunk, chunk.text.index("200 horas")).page == 1
    assert "ambientes com poeira" in chunk.text
    assert "Manual da Bomba" not in chunk.text
    assert prepared.analysed.words > 20
    assert len(prepared.analysed.terms) == len(set(prepared.analysed.terms)) == len(prepared.analysed.counts)


async def test_the_same_key_gives_the_same_terms_and_another_key_others(reader: Reader, write: Write) -> None:
    path = write("a.txt", "Férias de trinta dias.".encode())
    first, again = await read(reader, path), await read(reader, path)
    other = await reader.read(path, name="a.txt", chunking="auto", key=b"o" * 32)

    assert first.prepared[0] == again.prepared[0]
    assert set(first.prepared[0].analysed.terms).isdisjoint(other.prepared[0].analysed.terms)


async def test_text_comes_back_whole_from_static_chunks(reader: Reader, write: Write) -> None:
    text = "".join(f"Frase número {n} de um texto bem longo. " for n in range(5000)).strip()
    reading = await read(reader, write("long.txt", text.encode()), chunking="800/400")

    assert len(reading.prepared) > 100
    assert reading.pages is None
    assert reading.prepared[-1] == list(reading.prepared)[-1] == reading.prepared[-2:][1]
    assert "".join(merged_text(each.chunk for each in reading.prepared)) == text


async def test_progress_of_a_pdf_grows_to_all_its_pages(reader: Reader, write: Write) -> None:
    told: list[tuple[int, int]] = []
    path = write("long.pdf", make_pdf([[f"Page {n} says something of its own."] for n in range(300)]))
    await reader.read(path, name="long.pdf", chunking="auto", key=KEY, on_progress=lambda *each: told.append(each))

    assert len(told) > 50
    assert told == sorted(told)
    assert {pages for _, pages in told} == {300}
    assert told[0][0] < 20
    assert 280 < told[-1][0] <= 300


async def test_a_cancelled_document_ends_its_process_at_once_and_the_next_is_read(reader: Reader, write: Write) -> None:
    path = write("slow.pdf", SLOW)
    begun = asyncio.Event()
    task = asyncio.create_task(
        reader.read(path, name="slow.pdf", chunking="auto", key=KEY, on_progress=lambda *_: begun.set())
    )
    await begun.wait()
    (child,) = reader._busy
    task.cancel()
    async with asyncio.timeout(1):
        with pytest.raises(asyncio.CancelledError):
            await task

    with pytest.raises(ProcessLookupError):
        os.kill(child.process.pid, 0)
    assert len((await read(reader, write("manual.pdf", MANUAL))).prepared) == 1


async def test_a_process_killed_while_it_reads_fails_that_document_alone(reader: Reader, write: Write) -> None:
    path = write("slow.pdf", SLOW)
    begun = asyncio.Event()
    task = asyncio.create_task(
        reader.read(path, name="slow.pdf", chunking="auto", key=KEY, on_progress=lambda *_: begun.set())
    )
    await begun.wait()
    (child,) = reader._busy
    os.kill(child.process.pid, signal.SIGSEGV)
    with pytest.raises(ReadingFailed, match=r"slow\.pdf crashes the reader"):
        await task

    assert len((await read(reader, write("manual.pdf", MANUAL))).prepared) == 1


async def test_a_process_stopped_from_outside_is_a_fault_that_another_try_may_mend(
    reader: Reader, write: Write
) -> None:
    begun = asyncio.Event()
    path = write("slow.pdf", SLOW)
    task = asyncio.create_task(
        reader.read(path, name="slow.pdf", chunking="auto", key=KEY, on_progress=lambda *_: begun.set())
    )
    await begun.wait()
    (child,) = reader._busy
    child.process.kill()
    with pytest.raises(ReadingFailed) as failed:
        await task

    assert (failed.value.code, "was killed" in failed.value.message) == ("server_error", True)


async def test_a_process_that_died_at_rest_is_replaced(reader: Reader, write: Write) -> None:
    path = write("manual.pdf", MANUAL)
    await read(reader, path)
    (child,) = reader._idle
    child.process.kill()
    await child.process.wait()

    assert len((await read(reader, path)).prepared) == 1


async def test_a_document_over_its_time_fails_and_says_so(write: Write) -> None:
    reader = Reader(processes=1, document_s=1)
    try:
        with pytest.raises(ReadingFailed, match="takes too long") as failed:
            await read(reader, write("slow.pdf", SLOW))
    finally:
        await reader.close()

    assert failed.value.code == "invalid_file"


async def test_processes_are_replaced_after_some_documents_and_end_with_the_reader(write: Write) -> None:
    reader = Reader(processes=2, documents_per_child=2)
    path = write("a.txt", b"Some text.")
    await asyncio.gather(*(read(reader, path) for _ in range(7)))
    children = [child.process for child in reader._idle]
    await reader.close()

    assert children
    assert all(child.returncode is not None for child in children)
    with pytest.raises(ReadingFailed, match="going down"):
        await read(reader, path)


async def test_the_process_has_no_secret_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, write: Write
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary")
    await read(reader, write("a.txt", b"Some text."))
    (child,) = reader._idle

    with open(f"/proc/{child.process.pid}/environ", "rb") as file:  # noqa: ASYNC230, PTH123 - a file of the kernel's
        assert b"canary" not in file.read()


@pytest.mark.parametrize(
    ("file", "code", "says"),
    [
        (("empty.pdf", b" \n"), "invalid_file", "empty.pdf is empty."),
        (("cut.pdf", MANUAL[:700]), "invalid_file", "truncated"),
        (("locked.pdf", make_pdf([["secret"]], encrypted=True)), "invalid_file", "encrypted"),
        (("blank.pdf", make_pdf([[], []])), "invalid_file", "no text"),
        (("broken.pdf", b"%PDF-1.7\n" + b"garbage " * 500 + b"\n%%EOF\n"), "invalid_file", "damaged"),
        (("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)), "unsupported_file", "Save it as .docx"),
        (("a.gz", b"\x1f\x8b" + bytes(60)), "unsupported_file", "gzip"),
        (("a.bin", bytes(range(256)) * 9), "unsupported_file", "of no kind that is read"),
        (("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><text>oi</text></svg>"), "unsupported_file", "SVG"),
        (("a.txt", b"\n\t \n. - \x0c"), "invalid_file", "no text"),
    ],
)
async def test_what_cannot_be_read_says_why(
    reader: Reader, write: Write, file: tuple[str, bytes], code: str, says: str
) -> None:
    got, message = await failure_of(reader, write(*file))

    assert (got, says in message) == (code, True), message


async def test_a_file_that_is_not_there_is_a_fault_of_the_service(reader: Reader, tmp_path: Path) -> None:
    code, message = await failure_of(reader, tmp_path / "gone.pdf")

    assert code == "server_error"
    assert str(tmp_path) not in message
