"""E-mail (RFC 5322, MIME): subject, sender, recipients, date, the text, and what it forwards. Attachments are named."""

import email.errors
import email.header
import email.message
import email.policy
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Final

from ali.features.knowledge.reading.content import Content, Writer
from ali.features.knowledge.reading.failures import INVALID, ReadingFailed
from ali.features.knowledge.reading.formats.html import decoded, write_html

_SHOWN: Final = ("From", "To", "Cc", "Date")
_MOST_PARTS = 1000
_MOST_FORWARDED = 3
_MOST_HEADER = 2000
Message = email.message.Message


def read_mail(path: Path, *, name: str) -> Content:
    """A message, its subject as its title. Raises `ReadingFailed`."""
    writer = Writer(name)
    try:
        with path.open("rb") as file:
            # The newer policies parse every address, in quadratic time.
            message = BytesParser(policy=email.policy.compat32).parse(file)
        _write(message, writer, depth=0)
    except RecursionError as error:
        raise ReadingFailed(INVALID, f"{name} is nested too deeply to be read. Save its text alone.") from error
    except (ValueError, LookupError, AttributeError, TypeError, IndexError, email.errors.MessageError) as error:
        # What the standard library's parser raises on headers that are none.
        raise ReadingFailed(INVALID, f"{name} is damaged: it cannot be read as an e-mail. Save it anew.") from error
    return writer.finished()


def _write(message: Message, writer: Writer, *, depth: int) -> None:
    writer.heading(_header(message, "Subject"), level=depth + 1)
    for field in _SHOWN:
        if value := _header(message, field):
            writer.paragraph(f"{field}: {value}", close=True)
    attached: list[str] = []
    forwarded: list[Message] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        if kind == "message/rfc822":
            forwarded += _inner(part)
        elif part.get_filename() or part.get_content_disposition() == "attachment":
            attached.append(" ".join(str(part.get_filename() or kind).split())[:200])
        elif kind == "text/html":
            write_html(decoded(_bytes(part)), writer)
        elif kind == "text/plain":
            writer.paragraph(_text(part))
    if attached:
        writer.paragraph("Attachments: " + ", ".join(attached))
    for each in forwarded[:_MOST_PARTS] if depth < _MOST_FORWARDED else []:
        _write(each, writer, depth=depth + 1)


def _leaves(message: Message) -> Iterator[Message]:
    """The parts that say something: of alternatives the plain one, and of the others all, in their order."""
    open_parts = [message]
    for _ in range(_MOST_PARTS):
        if not open_parts:
            return
        part = open_parts.pop()
        if part.get_content_maintype() != "multipart":
            yield part
            continue
        parts = _inner(part)
        if part.get_content_type() == "multipart/alternative" and parts:
            plain = [each for each in parts if each.get_content_type() == "text/plain" and _text(each).strip()]
            parts = plain[:1] or parts[-1:]
        open_parts += reversed(parts)


def _inner(part: Message) -> list[Message]:
    """The messages that a part holds."""
    payload = part.get_payload()
    return [each for each in payload if isinstance(each, email.message.Message)] if isinstance(payload, list) else []


def _header(message: Message, field: str) -> str:
    """The value of a header field, with its encoded words (RFC 2047) decoded."""
    raw = str(message.get(field, ""))[:_MOST_HEADER]
    written = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        decoded_words = str(email.header.make_header(email.header.decode_header(written)))
    except (ValueError, LookupError, email.errors.MessageError):
        decoded_words = written
    return " ".join(decoded_words.split())


def _bytes(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    data = _bytes(part)
    charset = part.get_content_charset() or "utf-8"
    for encoding in ({"iso-8859-1": "cp1252", "us-ascii": "utf-8"}.get(charset, charset), "utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return data.decode("cp1252", "replace")
