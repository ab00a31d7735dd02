"""Where a chunk stands in its document, as it is kept beside its text."""

import msgspec

from ali.features.knowledge.chunk import Chunk, Span


class _Place(msgspec.Struct, omit_defaults=True, frozen=True):
    spans: tuple[tuple[int, int | None, int, int], ...]
    headings: tuple[str, ...] = ()
    law: tuple[str, ...] = ()
    articles: tuple[tuple[int, tuple[str, ...]], ...] = ()
    table: bool = False
    language: str = "en"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Place)


def write_place(chunk: Chunk) -> bytes:
    """All of a chunk but its text, as JSON."""
    return _encoder.encode(
        _Place(
            spans=tuple((span.at, span.page, span.start, span.end) for span in chunk.spans),
            headings=chunk.headings,
            law=chunk.law,
            articles=chunk.articles,
            table=chunk.table,
            language=chunk.language,
        )
    )


def read_chunk(*, text: bytes, place: bytes) -> Chunk:
    """The chunk that `write_place` was given, and whose text is `text`."""
    kept = _decoder.decode(place)
    return Chunk(
        text=text.decode(),
        spans=tuple(Span(at=at, page=page, start=start, end=end) for at, page, start, end in kept.spans),
        headings=kept.headings,
        law=kept.law,
        articles=kept.articles,
        table=kept.table,
        language=kept.language,
    )
