"""The settings of serving: addresses, database, providers, limits of requests, the edge, sign-in.

A part of `kernel.settings`, which has the rest, and which is what everybody asks.
"""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ali.kernel.openid_provider import OpenIdProvider
from ali.kernel.outbound import read_allowed
from ali.kernel.references import resolved
from ali.kernel.setting_values import Alias, CompatibleProvider, ModelPrice, checked_base_url

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_SERVED_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:]+\]")


def _default_home() -> Path:
    return Path.home() / ".local" / "share" / "ali"


def _custom(name: str) -> Any:  # noqa: ANN401 - Pydantic's own type for a field
    """A field read from the customary variable `name`, with no prefix."""
    return AliasChoices(name)


class ServingSettings(BaseSettings):
    """Where and how the service is reached, what it stands on, whose models it offers, and who may sign in."""

    model_config = SettingsConfigDict(env_prefix="ALI_", extra="ignore", frozen=True, populate_by_name=True)

    home: Path = Field(default_factory=_default_home, description="Folder for everything that is kept.")
    host: str = Field(default="127.0.0.1", description="Address to serve on.")
    port: int = Field(default=8000, ge=0, le=65535, validation_alias=_custom("PORT"), description="Port to serve on.")
    workers: int = Field(default=1, ge=1, le=64, description="Service processes.")

    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=_custom("DATABASE_URL"),
        description="PostgreSQL 16 or newer, as the service reaches it; unset: the embedded one.",
    )
    database_owner_url: SecretStr | None = Field(
        default=None,
        description="The same database as the owner of its schema reaches it, for migrations and the command line; "
        "unset: DATABASE_URL, whose role the service then exchanges for ali_service on each connection.",
    )
    database_pool_size: int = Field(default=4, ge=1, le=100, description="Database connections a process may hold.")
    redis_url: SecretStr | None = Field(
        default=None,
        validation_alias=_custom("REDIS_URL"),
        description="Redis for rate limits and the shared cache; unset: ALI_LIMITER_STORE says, and in process.",
    )
    api_key_hmac_secret: SecretStr | None = Field(
        default=None,
        description="Key under which API keys are stored as HMAC; unset: made once and kept in the home folder "
        "(embedded mode only).",
    )

    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=_custom("OPENAI_API_KEY"), description="The installation's key at OpenAI."
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        validation_alias=_custom("OPENAI_BASE_URL"),
        description="Where OpenAI is reached.",
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=_custom("ANTHROPIC_API_KEY"), description="The installation's key at Anthropic."
    )
    anthropic_base_url: str = Field(
        default="https://api.anthropic.com",
        validation_alias=_custom("ANTHROPIC_BASE_URL"),
        description="Where Anthropic is reached, without /v1.",
    )
    compatible_providers: tuple[CompatibleProvider, ...] = Field(
        default=(), description="Servers that speak OpenAI's dialect, as a JSON list."
    )
    aliases: dict[str, Alias] = Field(default_factory=dict, description="Model aliases, as a JSON object.")
    model_prices: dict[str, ModelPrice] = Field(
        default_factory=dict,
        description="Prices of models that the catalog lacks or that cost something else here, as a JSON object.",
    )

    requests_per_minute: int | None = Field(
        default=None, ge=1, description="Requests a minute allowed to each API key; unset: no limit."
    )
    limiter_store: Literal["auto", "process", "redis", "postgres"] = Field(
        default="auto",
        description="Where rate limits are counted. auto: Redis where there is one (PostgreSQL while it is away), else "
        "PostgreSQL, or the process where it is the only one of an embedded installation.",
    )
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024, description="Largest request body.")
    max_upstream_body_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Largest whole answer taken from a provider."
    )
    max_event_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="Largest single stream event taken from a provider."
    )
    upstream_connect_s: float = Field(default=5.0, gt=0, description="Deadline for connecting to a provider.")
    upstream_first_byte_s: float = Field(
        default=120.0, gt=0, description="Deadline for the first byte of a provider's answer."
    )
    upstream_silence_s: float = Field(default=60.0, gt=0, description="Longest silence of a provider within an answer.")
    upstream_total_s: float = Field(default=900.0, gt=0, description="Deadline for a provider's whole answer.")
    drain_s: float = Field(default=8.0, ge=0, description="Time that running requests get to end at shutdown.")
    cache_max_bytes: int = Field(
        default=64 * 1024 * 1024, ge=0, description="Memory for cached exact repeats of a process."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere."
    )

    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call from a browser, as a JSON list; `*` alone: any."
    )
    cors_credentials: bool = Field(default=False, description="Pages of these origins may send cookies.")
    trusted_hosts: tuple[str, ...] = Field(
        default=(), description="Host names served, as a JSON list; `*.example.com`: all under it; unset: any."
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Networks of the proxies in front, as a JSON list; they tell the client's address."
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for", description="The one header in which trusted proxies tell the client's address."
    )
    max_json_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Largest JSON body, except for the models' operations."
    )
    outbound_allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="`host:port` that may be called though private or plain http, as a JSON list.",
    )

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [origin for origin in value if not (origin == "*" or _ORIGIN.fullmatch(origin))]:
            raise ValueError(f"an origin looks like https://app.example.com, with no path, and not like {wrong[0]!r}")
        if "*" in value and len(value) > 1:
            raise ValueError("`*` stands alone")
        return value

    @field_validator("trusted_hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [host for host in value if not _SERVED_HOST.fullmatch(host)]:
            raise ValueError(f"a host is a lower-case name without port, or *.name, and not {wrong[0]!r}")
        return value

    @field_validator("outbound_allowed_hosts")
    @classmethod
    def _check_outbound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        read_allowed(value)
        return value

    @model_validator(mode="after")
    def _closed_to_any_origin_with_credentials(self) -> "ServingSettings":
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError("ALI_CORS_CREDENTIALS needs the origins named in ALI_CORS_ORIGINS, not `*`")
        return self

    public_url: str | None = Field(
        default=None,
        description="Address under which people reach this service, https://host: the issuer of its access tokens, and "
        "in the links that it sends; unset: http:// with ALI_HOST and PORT.",
    )
    openid_providers: tuple[OpenIdProvider, ...] = Field(
        default=(), description="Issuers of OpenID Connect whose people may sign in, as a JSON list."
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="Mail server, smtp://user:password@host:port (STARTTLS) or smtps:// (TLS); unset: no mail is sent.",
    )
    mail_from: str | None = Field(
        default=None,
        description="Sender of the service's mail: an address, or a name before an address in angle brackets.",
    )

    @field_validator(
        "database_url",
        "database_owner_url",
        "redis_url",
        "api_key_hmac_secret",
        "openai_api_key",
        "anthropic_api_key",
        "smtp_url",
        mode="before",
    )
    @classmethod
    def _read_reference(cls, value: object) -> object:
        """References are read; an empty variable counts as unset."""
        return resolved(value) or None

    @field_validator("openai_base_url", "anthropic_base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return checked_base_url(value)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        return checked_base_url(value) if value else None

    @field_validator("openid_providers")
    @classmethod
    def _names_are_single(cls, value: tuple[OpenIdProvider, ...]) -> tuple[OpenIdProvider, ...]:
        if len({provider.name for provider in value}) < len(value):
            raise ValueError("two providers have the same name")
        return value

    @model_validator(mode="after")
    def _redis_is_named(self) -> "ServingSettings":
        if self.limiter_store == "redis" and self.redis_url is None:
            raise ValueError("ALI_LIMITER_STORE=redis needs REDIS_URL")
        return self
