"""The Files API, in OpenAI's form and in Anthropic's, and OpenAI's Uploads."""

from typing import Final

from ali.features.files.http import files, uploads
from ali.features.files.http.files import PATH
from ali.features.files.http.uploads import PARTS_PATH

ROUTERS: Final = (files.router, uploads.router)

__all__ = ["PARTS_PATH", "PATH", "ROUTERS"]
