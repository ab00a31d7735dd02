"""The functions over the index of vector stores: writing postings, merging segments, searching."""

from typing import Final

FUNCTIONS: Final[tuple[str, ...]] = ()
SIGNATURES: Final[tuple[str, ...]] = ()
"""What the service may call, as `door` takes it."""
