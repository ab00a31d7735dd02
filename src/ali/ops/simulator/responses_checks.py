"""What OpenAI's Responses API refuses in a request, as far as a gateway is apt to send it by mistake."""

from collections.abc import Mapping

from ali.ops.simulator.checks import Refused
from ali.ops.simulator.responses_wire import ENCRYPTED, ENCRYPTED_REASONING, includes, tools_of

_LEAST_OUTPUT_TOKENS = 16
_MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}
_WITHOUT_REASONING = ("gpt-4", "gpt-3.5", "chatgpt-", "ft:gpt-4", "ft:gpt-3.5")
_CALLS = {
    "function_call": ("function_call_output", "function call"),
    "custom_tool_call": ("custom_tool_call_output", "custom tool call"),
}
_TYPES = frozenset(
    {
        "message",
        "reasoning",
        "compaction",
        "compaction_trigger",
        "item_reference",
        *_CALLS,
        *(output for output, _ in _CALLS.values()),
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_PARTS = {
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "system": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
}


def check_responses(body: Mapping[str, object], *, model: str) -> None:
    """Raises `Refused` for what the Responses API does not take."""
    for name, now in _MOVED.items():
        if name in body:
            raise Refused(
                400,
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{now}'.",
                code="unsupported_parameter",
                param=name,
            )
    _check_state(body)
    limit = body.get("max_output_tokens")
    if isinstance(limit, int) and limit < _LEAST_OUTPUT_TOKENS:
        raise Refused(
            400,
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= "
            f"{_LEAST_OUTPUT_TOKENS}, but got {limit} instead.",
            code="integer_below_min_value",
            param="max_output_tokens",
        )
    if includes(body, ENCRYPTED_REASONING) and model.startswith(_WITHOUT_REASONING):
        raise Refused(400, "Encrypted content is not supported with this model.", param="include")
    for position, tool in enumerate(tools_of(body)):
        if tool.get("type") in ("function", "custom") and not tool.get("name"):
            where = f"tools[{position}].name"
            raise Refused(
                400, f"Missing required parameter: '{where}'.", code="missing_required_parameter", param=where
            )
    _check_input(body.get("input"))


def _check_state(body: Mapping[str, object]) -> None:
    """Nothing is stored here that a request could refer to."""
    if (previous := body.get("previous_response_id")) is not None:
        raise Refused(
            400,
            f"Previous response with id '{previous}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    if (conversation := body.get("conversation")) is not None:
        raise Refused(404, f"Conversation with id '{conversation}' not found.", param="conversation")


def _check_input(given: object) -> None:
    if isinstance(given, str):
        return
    if given is None:
        raise Refused(400, "Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    if not isinstance(given, list):
        raise Refused(400, "Invalid type for 'input'.", code="invalid_type", param="input")
    called: dict[str, str] = {}
    answered: set[str] = set()
    for position, item in enumerate(given):
        where = f"input[{position}]"
        if not isinstance(item, dict):
            raise Refused(400, f"Invalid type for '{where}': expected an object.", code="invalid_type", param=where)
        kind = item.get("type", "message")
        if not isinstance(kind, str) or kind not in _TYPES:
            raise Refused(400, f"Invalid value: '{kind}'.", code="invalid_value", param=where)
        _check_item(item, kind, where)
        call_id = str(item.get("call_id"))
        if kind in _CALLS:
            called[call_id] = kind
        for call, (output, name) in _CALLS.items():
            if kind != output:
                continue
            if called.get(call_id) != call:
                raise Refused(400, f"No tool call found for {name} output with call_id {call_id}.", param="input")
            answered.add(call_id)
    for waiting, call in called.items():
        if waiting not in answered:
            raise Refused(400, f"No tool output found for {_CALLS[call][1]} {waiting}.", param="input")


def _check_item(item: Mapping[str, object], kind: str, where: str) -> None:
    identifier, hidden = item.get("id"), item.get("encrypted_content")
    prefix = _PREFIXES.get(kind)
    if identifier is not None and prefix is not None and not str(identifier).startswith(prefix):
        raise Refused(
            400,
            f"Invalid '{where}.id': '{identifier}'. Expected an ID that begins with '{prefix}'.",
            code="invalid_value",
            param=f"{where}.id",
        )
    if kind == "item_reference" or (kind == "reasoning" and hidden is None and identifier is not None):
        raise Refused(
            404,
            f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
            param="input",
        )
    if kind in ("reasoning", "compaction") and hidden is not None and not str(hidden).startswith(ENCRYPTED):
        raise Refused(
            400,
            f"The encrypted content {str(hidden)[:4]}... could not be verified.",
            code="invalid_encrypted_content",
        )
    if kind == "message":
        _check_message(item, where)


def _check_message(item: Mapping[str, object], where: str) -> None:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _PARTS:
        raise Refused(400, f"Invalid value: '{role}'.", code="invalid_value", param=f"{where}.role")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise Refused(
            400,
            f"Missing required parameter: '{where}.content'.",
            code="missing_required_parameter",
            param=f"{where}.content",
        )
    allowed = _PARTS[role]
    for position, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            names = ", ".join(f"'{name}'" for name in allowed)
            raise Refused(
                400,
                f"Invalid value: '{kind}'. Supported values are: {names}.",
                code="invalid_value",
                param=f"{where}.content[{position}]",
            )
