"""Batches over HTTP: OpenAI's Batch API and Anthropic's Message Batches."""

from typing import Final

from ali.features.batches.http import batches, message_batches
from ali.features.batches.http.message_batches import PATH as MESSAGE_BATCHES_PATH

ROUTERS: Final = (batches.router, message_batches.router)

__all__ = ["MESSAGE_BATCHES_PATH", "ROUTERS"]
