"""The setting of one MCP server that requests may name."""

import re
from typing import Final

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator

from ali.kernel.references import resolved

_BEARER: Final = re.compile(r"[!-~]+")


class AllowedMcpServer(BaseModel):
    """An MCP server, or all those under an address, that requests to the Responses API may have called.

    A plain string stands for an object that has the `url` alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """Its address, or the beginning of it up to a slash: `https://mcp.example.com/` is all of that origin."""
    authorization: SecretStr | None = None
    """The bearer token for requests that bring none of their own; None: they are called without."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("authorization", mode="before")
    @classmethod
    def _read_reference(cls, value: object) -> object:
        return resolved(value) or None

    @field_validator("authorization")
    @classmethod
    def _check_bearer(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _BEARER.fullmatch(value.get_secret_value()):
            raise ValueError("an MCP server's authorization is a bearer token, without the word Bearer and spaces")
        return value

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if "?" in value or "#" in value or "%" in value:
            raise ValueError("an MCP server's url has no query, fragment or escapes")
        return value
