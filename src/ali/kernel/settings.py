"""What an operator can set, where each value comes from, and nothing that reads it at import.

Values come from the environment: the prefix `ALI_`, and the customary names where the world has one. A secret may be a
reference, `file:///run/secrets/NAME`, read once at start.
"""

import re
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ali.kernel.mcp_server import AllowedMcpServer
from ali.kernel.objects import checked_objects_url
from ali.kernel.openid_provider import OpenIdProvider
from ali.kernel.outbound import OutboundRefused, check_url, read_allowed
from ali.kernel.references import resolved
from ali.kernel.service_role import SERVICE_ROLE, with_role
from ali.kernel.setting_values import Alias, CompatibleProvider, ModelPrice, checked_base_url

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_SERVED_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:]+\]")


def _default_home() -> Path:
    return Path.home() / ".local" / "share" / "ali"


def _custom(name: str) -> Any:  # noqa: ANN401 - Pydantic's own type for a field
    """A field read from the customary variable `name`, with no prefix."""
    return AliasChoices(name)


class Settings(BaseSettings):
    """The configuration in force. Unknown variables are ignored; a wrong value stops the start and says which."""

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
    def _closed_to_any_origin_with_credentials(self) -> "Settings":
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

    idempotency_ttl_s: float = Field(
        default=86_400, ge=1, description="How long an Idempotency-Key and its answer are remembered."
    )
    idempotency_wait_s: float = Field(
        default=60.0, ge=0, description="How long a repeated request waits for the first one to end."
    )
    idempotency_max_answer_bytes: int = Field(
        default=8 * 1024 * 1024, ge=0, description="Largest answer kept for an Idempotency-Key."
    )

    objects_url: str | None = Field(
        default=None,
        description="Where the bytes of files are kept: file:///folder or gs://bucket/prefix; unset: `objects` in the "
        "home folder.",
    )
    max_file_bytes: int = Field(
        default=512 * 1024 * 1024, ge=1024, description="Largest uploaded file; one for a batch: at most 200 MB."
    )
    max_project_file_bytes: int | None = Field(
        default=None, ge=1024, description="Most bytes of all files of a project together; unset: no limit."
    )
    max_upload_bytes: int = Field(
        default=8 * 1024 * 1024 * 1024, ge=1024, description="Largest file that is sent in parts."
    )
    batch_lines_at_once: int = Field(
        default=8, ge=1, le=1000, description="Requests of batches that a process runs at once."
    )
    batch_lines_per_project: int = Field(
        default=4, ge=1, le=1000, description="Of these, requests of one project at once."
    )
    max_store_files: int = Field(default=100_000, ge=1, description="Most files that one vector store can have.")
    readings_at_once: int = Field(
        default=2, ge=1, le=64, description="Files of vector stores that a process reads at once."
    )
    reading_max_s: float = Field(
        default=3600.0, gt=0, description="Longest reading of one file of a vector store; then it has failed."
    )
    background: Literal["here", "worker"] = Field(
        default="here", description="Where background work runs: in the processes that serve, or in `ali worker` alone."
    )
    response_max_turns: int = Field(
        default=16, ge=1, description="Most turns of the model in one response, where this service runs tools."
    )
    response_max_searches: int = Field(
        default=24, ge=1, description="Most searches of files (file_search) in one response."
    )
    response_max_s: float = Field(
        default=600.0, gt=0, description="After so many seconds a response begins no further turn."
    )

    embedding_model: str | None = Field(
        default=None,
        description="Model that embeds passages and questions, by its name or provider/model; unset: knowledge is "
        "searched by words alone.",
    )
    embedding_dimensions: int | None = Field(
        default=None, ge=1, le=4000, description="Dimensions asked of the embedding model; unset: as many as it gives."
    )
    embedding_query_prefix: str = Field(
        default="", description="What the embedding model wants before a question, such as `query: ` for E5."
    )
    embedding_passage_prefix: str = Field(
        default="", description="What the embedding model wants before a passage, such as `passage: ` for E5."
    )
    embedding_query_s: float = Field(
        default=2.0, gt=0, description="How long a search waits for its question's vector; then it goes by words."
    )
    embedding_cache_per_project: int = Field(
        default=50_000, ge=0, description="Vectors kept for texts that come again, of each project; 0: none."
    )
    rerank_model: str | None = Field(
        default=None,
        description="Chat model that puts the best passages of a search in order; unset: none does.",
    )
    rewrite_model: str | None = Field(
        default=None,
        description="Chat model that rewrites questions where a search asks for it; unset: rules do.",
    )
    search_model_s: float = Field(
        default=5.0, gt=0, description="How long a search waits for such a model; then it goes on without."
    )

    socket_max_connections: int = Field(default=1000, ge=1, description="WebSockets that a process serves at once.")
    socket_max_connections_per_caller: int = Field(
        default=50, ge=1, description="WebSockets that a process serves at once to one API key, or person."
    )
    socket_memory_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=0,
        description="Memory of one WebSocket for responses with store: false, which its later requests go on from.",
    )

    mcp_servers: tuple[AllowedMcpServer, ...] = Field(
        default=(), description="MCP servers that requests to the Responses API may name, as a JSON list; unset: none."
    )
    mcp_list_s: float = Field(
        default=15.0, gt=0, description="Deadline for learning an MCP server's tools, connecting to it included."
    )
    mcp_call_s: float = Field(default=60.0, gt=0, description="Deadline for one call of an MCP server's tool.")
    mcp_max_answer_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Largest answer taken from an MCP server, notifications included."
    )

    @model_validator(mode="after")
    def _mcp_servers_can_be_called(self) -> "Settings":
        allowed = read_allowed(self.outbound_allowed_hosts)
        for server in self.mcp_servers:
            try:
                check_url(server.url, allowed=allowed)
            except OutboundRefused as error:
                raise ValueError(f"ALI_MCP_SERVERS: {error.message}") from error
        return self

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

    @field_validator("objects_url")
    @classmethod
    def _check_objects_url(cls, value: str | None) -> str | None:
        return checked_objects_url(value) if value else None

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
    def _redis_is_named(self) -> "Settings":
        if self.limiter_store == "redis" and self.redis_url is None:
            raise ValueError("ALI_LIMITER_STORE=redis needs REDIS_URL")
        return self

    @property
    def embedded(self) -> bool:
        """No database server was named: the service brings its own."""
        return self.database_url is None

    @property
    def address(self) -> str:
        """Where people reach the service, without a final slash: `public_url`, or where it listens."""
        if self.public_url is not None:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def limits_counted_in(self) -> Literal["process", "redis", "postgres"]:
        """Where rate limits are counted: `auto` is the cheapest place that is right for the whole installation."""
        if self.limiter_store != "auto":
            return self.limiter_store
        if self.redis_url is not None:
            return "redis"
        return "process" if self.embedded and self.workers == 1 else "postgres"

    @property
    def objects(self) -> str:
        """Where the bytes of files are kept, as a URL."""
        return self.objects_url or (self.home.absolute() / "objects").as_uri()

    @cached_property
    def credentials(self) -> Path:
        """Folder of this installation's own secrets, mode 0700."""
        return self.home / "credentials"

    def database_dsn(self) -> str:
        """The connection string of the schema's owner, who is above row-level security: migrations, the command line.

        Raises FileNotFoundError while the embedded PostgreSQL was never started.
        """
        if self.database_url is None:
            return (self.credentials / "database-url").read_text(encoding="utf-8").strip()
        return (self.database_owner_url or self.database_url).get_secret_value()

    def service_dsn(self) -> str:
        """The connection string of what serves traffic, whose role row-level security binds.

        Where the operator gave one URL for both, its role becomes `ali_service` on each connection. Raises
        FileNotFoundError as `database_dsn`.
        """
        if self.database_url is None:
            return (self.credentials / "service-database-url").read_text(encoding="utf-8").strip()
        dsn = self.database_url.get_secret_value()
        return dsn if self.database_owner_url is not None else with_role(dsn, SERVICE_ROLE)

    def hmac_secret(self) -> bytes:
        """The key under which API keys are stored: as set, or as the embedded installation keeps it.

        Raises FileNotFoundError while an embedded installation has not made its own (`ali serve` does).
        """
        if self.api_key_hmac_secret is not None:
            return self.api_key_hmac_secret.get_secret_value().encode()
        return (self.credentials / "api-key-hmac-secret").read_bytes().strip()
