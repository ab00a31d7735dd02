"""Scanned documents and pictures: read by tesseract where it is there, and said plainly where it is not."""

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pypdfium2
import pytest
import pytest_asyncio

from ali.features.knowledge.reading import Reader, ReadingFailed, place_of
from tests.fixtures.tools import requires_tool
from tests.unit.extractive.pdf_bytes import make_pdf, pdf_file

KEY = b"k" * 32
LINES = ["A comissão decidiu pela renovação", "do contrato de manutenção, que terá", "vigência até março de 2031."]
_GRAY = b"/Type /XObject /Subtype /Image /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /FlateDecode"


class Scan(NamedTuple):
    width: int
    height: int
    pixels: bytes


@pytest.fixture(scope="module")
def scan() -> Scan:
    """A page as a scanner sees it."""
    pdf = pypdfium2.PdfDocument(make_pdf([LINES]))
    bitmap = pdf[0].render(scale=200 / 72, grayscale=True)
    rows = bytes(bitmap.buffer)
    pixels = b"".join(rows[n * bitmap.stride : n * bitmap.stride + bitmap.width] for n in range(bitmap.height))
    made = Scan(bitmap.width, bitmap.height, pixels)
    pdf.close()
    return made


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[Reader]:
    made = Reader(processes=1)
    yield made
    await made.close()


@pytest.fixture
def tesseract() -> None:
    requires_tool("tesseract")


def scanned_pdf(scan: Scan, *, more: bytes = b"") -> bytes:
    """A PDF whose only page is a picture; `more` is drawn over it."""
    packed = zlib.compress(scan.pixels)
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    resources = b"<< /XObject << /I 5 0 R >> /Font << /F1 %s >> >>" % font
    content = b"q 595 0 0 842 0 0 cm /I Do Q " + more
    return pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources %s >>" % resources,
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            b"<< %s /Width %d /Height %d /Length %d >>\nstream\n%s\nendstream"
            % (_GRAY, scan.width, scan.height, len(packed), packed),
        ]
    )


def png(scan: Scan) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + scan.pixels[n * scan.width : (n + 1) * scan.width] for n in range(scan.height))
    header = struct.pack(">LLBBBBB", scan.width, scan.height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.usefixtures("tesseract")
async def test_a_scanned_page_is_recognised_with_its_accents(reader: Reader, scan: Scan, tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(scanned_pdf(scan, more=b"BT /F1 9 Tf 20 20 Td (p. 7) Tj ET"))
    reading = await reader.read(path, name="scan.pdf", chunking="auto", key=KEY)

    (prepared,) = reading.prepared
    assert "renovação do contrato de manutenção" in " ".join(prepared.chunk.text.split())
    assert "março de 2031" in prepared.chunk.text
    assert (reading.pages, place_of(prepared.chunk, 0).page, prepared.chunk.language) == (1, 0, "pt")


@pytest.mark.usefixtures("tesseract")
async def test_a_picture_is_recognised(reader: Reader, scan: Scan, tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(png(scan))
    reading = await reader.read(path, name="scan.png", chunking="auto", key=KEY)

    assert reading.pages is None
    assert "vigência até março" in reading.prepared[0].chunk.text


@pytest.mark.usefixtures("tesseract")
async def test_a_picture_without_text_says_so(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    path.write_bytes(png(Scan(300, 200, b"\xff" * 60_000)))
    with pytest.raises(ReadingFailed, match="no text was recognised"):
        await reader.read(path, name="white.png", chunking="auto", key=KEY)


@pytest.mark.parametrize("name", ["scan.pdf", "scan.png"])
async def test_without_tesseract_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, reader: Reader, scan: Scan, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / name
    path.write_bytes(scanned_pdf(scan) if name.endswith("pdf") else png(scan))
    with pytest.raises(ReadingFailed, match="text recognition is not installed here") as failed:
        await reader.read(path, name=name, chunking="auto", key=KEY)

    assert failed.value.code == "unsupported_file"
    assert failed.value.message.startswith(name)
