"""Conversations and their items: what was said, in one order, for responses to go on from."""

from ali.features.conversations.items import read_items
from ali.features.conversations.pairing import check_outputs
from ali.features.conversations.tags import read_metadata

__all__ = ["check_outputs", "read_items", "read_metadata"]
