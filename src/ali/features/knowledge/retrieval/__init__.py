"""Finding passages in vector stores: which chunks may be found, which are worth a look, and which answer best."""

from ali.features.knowledge.retrieval.asking import Rewriter
from ali.features.knowledge.retrieval.consulting import Consultant
from ali.features.knowledge.retrieval.dense import Dense
from ali.features.knowledge.retrieval.meaning import Weights
from ali.features.knowledge.retrieval.reranking import Reranker
from ali.features.knowledge.retrieval.search import Searcher

__all__ = ["Consultant", "Dense", "Reranker", "Rewriter", "Searcher", "Weights"]
