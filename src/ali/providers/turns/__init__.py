"""One turn of a model within a response: a Responses request said in the upstream's words, its stream as our events."""

from ali.providers.turns.item_ids import new_item_id
from ali.providers.turns.writer import OutputWriter

__all__ = ["OutputWriter", "new_item_id"]
