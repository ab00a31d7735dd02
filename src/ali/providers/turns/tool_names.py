"""The names under which a model sees tools that are not functions to the caller."""

import hashlib
import re
from typing import Final

FILE_SEARCH: Final = "file_search"
"""The function that stands for the search of files."""

_LONGEST: Final = 64
_DIGITS: Final = 8
_WHOLE_OF_A_CUT_NAME: Final = _LONGEST - _DIGITS - 1
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]")


def mcp_function_name(server_label: str, name: str) -> str:
    """The function that stands for tool `name` of the MCP server `server_label`: `mcp__{server_label}__{name}`.

    At most 64 characters of [A-Za-z0-9_-], which every provider takes. A name that had to be changed for that, or whose
    label could end elsewhere, ends in 8 hex digits of the pair's SHA-256, so that two tools do not become one.
    """
    plain = f"{_begin(server_label)}{name}"
    fitting = _OTHER.sub("_", plain)
    if fitting == plain and len(plain) <= _LONGEST and "__" not in f"{server_label}_":
        return plain
    digest = hashlib.sha256(f"{server_label}\0{name}".encode()).hexdigest()[:_DIGITS]
    return f"{fitting[:_WHOLE_OF_A_CUT_NAME]}_{digest}"


def mcp_function_prefix(server_label: str) -> str:
    """How the name of every function begins that stands for a tool of that server, whatever the tool is called."""
    return _OTHER.sub("_", _begin(server_label))[:_WHOLE_OF_A_CUT_NAME]


def _begin(server_label: str) -> str:
    return f"mcp__{server_label}__"
