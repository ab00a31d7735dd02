"""The searches of one response: the model's calls read, made, and told as `file_search_call` items.

    output_item.added → file_search_call.in_progress → .searching → .completed → output_item.done

Source: OpenAI API reference, "Responses", "Streaming events".
"""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ali.features.knowledge.account import Account
from ali.features.responses.file_search.passages import Passage, passage_of, result_of, within
from ali.features.responses.file_search.shown import told
from ali.features.responses.file_search.stores import VectorStores
from ali.features.responses.file_search.tool import FileSearchTool, function
from ali.kernel import log
from ali.kernel.errors import AliError
from ali.providers.turns import OutputWriter, new_item_id
from ali.providers.turns.served import ServedCall, ServedTool
from ali.providers.turns.tool_names import FILE_SEARCH

Json = dict[str, Any]

MOST_QUERIES: Final = 5
LONGEST_QUERY: Final = 1000
SEARCH_S: Final = 30.0
"""Deadline of one search."""


@dataclass(slots=True, kw_only=True)
class FileSearches:
    """What the `file_search` tool of a response, called so, offers. `account`: who asks, in whose project.
    `shows_results`: callers see what was found.
    """

    tool: FileSearchTool
    stores: VectorStores
    account: Account
    response: str
    shows_results: bool
    most_bytes: int
    """Of the passages of one search."""
    most_calls: int
    """Searches of the response."""
    calls_made: int = 0
    _queries: dict[str, list[str]] = field(default_factory=dict)

    @property
    def functions(self) -> list[Json]:
        """The tool as the model is shown it, while there are searches left."""
        return [function()] if self.calls_made < self.most_calls else []

    @property
    def served(self) -> Mapping[str, ServedTool]:
        """How calls of it show themselves."""
        return {FILE_SEARCH: ServedTool(kind="file_search_call", item=_begun, arguments=None)}

    def begin(self, calls: Sequence[ServedCall], writer: OutputWriter) -> None:
        """Say that the calls are being made."""
        for call in calls:
            queries = self._queries[call.item_id] = read_queries(call.arguments)
            _searching(writer, call, queries)

    async def run(self, calls: Sequence[ServedCall], writer: OutputWriter, *, refused: AbstractSet[str]) -> None:
        """Make the calls side by side, and write how they ended. `refused`: the items of those that are not made."""
        found = await asyncio.gather(
            *(self._found(self._queries[call.item_id], refused=call.item_id in refused) for call in calls)
        )
        for call, passages in zip(calls, found, strict=True):
            self._end(writer, call, self._queries.pop(call.item_id), passages)

    async def look_up(self, queries: Sequence[str], writer: OutputWriter) -> Json:
        """A search that no model called for: its item, written from beginning to end."""
        item_id = new_item_id("file_search_call")
        index = writer.begin_item(_begun(item_id, ""))
        writer.event("response.file_search_call.in_progress", item_id=item_id, output_index=index)
        call = ServedCall(call_id=item_id, function=FILE_SEARCH, arguments="", item_id=item_id, index=index)
        _searching(writer, call, queries)
        self._end(writer, call, queries, await self._found(queries, refused=False))
        return writer.output[index]

    async def _found(self, queries: Sequence[str], *, refused: bool) -> list[Passage] | None:
        """The passages; None for a search that was not made, or failed: the model is told, and the response goes on."""
        if refused or not queries or self.calls_made >= self.most_calls:
            return None
        self.calls_made += 1
        try:
            async with asyncio.timeout(SEARCH_S):
                found = await self.stores.search(self.tool, self.account, queries)
        except (AliError, TimeoutError) as error:
            code = error.error_code if isinstance(error, AliError) else "timeout"
            log.warning("response.file_search_failed", response=self.response, error=code)
            return None
        passages = [passage for passage in map(passage_of, found) if passage.stretches]
        return within(passages, most_bytes=self.most_bytes)

    def _end(
        self, writer: OutputWriter, call: ServedCall, queries: Sequence[str], passages: list[Passage] | None
    ) -> None:
        assert call.index is not None  # noqa: S101 - the tool is shown
        results = None if passages is None else [result_of(passage) for passage in passages]
        status = "failed" if results is None else "completed"
        item = _item(call.item_id, status=status, queries=queries, results=results)
        if results is not None:  # there is no event for one that failed
            writer.event("response.file_search_call.completed", item_id=call.item_id, output_index=call.index)
        writer.end_item(call.index, item, told=told(item, shows_results=self.shows_results))


def _searching(writer: OutputWriter, call: ServedCall, queries: Sequence[str]) -> None:
    assert call.index is not None  # noqa: S101 - the tool is shown
    writer.output[call.index] = _item(call.item_id, status="searching", queries=queries)
    writer.event("response.file_search_call.searching", item_id=call.item_id, output_index=call.index)


def _begun(item_id: str, arguments: str) -> Json:
    return _item(item_id, status="in_progress", queries=read_queries(arguments))


def _item(item_id: str, *, status: str, queries: Sequence[str], results: list[Json] | None = None) -> Json:
    return {
        "id": item_id,
        "type": "file_search_call",
        "status": status,
        "queries": list(queries),
        "results": results,
    }


def read_queries(arguments: str) -> list[str]:
    """The queries of a call, as models write them: a list, or one alone. Empty for arguments that cannot be read."""
    try:
        written = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return []
    if isinstance(written, dict):
        written = written.get("queries", written.get("query"))
    given = [written] if isinstance(written, str) else written if isinstance(written, list) else []
    queries = [" ".join(one.split())[:LONGEST_QUERY] for one in given if isinstance(one, str)]
    return list(dict.fromkeys(filter(None, queries)))[:MOST_QUERIES]
