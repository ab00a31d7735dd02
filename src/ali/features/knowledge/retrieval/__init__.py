"""Finding passages in vector stores: which chunks may be found, which are worth a look, and which answer best."""

from ali.features.knowledge.retrieval.dense import Dense
from ali.features.knowledge.retrieval.meaning import Weights
from ali.features.knowledge.retrieval.search import Searcher

__all__ = ["Dense", "Searcher", "Weights"]
