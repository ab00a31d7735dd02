"""The `file_search` tool: our vector stores searched for a model of any provider, and its answer's citations."""

from ali.features.responses.file_search.searches import RESULTS, FileSearches, VectorStores, told
from ali.features.responses.file_search.shown import Handles, with_searches
from ali.features.responses.file_search.tool import FUNCTION, FileSearchTool, Ranking

__all__ = [
    "FUNCTION",
    "RESULTS",
    "FileSearchTool",
    "FileSearches",
    "Handles",
    "Ranking",
    "VectorStores",
    "told",
    "with_searches",
]
