"""The lexical index of vector stores: packed postings in PostgreSQL, written, merged and searched.

A document is taken out by the database's function `remove_document`: by those that tidy up (`knowledge_functions`).
"""

from ali.features.knowledge.index.candidates import Candidates, candidates_statement, read_candidates
from ali.features.knowledge.index.keys import index_key
from ali.features.knowledge.index.merging import Merger, merge_some
from ali.features.knowledge.index.place import read_chunk
from ali.features.knowledge.index.writing import Document, StoreGone, Written, write

__all__ = [
    "Candidates",
    "Document",
    "Merger",
    "StoreGone",
    "Written",
    "candidates_statement",
    "index_key",
    "merge_some",
    "read_candidates",
    "read_chunk",
    "write",
]
