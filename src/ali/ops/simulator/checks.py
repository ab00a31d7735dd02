"""What the real providers refuse in a request, as far as a gateway is apt to send it by mistake."""

from collections.abc import Iterable, Mapping

from ali.ops.simulator.prompt import blocks_of, messages_of

ANTHROPIC_VERSIONS = (b"2023-06-01", b"2026-10-21")
_REMOVED_IN_2026 = ("temperature", "top_p", "top_k")


class Refused(Exception):
    """The request is answered with an error of the dialect; without a `message`, with the status's usual one."""

    def __init__(
        self, status: int, message: str | None = None, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


def check_chat(body: Mapping[str, object]) -> None:
    """Raises `Refused` for what OpenAI's Chat Completions do not take."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(
            400, "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages"
        )
    if len(messages_of(body)) != len(messages):
        raise Refused(400, "Invalid type for 'messages': expected objects.", code="invalid_type", param="messages")
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise Refused(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    waiting: set[object] = set()
    for index, message in enumerate(messages_of(body)):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in waiting:
                raise Refused(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with"
                    " 'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            waiting.discard(message.get("tool_call_id"))
            continue
        _none_waiting(
            waiting,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to"
            " each 'tool_call_id'. The following tool_call_ids did not have response messages: ",
        )
        calls = message.get("tool_calls")
        waiting = {call.get("id") for call in calls if isinstance(call, dict)} if isinstance(calls, list) else set()


def check_version(version: bytes | None, body: Mapping[str, object]) -> None:
    """Raises `Refused` for an unknown `anthropic-version`, and for what the given one does not take any more."""
    if version is None:
        raise Refused(400, "anthropic-version: header is required")
    if version not in ANTHROPIC_VERSIONS:
        raise Refused(400, f'anthropic-version: "{version.decode("latin-1")}" is not a valid version')
    if version == ANTHROPIC_VERSIONS[0]:
        return
    for name in _REMOVED_IN_2026:
        if name in body:
            raise Refused(400, f"{name}: Extra inputs are not permitted")
    for index, message in enumerate(messages_of(body)):
        for place, block in enumerate(blocks_of(message)):
            where = f"messages.{index}.content.{place}"
            if message.get("role") == "assistant" and block.get("type") == "document":
                raise Refused(400, f"{where}: document blocks are not permitted in assistant messages")
            if message.get("role") == "user" and block.get("type") == "text" and block.get("citations"):
                raise Refused(400, f"{where}.citations: Extra inputs are not permitted")


def check_messages(body: Mapping[str, object], *, counting: bool) -> None:
    """Raises `Refused` for what Anthropic's Messages do not take; `counting` tokens needs no `max_tokens`."""
    limit = body.get("max_tokens")
    if not counting and limit is None:
        raise Refused(400, "max_tokens: Field required")
    if not counting and (not isinstance(limit, int) or limit < 0):
        raise Refused(400, "max_tokens: Input should be a valid integer greater than or equal to 0")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refused(400, "messages: Field required")
    if not messages or len(messages_of(body)) != len(messages):
        raise Refused(400, "messages: at least one message is required, and each must be an object")
    waiting: set[object] = set()
    for index, message in enumerate(messages_of(body)):
        if message.get("role") not in ("user", "assistant", "system"):
            raise Refused(400, f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
        results = _identifiers(blocks_of(message), kind="tool_result", key="tool_use_id")
        if stray := results - waiting:
            raise Refused(
                400, f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {_some(stray)}"
            )
        _none_waiting(
            waiting - results,
            f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: ",
        )
        waiting = _identifiers(blocks_of(message), kind="tool_use", key="id")


def _identifiers(blocks: Iterable[Mapping[str, object]], *, kind: str, key: str) -> set[object]:
    return {block.get(key) for block in blocks if block.get("type") == kind}


def _none_waiting(waiting: set[object], message: str) -> None:
    if waiting:
        raise Refused(400, message + _some(waiting))


def _some(identifiers: set[object]) -> str:
    return ", ".join(sorted(map(str, identifiers)))
