"""How vector stores and what is in them are called outside, and what they may hold.

Source: OpenAI's API reference, "Vector stores". A store's file is called as the file itself.
"""

from typing import Final
from uuid import UUID

from ali.kernel.ids import read_id, shown_id

VECTOR_STORE: Final = "vs_"
FILE_BATCH: Final = "vsfb_"

STORABLE: Final = ("assistants", "user_data")
"""Purposes of files that can be added to a store."""
MOST_FIRST_FILES: Final = 500
"""Files that a store can be made with."""
MOST_BATCH_FILES: Final = 2000
LONGEST_NAME: Final = 256
LONGEST_DESCRIPTION: Final = 512
LONGEST_EXPIRY_DAYS: Final = 365


def store_name(store_id: UUID) -> str:
    """The identifier of a vector store, as callers see it."""
    return shown_id(VECTOR_STORE, store_id)


def read_store(text: str) -> UUID | None:
    """The UUID that `store_name` wrote; None for anything else."""
    return read_id(text, prefix=VECTOR_STORE)


def batch_name(batch_id: UUID) -> str:
    """The identifier of a file batch, as callers see it."""
    return shown_id(FILE_BATCH, batch_id)


def read_batch(text: str) -> UUID | None:
    """The UUID that `batch_name` wrote; None for anything else."""
    return read_id(text, prefix=FILE_BATCH)
