"""How a request ends, whichever way it went: its usage record closed and priced, and its one log line."""

import time

from ali.features.chat.gateway import Gateway
from ali.features.chat.operations import Operation
from ali.features.chat.routing import Route
from ali.features.metering import OpenRecord
from ali.kernel import log
from ali.kernel.errors import AliError
from ali.providers.catalog import Prices, cost_microusd


def close_record(
    record: OpenRecord, outcome: str, *, status: int, error_code: str | None = None, prices: Prices | None
) -> None:
    """Fill in how the request ended and what its usage costs; nothing is written yet."""
    record.outcome, record.status, record.error_code = outcome, status, error_code
    record.duration_ms = record.elapsed_ms()
    if prices is not None:
        record.cost_microusd = cost_microusd(prices, record.usage)
        if record.reserved_microusd is not None and not record.usage.reported:
            # An estimate by the length of texts may pass what the request could cost at most; a bill may not.
            record.cost_microusd = min(record.cost_microusd, record.reserved_microusd)


def prices_tried(route: Route, record: OpenRecord) -> Prices | None:
    """The prices of the target that was called last; None where none was, or nobody has said its prices."""
    for target in route.targets:
        if target.upstream.name == record.provider and target.model == record.upstream_model:
            return target.prices
    return None


def tell(gateway: Gateway, record: OpenRecord, request_name: str) -> None:
    """Metrics and the request's one log line."""
    gateway.tally.count(record, elapsed_s=time.monotonic() - record.started_s)
    log.info(
        "request.ended",
        request_id=request_name,
        operation=record.operation,
        outcome=record.outcome,
        status=record.status,
        error=record.error_code,
        model=record.model,
        provider=record.provider,
        project=record.project_id.hex,
        attempts=record.attempts,
        input_tokens=record.usage.input_tokens,
        output_tokens=record.usage.output_tokens,
        cost_microusd=record.cost_microusd,
        first_token_ms=record.first_token_ms,
        duration_ms=record.duration_ms,
    )


def tell_refused(gateway: Gateway, operation: Operation, request_name: str, error: AliError) -> None:
    """Metrics and log line of a request that was refused before anything was spent on it."""
    gateway.metrics.requests.labels(operation.name, "refused").inc()
    log.info(
        "request.refused",
        request_id=request_name,
        operation=operation.name,
        status=error.http_status,
        error=error.error_code,
    )
