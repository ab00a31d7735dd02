"""Around every ordinary request: its identifier, its one log line and its metrics. The hot path has its own."""

import time
from collections.abc import Callable
from typing import Final

from ali.features.chat.gateway import Receive, Scope, Send
from ali.kernel import log
from ali.kernel.ids import new_id
from ali.kernel.telemetry import Metrics
from ali.kernel.web import App

_QUIET: Final = frozenset({"healthz", "readyz", "metrics"})
"""Asked for every few seconds by machines: counted, not logged."""
_UNKNOWN: Final = "unknown"


class Ordinary:
    """Names, counts and logs what `app` serves. Pure ASGI; about 10 µs a request, its log line aside."""

    def __init__(self, app: App, metrics: Callable[[], Metrics]) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.monotonic()
        name = new_id("req")
        scope.setdefault("state", {})["request_id"] = name
        status = 500

        async def named(message: Scope) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                processing_ms = b"%d" % ((time.monotonic() - started_s) * 1000)
                message["headers"] = [
                    *message["headers"],
                    *((header, name.encode()) for header in (b"x-request-id", b"request-id")),
                    (b"openai-processing-ms", processing_ms),
                ]
            await send(message)

        try:
            await self._app(scope, receive, named)
        finally:
            self._tell(scope, name=name, status=status, elapsed_s=time.monotonic() - started_s)

    def _tell(self, scope: Scope, *, name: str, status: int, elapsed_s: float) -> None:
        # The route's name and not the path: labels and log fields are the code's words, never the caller's.
        operation = getattr(scope.get("route"), "name", _UNKNOWN)
        outcome = "ok" if status < 400 else "refused" if status < 500 else "error"
        metrics = self._metrics()
        metrics.requests.labels(operation, outcome).inc()
        metrics.duration.labels(operation).observe(elapsed_s)
        if operation not in _QUIET:
            log.info(
                "request.ended",
                request_id=name,
                operation=operation,
                method=scope["method"] if operation != _UNKNOWN else None,
                outcome=outcome,
                status=status,
                duration_ms=int(elapsed_s * 1000),
            )
