"""Every expected failure of the product, as one tree.

    AliError
    ├── InvalidRequest        400  the request cannot be understood or carried out as it stands
    │   ├── NotFound          404  no such thing, or none that this caller may see
    │   ├── MethodNotAllowed  405
    │   ├── Conflict          409
    │   ├── PayloadTooLarge   413
    │   └── Unprocessable     422
    ├── AuthenticationFailed  401  the caller's own credential is missing, malformed, revoked or expired
    ├── PermissionRefused     403
    ├── RateLimited           429  the caller is too fast (`retry_after_s` is always set)
    ├── UpstreamError         502  the provider's fault (`providers.contract` draws its branch)
    └── Unavailable           503  this service cannot serve right now

Slices put their own leaves beside the code that raises them. A leaf sets `code`, which never changes once released;
the message is for people and says what to do next. `kernel.envelopes` writes an error in the caller's dialect.
"""

from typing import ClassVar


class AliError(Exception):
    """An expected failure.

    `message` says what happened and what to do next, and holds no secret and no text that people wrote. `param` is the
    JSON path of the offending request field, where there is one. `headers` are extra response headers.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    openai_type: ClassVar[str | None] = None
    """OpenAI's `error.type`, where it is not the one that goes with the status."""
    anthropic_code: ClassVar[str | None] = None
    """Anthropic's `error.details.error_code`, where it has one: its SDK raises an exception of that name."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = headers
        self.error_code = code or self.code

    @property
    def http_status(self) -> int:
        """The status for this very failure; a leaf that relays an upstream's status overrides it."""
        return self.status


class InvalidRequest(AliError):
    """400: the request cannot be understood or carried out as it stands."""

    status = 400
    code = "invalid_request"


class NotFound(InvalidRequest):
    """404: no such thing, or none that this caller may see; the two are never told apart."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """405: the path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class Conflict(InvalidRequest):
    """409: the thing's present state does not allow it."""

    status = 409
    code = "conflict"


class PayloadTooLarge(InvalidRequest):
    """413: the body is larger than this installation takes."""

    status = 413
    code = "request_too_large"


class Unprocessable(InvalidRequest):
    """422: understood, and refused for its content."""

    status = 422
    code = "unprocessable"


class AuthenticationFailed(AliError):
    """401: the caller's own credential is missing, malformed, revoked or expired."""

    status = 401
    code = "invalid_api_key"


class PermissionRefused(AliError):
    """403: the credential is good, and does not allow this."""

    status = 403
    code = "permission_denied"


class RateLimited(AliError):
    """429: the caller is too fast; `retry_after_s` (seconds, > 0) is when the same request would pass."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, headers=headers)
        self.retry_after_s = retry_after_s


class Unavailable(AliError):
    """503: this service cannot serve right now; trying again later may help."""

    status = 503
    code = "service_unavailable"
