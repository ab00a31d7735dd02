"""A response told from beginning to end by the writer, for judges to see."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from ali.providers.sse import EventSplitter, event_data
from ali.providers.turns import OutputWriter
from ali.providers.turns.served import ServedTool

Event = dict[str, Any]

USAGE: Final = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 32,
}
CITATION: Final = {"type": "url_citation", "start_index": 0, "end_index": 4, "title": "A", "url": "https://a.example"}
LOGPROB: Final = {"token": "Olá", "bytes": [79, 108, 195, 161], "logprob": -0.5, "top_logprobs": []}
TOOLS: Final = {
    "id": "mcpl_1",
    "type": "mcp_list_tools",
    "server_label": "weather",
    "tools": [{"name": "forecast", "description": None, "input_schema": {"type": "object"}, "annotations": None}],
}
APPROVAL: Final = {
    "id": "mcpr_1",
    "type": "mcp_approval_request",
    "server_label": "weather",
    "name": "forecast",
    "arguments": "{}",
}


def response(status: str, *, output: Sequence[object] = (), background: bool = False, **fields: object) -> Event:
    """A response as it stands in a lifecycle event."""
    ended = status in ("completed", "incomplete")
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "completed_at": 1_790_000_009 if status == "completed" else None,
        "status": status,
        "background": background,
        "error": {"code": "server_error", "message": "Try again."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "gpt-4.1",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": USAGE if ended else None,
        **fields,
    }


def begin(writer: OutputWriter, *, background: bool = False) -> None:
    """The events with which a response begins."""
    opening = "queued" if background else "in_progress"
    writer.event("response.created", response=response(opening, background=background))
    if background:
        writer.event("response.queued", response=response("queued", background=True))
    writer.event("response.in_progress", response=response("in_progress", background=background))


def end(writer: OutputWriter, status: str, *, background: bool = False) -> None:
    """The event with which a response ends."""
    writer.event(f"response.{status}", response=response(status, output=writer.output, background=background))


def _remote_call(item_id: str, arguments: str) -> Event:
    return {
        "id": item_id,
        "type": "mcp_call",
        "status": "in_progress",
        "server_label": "weather",
        "name": "forecast",
        "arguments": arguments,
        "approval_request_id": None,
        "error": None,
        "output": None,
    }


def _outcome(*, fails: bool) -> Event:
    if fails:
        return {"status": "failed", "error": {"type": "mcp_tool_execution_error", "content": []}}
    return {"status": "completed", "output": "Sunny."}


SERVED: Final = {
    "weather_forecast": ServedTool(kind="mcp_call", item=_remote_call),
    "weather_secretly": ServedTool(kind="mcp_approval_request", item=_remote_call, shown=False),
}
"""Functions that the service runs itself: one that is seen while it is called, one that is seen when it was."""


def run_served_calls(writer: OutputWriter, *, fails: bool = False) -> None:
    """Every call that waits for the service is run, and seen to have been."""
    for call in writer.take_calls():
        if call.index is None:
            writer.whole({**APPROVAL, "id": call.item_id, "arguments": call.arguments})
            continue
        item = _remote_call(call.item_id, call.arguments) | _outcome(fails=fails)
        writer.end_served(call, item, outcome=item["status"])


def call_server_tool(writer: OutputWriter, item_id: str, *, fails: bool = False) -> None:
    """A call of a remote tool, from beginning to end."""
    item = _remote_call(item_id, "")
    index = writer.begin_item(item)
    place = {"item_id": item_id, "output_index": index}
    writer.event("response.mcp_call.in_progress", **place)
    writer.event("response.mcp_call_arguments.delta", **place, delta='{"city":"Recife"}')
    writer.event("response.mcp_call_arguments.done", **place, arguments='{"city":"Recife"}')
    outcome = _outcome(fails=fails)
    writer.event(f"response.mcp_call.{outcome['status']}", **place)
    writer.end_item(index, {**item, "arguments": '{"city":"Recife"}', **outcome})


def list_server_tools(writer: OutputWriter, item_id: str) -> None:
    """The tools of a remote server, as they are listed."""
    item: Event = {**TOOLS, "id": item_id}
    index = writer.begin_item({**item, "tools": []})
    writer.event("response.mcp_list_tools.in_progress", item_id=item_id, output_index=index)
    writer.event("response.mcp_list_tools.completed", item_id=item_id, output_index=index)
    writer.end_item(index, item)


def events_of(stream: bytes) -> list[Event]:
    """The events in a stream's bytes."""
    splitter = EventSplitter(limit_bytes=1 << 24)
    return [orjson.loads(event_data(event) or b"") for event in splitter.feed(stream)]


def stream_of(events: Sequence[Event]) -> bytes:
    """The bytes of a stream of `events`."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events)


def everything() -> list[Event]:
    """The events of a response that has one of each kind of item."""
    writer = OutputWriter()
    begin(writer, background=True)
    list_server_tools(writer, "mcpl_1")
    call_server_tool(writer, "mcp_1")
    writer.whole(APPROVAL)
    writer.summarise("First ")
    writer.summarise("thoughts.")
    writer.summarise("Second thoughts.", new_part=True)
    writer.think("All thoughts.")
    writer.end_reasoning(encrypted_content="sealed")
    writer.begin_message(phase="commentary")
    writer.text("Olá", logprobs=[LOGPROB])
    writer.text(", mundo")
    writer.annotate(CITATION)
    writer.annotate(CITATION)
    writer.refuse("Not ")
    writer.refuse("that.")
    writer.begin_call("a", kind="function_call", call_id="call_a", name="weather")
    writer.begin_call("b", kind="custom_tool_call", call_id="call_b", name="shell")
    writer.arguments("a", '{"city":')
    writer.arguments("b", "ls ")
    writer.arguments("a", '"Recife"}')
    writer.arguments("b", "-l")
    writer.end_call("b")
    writer.end_all()
    end(writer, "completed", background=True)
    return events_of(writer.take())
