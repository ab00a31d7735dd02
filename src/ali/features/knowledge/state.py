"""What routes of vector stores need of the process."""

from dataclasses import dataclass

from ali.features.knowledge.activity import Activity
from ali.features.knowledge.content import Contents
from ali.features.knowledge.retrieval import Rewriter, Searcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """`most_files`: how many one store can have."""

    searcher: Searcher
    rewriter: Rewriter
    contents: Contents
    activity: Activity
    most_files: int
