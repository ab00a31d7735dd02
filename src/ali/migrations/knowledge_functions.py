"""The functions over vector stores and their files that reach across tenants: claims of work, and tidying up."""

from typing import Final

FUNCTIONS: Final[tuple[str, ...]] = ()
SIGNATURES: Final[tuple[str, ...]] = ()
"""What the service may call, as `door` takes it."""
