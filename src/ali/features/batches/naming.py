"""How batches are called outside, and what they may hold. Sources: both providers' API references, "Batches"."""

from typing import Final
from uuid import UUID

from ali.kernel.ids import read_id, shown_id

BATCH: Final = "batch_"
MESSAGE_BATCH: Final = "msgbatch_"
ENDPOINTS: Final = ("/v1/chat/completions", "/v1/embeddings", "/v1/moderations", "/v1/responses")
MESSAGES: Final = "/v1/messages"
MOST_LINES: Final = 50_000
MOST_MESSAGES: Final = 100_000
MOST_MESSAGE_BYTES: Final = 256 * 1024 * 1024
WINDOW_S: Final = 86_400
"""Within which a batch ends, done or not."""
RESULTS_TTL_S: Final = 29 * 86_400
"""How long the results of a message batch are kept."""
MESSAGE_INPUT: Final = "message_batch_input"
MESSAGE_RESULTS: Final = "message_batch_results"
"""Purposes of the service's own files; the Files API does not show them."""


def batch_name(batch_id: UUID, *, dialect: str) -> str:
    """The identifier of a batch, as callers see it."""
    return shown_id(MESSAGE_BATCH if dialect == "anthropic" else BATCH, batch_id)


def read_batch(text: str, *, dialect: str) -> UUID | None:
    """The UUID that `batch_name` wrote; None for anything else."""
    return read_id(text, prefix=MESSAGE_BATCH if dialect == "anthropic" else BATCH)
