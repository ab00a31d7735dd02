"""The Files API, in OpenAI's form."""

from typing import Final

from ali.features.files.http.files import PATH, router

ROUTERS: Final = (router,)

__all__ = ["PATH", "ROUTERS"]
