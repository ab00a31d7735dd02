"""The statement that keeps a completion: with the usage of its request, in one round trip and one commit."""

from typing import Final

SETTLE: Final = "select ali.settle_completion(%s::jsonb, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)"
