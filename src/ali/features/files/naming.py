"""How files are called outside, and what they can be for."""

from typing import Final
from uuid import UUID

from ali.kernel.ids import read_id, shown_id

FILE: Final = "file-"
UPLOAD: Final = "upload_"
PART: Final = "part_"

USER_DATA: Final = "user_data"
UPLOADED: Final = ("assistants", "batch", "evals", USER_DATA, "vision")
"""What a file that is sent can be for."""
BATCH_OUTPUT: Final = "batch_output"
SHOWN: Final = (*UPLOADED, BATCH_OUTPUT)
"""What the Files API shows. Other purposes are of the service itself, such as the requests of a message batch."""
UPLOAD_PART: Final = "upload_part"
MOST_BATCH_BYTES: Final = 200 * 1024 * 1024
"""The largest input of a batch. Source: OpenAI's API reference, "Upload file"."""


def file_name(file_id: UUID) -> str:
    """The identifier of a file, as callers see it."""
    return shown_id(FILE, file_id)


def read_file(text: str) -> UUID | None:
    """The UUID that `file_name` wrote; None for anything else."""
    return read_id(text, prefix=FILE)


def upload_name(upload_id: UUID) -> str:
    """The identifier of an upload, as callers see it."""
    return shown_id(UPLOAD, upload_id)


def read_upload(text: str) -> UUID | None:
    """As `read_file`, of an upload."""
    return read_id(text, prefix=UPLOAD)


def part_name(part_id: UUID) -> str:
    """The identifier of an upload's part, as callers see it."""
    return shown_id(PART, part_id)


def read_part(text: str) -> UUID | None:
    """As `read_file`, of a part."""
    return read_id(text, prefix=PART)
