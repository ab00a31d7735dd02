"""How files are called outside, and what they can be for."""

from typing import Final
from uuid import UUID

from ali.kernel.ids import read_id, shown_id

FILE: Final = "file-"

UPLOADED: Final = ("assistants", "batch", "evals", "user_data", "vision")
"""What a file that is sent can be for."""
BATCH_OUTPUT: Final = "batch_output"
SHOWN: Final = (*UPLOADED, BATCH_OUTPUT)
"""What the Files API shows. Other purposes are of the service itself, such as the requests of a message batch."""
MOST_BATCH_BYTES: Final = 200 * 1024 * 1024
"""The largest input of a batch. Source: OpenAI's API reference, "Upload file"."""


def file_name(file_id: UUID) -> str:
    """The identifier of a file, as callers see it."""
    return shown_id(FILE, file_id)


def read_file(text: str) -> UUID | None:
    """The UUID that `file_name` wrote; None for anything else."""
    return read_id(text, prefix=FILE)
