"""Files that are made to hurt who reads them, each small, made here and never kept."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from functools import partial

from tests.knowledge.office import CONTENT_TYPES, docx, odt, word_document, xlsx, zipped
from tests.unit.extractive.pdf_bytes import MANUAL, pdf_file

_LAUGHS = (
    "<!DOCTYPE x [<!ENTITY a0 'ha'>" + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)) + "]>"
)
_WORD = "word/document.xml"


def _laughing(root: str, document: str) -> bytes:
    return (_LAUGHS.replace("<!DOCTYPE x", f"<!DOCTYPE {root}") + document).encode()


def _ratio_bomb() -> bytes:
    """A part of 300 MB of one letter, packed a thousandfold."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open(_WORD, "w") as part:
            part.write(word_document("")[:-40].encode())
            for _ in range(300):
                part.write(b"A" * 1_000_000)
        file.writestr("[Content_Types].xml", CONTENT_TYPES)
    return out.getvalue()


def _within_ratio_bomb() -> bytes:
    """Text that unpacks to just less than is refused: what then holds is the limit of memory."""
    noise = random.Random(5)  # noqa: S311 - any noise will do, the same in each run
    paragraph = "<w:p><w:r><w:t>%s" + "\u3042" * 900 + "</w:t></w:r></w:p>"
    return docx(word_document("".join(paragraph % noise.randbytes(16).hex() for _ in range(20_000))))


def _nested_bomb() -> bytes:
    inner = zipped({"a.txt": b"A" * 4_000_000})
    for _ in range(5):
        inner = zipped({f"{n}.zip": inner for n in range(10)})
    return inner


def _overlapping() -> bytes:
    """Two hundred names for the same packed bytes (as David Fifield's bomb of 2019 has)."""
    packed = bytearray(zipped({"word/document.xml": b"A" * 4_000_000}))
    directory_at = packed.rindex(b"PK\x01\x02")
    entry = bytes(packed[directory_at : packed.rindex(b"PK\x05\x06")])
    directory = b"".join(entry.replace(b"word/document.xml", b"word/documen%03d.x" % n) for n in range(200))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 200, 200, len(directory), directory_at, 0)
    return bytes(packed[:directory_at]) + directory + end


def _many_parts() -> bytes:
    return zipped({"word/document.xml": b"<a/>", **{f"p{n}": b"" for n in range(20_000)}})


def _lying_directory() -> bytes:
    """The directory says that a part is small; it is not."""
    data = bytearray(_stored_document(b"A" * 5_000_000))
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", 100)
    return bytes(data)


def _stored_document(extra: bytes) -> bytes:
    return zipped({_WORD: word_document("").encode() + b"<!--" + extra + b"-->"})


def _locked() -> bytes:
    data = bytearray(docx(word_document("<w:p/>")))
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1
    return bytes(data)


def _deep_xml(levels: int) -> bytes:
    return docx(word_document("<w:sdt>" * levels + "</w:sdt>" * levels))


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))

    header = struct.pack(">LLBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000), 9))
        + chunk(b"IEND", b"")
    )


def _page(size: bytes, drawn: bytes) -> bytes:
    named = b"/Resources << /XObject << %s >> >>" % drawn
    return b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s] /Contents 4 0 R %s >>" % (size, named)


def _drawn(width: int, height: int, packed: bytes) -> bytes:
    kind = b"/Type /XObject /Subtype /Image /BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /FlateDecode"
    shape = b"%s /Width %d /Height %d /Length %d" % (kind, width, height, len(packed))
    return b"<< %s >>\nstream\n%s\nendstream" % (shape, packed)


def _huge_page() -> bytes:
    """A page of 10^6 points a side with a picture over all of it, and no text."""
    picture = zlib.compress(bytes(1000))
    content = b"q 1000000 0 0 1000000 0 0 cm /I Do Q"
    return pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            _page(b"1000000 1000000", b"/I 5 0 R"),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            _drawn(8000, 1, picture),
        ]
    )


def _pixel_bomb() -> bytes:
    """A page with a picture of 60,000 by 60,000 pixels, packed a thousandfold."""
    packer = zlib.compressobj(9)
    picture = b"".join(packer.compress(bytes(1_000_000)) for _ in range(450)) + packer.flush()
    content = b"q 600 0 0 800 0 0 cm /I Do Q"
    return pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            _page(b"600 800", b"/I 5 0 R"),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            _drawn(60_000, 60_000, picture),
        ]
    )


def _content_bomb() -> bytes:
    """A page whose drawing unpacks to a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b" " * 1_000_000) for _ in range(1000)) + packer.flush()
    return pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R >>",
            b"<< /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed),
        ]
    )


def _laughing_forms() -> bytes:
    """Forms that each draw the next one twenty times: 20^9 in all."""
    depth = 9
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        _page(b"600 800", b"/F 5 0 R"),
        b"<< /Length 5 >>\nstream\n/F Do\nendstream",
    ]
    for number in range(depth):
        drawn = b"/F Do " * 20 if number < depth - 1 else b"0 0 1 1 re f "
        following = b"/Resources << /XObject << /F %d 0 R >> >>" % (6 + number) if number < depth - 1 else b""
        objects.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 600 800] %s /Length %d >>\nstream\n%s\nendstream"
            % (following, len(drawn), drawn)
        )
    return pdf_file(objects)


def _page_tree_in_a_circle() -> bytes:
    return pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 100000 /Kids [2 0 R 2 0 R] /Parent 2 0 R >>",
        ]
    )


def _russian_dolls(levels: int) -> bytes:
    """A message that is attached to a message, and so on."""
    head, tail = [], []
    for number in range(levels):
        head.append(f'Subject: {number}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b{number}"\n\n')
        head.append(f"--b{number}\nContent-Type: message/rfc822\n\n")
        tail.append(f"--b{number}--\n")
    return ("".join(head) + "Subject: inmost\n\nhello\n" + "".join(reversed(tail))).encode()


def _mail_of_parts(count: int) -> bytes:
    message = EmailMessage()
    message["Subject"] = "many"
    message["From"] = "a@example.org"
    message.set_content("text")
    for number in range(count):
        message.add_attachment(b"x", maintype="text", subtype="plain", filename=f"{number}.txt")
    return message.as_bytes()


def _with_part(part: str) -> bytes:
    return docx(word_document("<w:p/>"), more={part: b"x"})


def _sheet_of_one_string() -> bytes:
    """A long text in a cell that a million other cells repeat."""
    rows = "".join(f'<row r="{n}">' + '<c t="s"><v>0</v></c>' * 50 + "</row>" for n in range(1, 3500))
    return xlsx({"A": rows}, strings=["x" * 32_000])


def _spreadsheet_that_repeats() -> bytes:
    return odt(
        '<table:table table:name="t">'
        '<table:table-row table:number-rows-repeated="1048576">'
        '<table:table-cell table:number-columns-repeated="16384"><text:p>x<text:s text:c="999999999"/>y</text:p>'
        "</table:table-cell></table:table-row></table:table>",
        kind="spreadsheet",
    )


def polyglots() -> Mapping[str, bytes]:
    """Files that are two kinds at once."""
    document = docx(word_document("<w:p><w:r><w:t>hello</w:t></w:r></w:p>"))
    return {
        "pdf-and-zip.pdf": MANUAL + document,
        "picture-and-pdf.png": _png(10, 10)[:300] + MANUAL,
        "picture-and-zip.gif": b"GIF89a" + bytes(20) + document,
        "text-and-zip.txt": b"some text\n" + document,
        "word-and-opendocument.docx": docx(
            word_document("<w:p/>"),
            more={"content.xml": b"<a/>", "mimetype": b"application/vnd.oasis.opendocument.text"},
        ),
        "word-and-excel.xlsx": docx(word_document("<w:p/>"), more={"xl/workbook.xml": b"<a/>"}),
    }


REFUSED: Mapping[str, Callable[[], bytes]] = {
    "ratio.docx": _ratio_bomb,
    "within-ratio.docx": _within_ratio_bomb,
    "nested.zip": _nested_bomb,
    "overlapping.docx": _overlapping,
    "many-parts.docx": _many_parts,
    "lying.docx": _lying_directory,
    "locked.docx": _locked,
    "laughs.docx": partial(docx, _LAUGHS + "<x>&a11;</x>"),
    "laughs.odt": partial(odt, "", before=_LAUGHS),
    "laughs.xlsx": partial(xlsx, {"A": ""}, before=_LAUGHS),
    "laughs.svg": partial(_laughing, "svg", "<svg>&a11;</svg>"),
    "laughs.xml": partial(_laughing, "x", "<x>&a11;</x>"),
    "laughs.html": partial(_laughing, "html", "<html><body><p>&a11;</p></body></html>"),
    "external.docx": partial(docx, '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'),
    "deep.docx": partial(_deep_xml, 100_000),
    "slip.docx": partial(_with_part, "../../etc/cron.d/x"),
    "absolute.docx": partial(_with_part, "/etc/passwd"),
    "backslash.docx": partial(_with_part, "..\\..\\x"),
    "cut.docx": lambda: docx(word_document("<w:p/>"))[:-40],
    "cut-xml.docx": lambda: docx(word_document("<w:p/>")[:-20]),
    "one-string.xlsx": _sheet_of_one_string,
    "pixels.png": partial(_png, 100_000, 100_000),
    "cut.png": lambda: _png(10, 10)[:20],
    "cut.jpg": lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "circle.tif": lambda: b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00" + bytes(20),
    "content.pdf": _content_bomb,
    "pixels.pdf": _pixel_bomb,
    "page.pdf": _huge_page,
    "forms.pdf": _laughing_forms,
    "circle.pdf": _page_tree_in_a_circle,
    "cut.pdf": lambda: MANUAL[:-300],
    "zeros.pdf": lambda: b"%PDF-1.7\n" + bytes(100_000) + b"%%EOF",
    "dolls.eml": partial(_russian_dolls, 5000),
    "deep.rtf": lambda: b"{\\rtf1 " + b"{" * 1_000_000,
    **{name: partial(bytes, data) for name, data in polyglots().items()},
}
"""What must end `failed`."""

HARMLESS: Mapping[str, Callable[[], bytes]] = {
    "deep.html": lambda: b"<html>" + b"<div><table><tr><td>" * 50_000 + b"hello",
    "deep.json": lambda: b"[" * 1_000_000 + b'"hello"',
    "long-line.txt": lambda: b"hello" * 400_000,
    "no-words.md": lambda: b"hello\n" + b"#" * 1_000_000,
    "fences.md": lambda: b"hello\n" + b"```\n" * 200_000,
    "bars.md": lambda: b"hello\n" + b"|" * 1_000_000,
    "unclosed.html": lambda: b"<html>hello<" + b"!--" * 200_000,
    "attributes.html": lambda: b"<html>hello<p " + b"a=b " * 200_000,
    "references.html": lambda: b"<html>hello" + b"&#x110000;&bogus;&" * 50_000,
    "articles.txt": lambda: b"hello\n" + b"Art. 1 Um.\n" * 50_000,
    "spaces.txt": lambda: b"hello" + b" " * 2_000_000 + b"x",
    "commas.csv": lambda: b"hello" + b"," * 1_000_000 + b"\n1,2\n",
    "parts.eml": partial(_mail_of_parts, 3000),
    "header.eml": lambda: b"Subject: hello\nFrom: a@example.org\nTo: " + b"a@b.example, " * 20_000 + b"\n\nhello\n",
    "repeats.ods": _spreadsheet_that_repeats,
    "unclosed.rtf": lambda: b"{\\rtf1 hello\\par " + b"\\u99999999 \\'zz " * 50_000,
}
"""What may be read, and must cost as little."""
