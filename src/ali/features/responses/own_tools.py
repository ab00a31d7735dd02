"""The tools that this service runs for a model within a response: those of MCP servers, and the search of files."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from ali.features.responses.file_search.searches import FileSearches
from ali.features.responses.remote import RemoteTools
from ali.providers.turns import OutputWriter
from ali.providers.turns.served import ServedCall, ServedTool
from ali.providers.turns.tool_names import FILE_SEARCH

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class OwnTools:
    """What a response has of them; at least one."""

    remote: RemoteTools | None = None
    searches: FileSearches | None = None
    wait_for_approval: bool = False
    """Whether a call of the last turn waits for the caller to approve it."""

    @property
    def functions(self) -> list[Json]:
        """The tools as the model is shown them."""
        return [*(self.remote.functions if self.remote else ()), *(self.searches.functions if self.searches else ())]

    @property
    def names(self) -> dict[str, dict[str, str]]:
        """The functions of MCP servers, as in `RemoteTools`."""
        return self.remote.names if self.remote else {}

    @property
    def served(self) -> dict[str, ServedTool]:
        """How calls of them show themselves."""
        return {**(self.remote.served if self.remote else {}), **(self.searches.served if self.searches else {})}

    @property
    def calls_made(self) -> int:
        """So far."""
        return (self.remote.calls_made if self.remote else 0) + (self.searches.calls_made if self.searches else 0)

    async def run(
        self, calls: Sequence[ServedCall], writer: OutputWriter, *, allowed: int | None
    ) -> AsyncGenerator[bytes, None]:
        """Run the model's calls side by side, and write how they ended: the events, as they come.

        `allowed`: so many more may be made; the rest, in the model's order, end as failed. None: any number.
        """
        made = [call.item_id for call in calls if call.index is not None]
        refused = frozenset(made[allowed:]) if allowed is not None else frozenset()
        searches = [call for call in calls if call.function == FILE_SEARCH]
        others = [call for call in calls if call.function != FILE_SEARCH]
        running: list[Awaitable[None]] = []
        if self.searches is not None and searches:
            self.searches.begin(searches, writer)
            yield writer.take()
            running.append(self.searches.run(searches, writer, refused=refused))
        if self.remote is not None and others:
            running.append(self._run_remote(self.remote, others, writer, refused=refused))
        await asyncio.gather(*running)
        yield writer.take()

    async def _run_remote(
        self, remote: RemoteTools, calls: Sequence[ServedCall], writer: OutputWriter, *, refused: frozenset[str]
    ) -> None:
        self.wait_for_approval = not await remote.run(calls, writer, refused=refused)
