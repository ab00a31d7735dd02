"""Vectors of chunks and of questions: made by the configured model, kept in PostgreSQL, searched there.

Whoever writes documents asks `Embedder.embed` for the vectors of their chunks, whose texts `passage_text` gives. None
stands where there is none: nothing waits for a provider that is away.
"""

from ali.features.knowledge.account import Account
from ali.features.knowledge.embedding.cache import EmbeddingCache
from ali.features.knowledge.embedding.embedder import Embedder, EmbeddingModel
from ali.features.knowledge.embedding.passage import passage_text
from ali.features.knowledge.embedding.store import VectorStorage
from ali.features.knowledge.embedding.vector import Vector

__all__ = ["Account", "Embedder", "EmbeddingCache", "EmbeddingModel", "Vector", "VectorStorage", "passage_text"]
