"""Finding passages in vector stores: which chunks may be found, which are worth a look, and which answer best."""

from ali.features.knowledge.retrieval.search import Searcher

__all__ = ["Searcher"]
