"""The MCP servers of one response: their tools listed for the model, and called when it, or an approval, says so."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

from ali.features.responses.mcp import (
    McpListing,
    McpOutcome,
    McpServer,
    McpSessions,
    McpTool,
    approval_request_item,
    call_item,
    list_tools_item,
    tools_of_item,
)
from ali.providers.turns import OutputWriter, new_item_id
from ali.providers.turns.served import ServedCall, ServedTool
from ali.providers.turns.tool_names import mcp_function_name

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offered:
    """A tool that the model is shown as a function."""

    server: McpServer
    tool: McpTool

    @property
    def asks_first(self) -> bool:
        return self.server.needs_approval(self.tool)


class RemoteTools:
    """What the MCP servers of a response offer, once `list_all` has run."""

    def __init__(self, servers: Sequence[McpServer], sessions: McpSessions) -> None:
        self._servers = servers
        self._sessions = sessions
        self._offered: dict[str, _Offered] = {}
        self.calls_made = 0

    @property
    def functions(self) -> list[Json]:
        """The tools as the model is shown them."""
        return [
            each.tool.as_function(each.server.label, server_description=each.server.description)
            for each in self._offered.values()
        ]

    @property
    def names(self) -> dict[str, dict[str, str]]:
        """Those functions' names, by the server's label and the tool's own name."""
        names: dict[str, dict[str, str]] = {}
        for function, each in self._offered.items():
            names.setdefault(each.server.label, {})[each.tool.name] = function
        return names

    @property
    def served(self) -> dict[str, ServedTool]:
        """How calls of them show themselves."""
        return {
            name: ServedTool(
                kind="mcp_approval_request" if each.asks_first else "mcp_call",
                item=partial(_begun, each),
                shown=not each.asks_first,
            )
            for name, each in self._offered.items()
        }

    def recall(self, items: Sequence[Json]) -> None:
        """Take the tools of servers that an earlier response has listed, so that they are not listed again."""
        listed = {item.get("server_label"): item for item in items if item.get("type") == "mcp_list_tools"}
        for server in self._servers:
            item = listed.get(server.label)
            if item is not None and not item.get("error"):
                self._offer(server, tuple(tools_of_item(item)))

    async def list_next(self, writer: OutputWriter) -> bool:
        """List one server that is not known yet, and write the item; False where all are."""
        known = {each.server.label for each in self._offered.values()} | {
            item["server_label"] for item in writer.output if item["type"] == "mcp_list_tools"
        }
        server = next((server for server in self._servers if server.label not in known), None)
        if server is None:
            return False
        item_id = new_item_id("mcp_list_tools")
        begun = list_tools_item(item_id, server_label=server.label, listing=McpListing())
        index = writer.begin_item(begun)
        place = {"item_id": item_id, "output_index": index}
        writer.event("response.mcp_list_tools.in_progress", **place)
        listing = await self._sessions.tools(server)
        writer.event(f"response.mcp_list_tools.{'failed' if listing.error else 'completed'}", **place)
        writer.end_item(index, list_tools_item(item_id, server_label=server.label, listing=listing))
        self._offer(server, listing.tools)
        return True

    def _offer(self, server: McpServer, tools: Sequence[McpTool]) -> None:
        for tool in tools:
            if server.admits(tool):
                self._offered[mcp_function_name(server.label, tool.name)] = _Offered(server=server, tool=tool)

    async def run(self, calls: Sequence[ServedCall], writer: OutputWriter, *, refused: AbstractSet[str]) -> bool:
        """Run the model's calls side by side and write how they ended; False where some wait for an approval.

        `refused`: the items of those that are one too many, and end as failed.
        """
        waiting = False
        running: list[ServedCall] = []
        for call in calls:
            offered = self._offered[call.function]
            if call.index is None:
                waiting = True
                writer.whole(
                    approval_request_item(
                        call.item_id,
                        server_label=offered.server.label,
                        name=offered.tool.name,
                        arguments=call.arguments or "{}",
                    )
                )
            else:
                running.append(call)
        outcomes = await asyncio.gather(*(self._outcome(call, refused=call.item_id in refused) for call in running))
        for call, outcome in zip(running, outcomes, strict=True):
            offered = self._offered[call.function]
            item = call_item(
                call.item_id,
                server_label=offered.server.label,
                name=offered.tool.name,
                arguments=call.arguments or "{}",
                outcome=outcome,
            )
            writer.end_served(call, item, outcome=item["status"])
        return not waiting

    async def _outcome(self, call: ServedCall, *, refused: bool) -> McpOutcome:
        if refused:
            return McpOutcome(
                error={"type": "mcp_protocol_error", "code": 429, "message": "max_tool_calls has been reached."}
            )
        self.calls_made += 1
        offered = self._offered[call.function]
        return await self._sessions.call(offered.server, offered.tool.name, call.arguments or "{}")

    async def run_approved(self, items: Sequence[Json], writer: OutputWriter) -> None:
        """Make the calls that this request's input approves, and write them."""
        asked = {item["id"]: item for item in items if item.get("type") == "mcp_approval_request"}
        done = {item.get("approval_request_id") for item in items if item.get("type") == "mcp_call"}
        for answer in items:
            if answer.get("type") != "mcp_approval_response" or answer.get("approve") is not True:
                continue
            request = asked.get(answer.get("approval_request_id", ""))
            if request is None or request["id"] in done:
                continue
            await self._run_one_approved(request, writer)

    async def _run_one_approved(self, request: Json, writer: OutputWriter) -> None:
        label, name = str(request.get("server_label")), str(request.get("name"))
        arguments = request.get("arguments") or "{}"
        offered = self._offered.get(mcp_function_name(label, name))
        item_id = new_item_id("mcp_call")
        facts: Json = {
            "server_label": label,
            "name": name,
            "arguments": arguments,
            "approval_request_id": request["id"],
        }
        index = writer.begin_item(call_item(item_id, **facts))
        place = {"item_id": item_id, "output_index": index}
        writer.event("response.mcp_call.in_progress", **place)
        writer.event("response.mcp_call_arguments.done", **place, arguments=arguments)
        if offered is None:
            outcome = McpOutcome(
                error={
                    "type": "mcp_protocol_error",
                    "code": 404,
                    "message": "This request's tools do not offer the tool that was approved. Send the same mcp tool.",
                }
            )
        else:
            self.calls_made += 1
            outcome = await self._sessions.call(offered.server, name, arguments)
        item = call_item(item_id, **facts, outcome=outcome)
        writer.event(f"response.mcp_call.{item['status']}", **place)
        writer.end_item(index, item)


def _begun(offered: _Offered, item_id: str, arguments: str) -> Json:
    return call_item(item_id, server_label=offered.server.label, name=offered.tool.name, arguments=arguments)
