"""What of a chunk is embedded."""

from ali.features.knowledge.chunk import Chunk


def passage_text(chunk: Chunk) -> str:
    """The chunk's text under its titles, or the path of its article, which say what a passage alone often does not."""
    above = " > ".join(chunk.law or chunk.headings)
    return f"{above}\n{chunk.text}" if above else chunk.text
