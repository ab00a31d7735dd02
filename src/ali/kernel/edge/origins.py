"""Which pages of other origins may call this service from a browser: CORS, as Starlette does it, in our dialects.

Source: the Fetch standard, "HTTP-CORS protocol".
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ali.kernel.edge.errors import OriginRefused
from ali.kernel.edge.refusal import refusal

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED: Final = (
    "x-request-id",
    "request-id",
    "retry-after",
    "openai-processing-ms",
    "idempotent-replayed",
    *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
    *(f"anthropic-ratelimit-{of}-{what}" for of in ("requests", "tokens") for what in ("limit", "remaining", "reset")),
    *(f"x-ali-{what}" for what in ("cache", "dropped-parameters", "error-code", "estimated", "model", "provider")),
    "x-ali-original-request-id",
)
"""Answer headers that SDKs read; without this a browser hides them."""
_PREFLIGHT_KEPT_S: Final = 600


class Origins(CORSMiddleware):
    """For requests with an `Origin` alone: `Doorway` sends the others past it, so that they cost nothing."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, origins: Collection[str], credentials: bool) -> None:
        super().__init__(
            app,
            allow_origins=frozenset(origins),
            allow_methods=METHODS,
            allow_headers=("*",),  # which headers a page sends protects nothing once its origin is trusted
            allow_credentials=credentials,
            expose_headers=EXPOSED,
            max_age=_PREFLIGHT_KEPT_S,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's answer; a refusal in the caller's dialect."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        asked = request_headers.get("access-control-request-headers", "").lower()
        status, headers, body = refusal(
            OriginRefused(
                "Pages of this origin may not make this request. The operator can allow it in ALI_CORS_ORIGINS."
            ),
            anthropic="anthropic-version" in asked,
        )
        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        return Response(body, status_code=status, headers={**said, "vary": "Origin"})
