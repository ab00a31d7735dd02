"""Why a file became no document."""

from typing import Final, Literal

FailureCode = Literal["unsupported_file", "invalid_file", "server_error"]
"""Source: OpenAI's API reference, `last_error.code` of a vector store's file."""

UNSUPPORTED: Final = "unsupported_file"
INVALID: Final = "invalid_file"
FAULT: Final = "server_error"


class ReadingFailed(Exception):
    """A file cannot be read. `message` is for the person who sent it: what is wrong, and what to do.

    `server_error` is this installation's fault, so another try may do; the other two are the file's.
    """

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
