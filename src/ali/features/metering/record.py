"""One request's usage while it is being served: filled in as it goes, written to the ledger at its end."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ali.providers.contract import Usage

_INT4_MAX = 2**31 - 1
_INT8_MAX = 2**63 - 1


class OpenRecord:
    """A usage record in the making; mutable, owned by the request that it describes."""

    __slots__ = (
        "api_key_id", "attempts", "cached", "cost_microusd", "duration_ms", "error_code", "first_token_ms", "id",
        "model", "operation", "organization_id", "outcome", "project_id", "provider", "reserved_microusd",
        "started_at", "started_s", "status", "streamed", "upstream_model", "usage", "user_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        record_id: UUID,
        organization_id: UUID,
        project_id: UUID,
        api_key_id: UUID | None,
        user_id: UUID | None,
        operation: str,
        model: str,
        streamed: bool,
        started_s: float,
    ) -> None:
        self.id = record_id
        self.organization_id = organization_id
        self.project_id = project_id
        self.api_key_id = api_key_id
        self.user_id = user_id
        self.operation = operation
        self.model = model
        self.streamed = streamed
        self.started_s = started_s
        self.started_at = datetime.now(UTC)
        self.outcome = "open"
        self.provider: str | None = None
        self.upstream_model: str | None = None
        self.status: int | None = None
        self.error_code: str | None = None
        self.cached = False
        self.attempts = 0
        self.usage = Usage()
        self.cost_microusd = 0
        self.reserved_microusd: int | None = None
        """What hard budgets hold for it; None: none does."""
        self.first_token_ms: int | None = None
        self.duration_ms: int | None = None

    def elapsed_ms(self) -> int:
        """Milliseconds since the request arrived."""
        return int((time.monotonic() - self.started_s) * 1000)

    def row(self, instance_id: UUID) -> dict[str, Any]:
        """The record as the ledger's statement takes it; absurd provider numbers are clamped to what columns hold."""
        usage = self.usage
        return {
            "id": self.id,
            "organization_id": self.organization_id,
            "project_id": self.project_id,
            "api_key_id": self.api_key_id,
            "user_id": self.user_id,
            "instance_id": instance_id,
            "operation": self.operation,
            "model": self.model,
            "provider": self.provider,
            "upstream_model": self.upstream_model,
            "outcome": self.outcome,
            "status": self.status,
            "error_code": self.error_code,
            "streamed": self.streamed,
            "cached": self.cached,
            "attempts": self.attempts,
            "usage_reported": usage.reported,
            "input_tokens": min(usage.input_tokens, _INT4_MAX),
            "cached_input_tokens": min(usage.cached_input_tokens, _INT4_MAX),
            "cache_write_tokens": min(usage.cache_write_tokens, _INT4_MAX),
            "output_tokens": min(usage.output_tokens, _INT4_MAX),
            "reasoning_tokens": min(usage.reasoning_tokens, _INT4_MAX),
            "cost_microusd": min(self.cost_microusd, _INT8_MAX),
            "started_at": self.started_at,
            "first_token_ms": self.first_token_ms,
            "duration_ms": self.duration_ms,
        }
