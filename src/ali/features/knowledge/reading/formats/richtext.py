"""Rich Text Format (RTF 1.9.1): its plain text, by paragraph. Tables become lines, pictures and styles nothing."""

import re
from pathlib import Path

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.failures import INVALID, ReadingFailed

_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.IGNORECASE
)
_SKIPPED = frozenset(
    b"fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf "
    b"listtable listoverridetable rsidtbl generator xmlnstbl themedata colorschememapping datastore latentstyles "
    b"fldinst bkmkstart bkmkend annotation atnauthor atnid filetbl revtbl mmathPr nonshppict objdata".split()
)
_SIGNS = {
    b"tab": "\t",
    b"line": "\n",
    b"cell": "\t",
    b"emdash": "\u2014",
    b"endash": "\u2013",
    b"bullet": "•",
    b"lquote": "\u2018",
    b"rquote": "\u2019",
    b"ldblquote": "\u201c",
    b"rdblquote": "\u201d",
    b"emspace": " ",
    b"enspace": " ",
}
_ESCAPED = {b"~": "\u00a0", b"_": "-", b"-": "", b"\\": "\\", b"{": "{", b"}": "}"}
_ENDS = frozenset((b"par", b"row", b"sect", b"page", b"column"))
_MOST_DEPTH = 1000
_BINARY = b"bin"


def read_rich_text(path: Path, *, name: str) -> Content:
    """The text of an RTF file. Raises `ReadingFailed`."""
    data = path.read_bytes()
    writer = Writer(name)
    parts: list[str] = []
    groups: list[tuple[bool, int]] = []
    skipped, fallback, pending = False, 1, 0
    encoding = "cp1252"
    at = 0
    while match := _TOKEN.match(data, at):
        at = match.end()
        word, number, byte, sign, brace, text = match.groups()
        if brace == b"{":
            groups.append((skipped, fallback))
            if len(groups) > _MOST_DEPTH:
                raise ReadingFailed(INVALID, f"{name} is nested too deeply to be read. Save it anew, as PDF or text.")
        elif brace == b"}":
            skipped, fallback = groups.pop() if groups else (False, 1)
            pending = 0
        elif word == _BINARY:
            at += max(int(number or 0), 0)
        elif sign == b"*" or word in _SKIPPED:
            skipped = True
        elif word == b"ansicpg" and number:
            encoding = _known(f"cp{int(number)}")
        elif word == b"uc" and number:
            fallback = min(max(int(number), 0), 8)
        elif skipped:
            continue
        elif word == b"u" and number:
            parts.append(chr(int(number) % 0x10000))
            pending = fallback
        elif word in _ENDS:
            writer.paragraph(_joined(parts))
            parts.clear()
        elif byte or text:
            plain = bytes.fromhex(byte.decode()) if byte else text
            dropped = min(pending, len(plain))
            pending -= dropped
            parts.append(plain[dropped:].decode(encoding, "replace"))
        else:
            parts.append(_SIGNS.get(word or b"", "") or _ESCAPED.get(sign or b"", ""))
    writer.paragraph(_joined(parts))
    return writer.finished()


def _joined(parts: list[str]) -> str:
    """Characters beyond the first plane were written as two halves."""
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except LookupError:
        return "cp1252"
    return encoding
