"""JSON-RPC 2.0 as MCP uses it: writing what we send, and finding our reply among what a server sends."""

from typing import Any, Final

import orjson

from ali.features.responses.mcp.failures import McpFailed

METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
_LONGEST_ID: Final = 256


def request(request_id: int, method: str, params: dict[str, Any]) -> bytes:
    """A request, whose reply carries `request_id`. Raises `McpFailed` for params that are nested too deeply."""
    return _written({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def notification(method: str, params: dict[str, Any] | None = None) -> bytes:
    """A message without a reply."""
    return _written({"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})})


def answer_to(message: dict[str, Any]) -> bytes | None:
    """The answer to a request of the server's: a ping is answered, all else is not offered here. None: no request."""
    request_id, method = message.get("id"), message.get("method")
    if not isinstance(method, str) or isinstance(request_id, bool) or not isinstance(request_id, int | str):
        return None
    if isinstance(request_id, str) and len(request_id) > _LONGEST_ID:
        return None
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id}
    if method == "ping":
        reply["result"] = {}
    else:
        reply["error"] = {"code": METHOD_NOT_FOUND, "message": "This client offers nothing but answers to pings."}
    return _written(reply)


def read_messages(data: bytes) -> list[dict[str, Any]]:
    """The messages in `data`: one, or the batch that revision 2025-03-26 knows. Raises `McpFailed`."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise McpFailed("The MCP server sent something that is not JSON. Check server_url.") from error
    messages = value if isinstance(value, list) else [value]
    if not all(isinstance(message, dict) for message in messages):
        raise McpFailed("The MCP server sent JSON that is not JSON-RPC. Check server_url.")
    return messages


def is_reply_to(message: dict[str, Any], request_id: int) -> bool:
    """Whether `message` is the reply to our request of that number."""
    found = message.get("id")
    return type(found) is int and found == request_id and "method" not in message


def result_of(reply: dict[str, Any]) -> dict[str, Any]:
    """The result in a reply. Raises `McpFailed` with the server's own code and message where it is an error."""
    error = reply.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        message = error_message(reply)
        if isinstance(code, bool) or not isinstance(code, int):
            raise McpFailed(message)
        raise McpFailed(message, code=code)
    result = reply.get("result")
    if not isinstance(result, dict):
        raise McpFailed("The MCP server sent a reply without a result. Check server_url.")
    return result


def error_message(reply: dict[str, Any]) -> str:
    """What an error reply says, or a sentence of ours where it says nothing."""
    error = reply.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    return said if isinstance(said, str) and said else "The MCP server refused without saying why."


def _written(message: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError as error:
        raise McpFailed("The arguments are nested too deeply.", code=INVALID_PARAMS) from error
