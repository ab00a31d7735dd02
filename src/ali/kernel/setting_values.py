"""What the values of settings are made of, where one is more than a word or a number."""

from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ali.kernel.references import resolved


def checked_base_url(value: str) -> str:
    """An http(s) base URL without credentials, query or fragment, its final slash off. Raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a base URL looks like https://host/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a base URL has no credentials, query or fragment")
    return value.rstrip("/")


class CompatibleProvider(BaseModel):
    """A server that speaks OpenAI's dialect, run or chosen by the operator (vLLM, Ollama, Mistral, a gateway)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    base_url: str
    api_key: SecretStr | None = None
    models: tuple[str, ...]
    """The model names that are routed to it; `NAME/model` reaches it for any other."""
    responses: bool = False
    """Whether it also offers OpenAI's Responses API; else responses are translated to chat completions for it."""

    @field_validator("api_key", mode="before")
    @classmethod
    def _read_reference(cls, value: object) -> object:
        return resolved(value)

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return checked_base_url(value)


class Alias(BaseModel):
    """A model name of the operator's own, standing for an ordered or weighted list of targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: tuple[str, ...] = Field(min_length=1)
    weights: tuple[int, ...] | None = None
    """None: in the order given, the next one when the one before fails. Else the first is drawn by weight."""
    cache_ttl_s: int | None = Field(default=None, ge=1)
    """Set: exact repeats of a request to this alias are answered from the cache for so many seconds."""

    @model_validator(mode="after")
    def _one_weight_each(self) -> "Alias":
        if self.weights is not None and (len(self.weights) != len(self.targets) or min(self.weights) < 1):
            raise ValueError("give one weight of at least 1 for each target")
        return self


class ModelPrice(BaseModel):
    """What a model costs, in US dollars a million tokens, where the catalog does not know or does not say it right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=3)]
    output: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=3)]
    cached_input: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=3)] | None = None
    """None: as `input`."""
    cache_write: Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=3)] | None = None
    """None: as `input`."""
    max_output_tokens: int = Field(default=32_768, ge=1, le=10_000_000)
    """The most that one answer has, where the catalog does not know: what a budget holds for an unbounded request."""
