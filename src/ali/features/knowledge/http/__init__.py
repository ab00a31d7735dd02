"""The Vector Stores API, in OpenAI's form."""

from typing import Final

from ali.features.knowledge.http import batches, files, search, stores

ROUTERS: Final = (stores.router, files.router, batches.router, search.router)

__all__ = ["ROUTERS"]
