"""The lexical index of vector stores: packed postings in PostgreSQL, written, merged, removed and searched."""


from ali.features.knowledge.index.merging import merge_some
from ali.features.knowledge.index.removal import remove
from ali.features.knowledge.index.writing import Document, StoreGone, Written, write

__all__ = ["Document", "StoreGone", "Written", "merge_some", "remove", "write"]
