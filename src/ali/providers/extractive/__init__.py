"""`ali-extractive`, the model that needs no provider: it answers by quoting what the request contains, with citations.

Where nothing there answers it says so. Portuguese and English; it speaks Anthropic's Messages.
"""

from ali.providers.extractive.answering import answer
from ali.providers.extractive.documents import Document, Kind, read_document
from ali.providers.extractive.message import (
    MODEL,
    Examined,
    compose,
    count_tokens,
    displayed,
    examine,
    message_for,
    place,
    stream_of,
)
from ali.providers.extractive.pdf import UnreadableDocument
from ali.providers.extractive.quotes import Answer, Quote, Scores
from ali.providers.extractive.upstream import ExtractiveUpstream

__all__ = [
    "MODEL",
    "Answer",
    "Document",
    "Examined",
    "ExtractiveUpstream",
    "Kind",
    "Quote",
    "Scores",
    "UnreadableDocument",
    "answer",
    "compose",
    "count_tokens",
    "displayed",
    "examine",
    "message_for",
    "place",
    "read_document",
    "stream_of",
]
