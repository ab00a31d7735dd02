"""What an operator can set, where each value comes from, and nothing that reads it at import.

Values come from the environment: the prefix `ALI_`, and the customary names where the world has one. A secret may be a
reference, `file:///run/secrets/NAME`, read once at start.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ali.kernel.mcp_server import AllowedMcpServer
from ali.kernel.objects import checked_objects_url
from ali.kernel.outbound import OutboundRefused, check_url, read_allowed
from ali.kernel.service_role import SERVICE_ROLE, with_role
from ali.kernel.serving_settings import ServingSettings


class Settings(ServingSettings):
    """The configuration in force. Unknown variables are ignored; a wrong value stops the start and says which."""

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
    readings_at_once: int = Field(default=2, ge=1, le=64, description="Files that a process reads into stores at once.")
    reading_max_s: float = Field(default=3600.0, gt=0, description="Longest reading of a file into a vector store.")
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

    @field_validator("objects_url")
    @classmethod
    def _check_objects_url(cls, value: str | None) -> str | None:
        return checked_objects_url(value) if value else None

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
