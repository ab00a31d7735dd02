"""Questions made into queries: by a chat model where one is configured for that, else by rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from ali.features.knowledge.account import Account
from ali.features.knowledge.retrieval.consulting import Consultant
from ali.features.knowledge.rewriting import rewritten

_LONGEST: Final = 500
_INSTRUCTIONS: Final = (
    "You rewrite questions as search queries over documents. The user gives a JSON array of questions. Answer with a "
    "JSON array of as many queries, in the same order and in the language of the question, and nothing else. A query "
    "holds the words that a passage with the answer would have: no greetings, no question words, names and numbers as "
    "they stand."
)


@dataclass(frozen=True, slots=True)
class Rewriter:
    """`consultant` None: rules alone."""

    consultant: Consultant | None = None

    async def rewrite(self, questions: Sequence[str], *, account: Account) -> list[str]:
        """A query for each question. By the rules where the model gives none in time, or none that makes sense."""
        by_rules = [rewritten(question) for question in questions]
        if self.consultant is None:
            return by_rules
        said = await self.consultant.ask(_INSTRUCTIONS, orjson.dumps(list(questions)).decode(), account=account)
        if said is None:
            return by_rules
        queries = read_queries(said, count=len(questions))
        if queries is None:
            self.consultant.missed("malformed")
            return by_rules
        return queries


def read_queries(said: str, *, count: int) -> list[str] | None:
    """The queries of a model's answer; None where it is not an array of so many texts, none of them empty or long."""
    begin, end = said.find("["), said.rfind("]")
    try:
        queries = orjson.loads(said[begin : end + 1]) if 0 <= begin < end else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(queries, list) or len(queries) != count:
        return None
    if not all(isinstance(query, str) and query.strip() and len(query) <= _LONGEST for query in queries):
        return None
    return [query.strip() for query in queries]
