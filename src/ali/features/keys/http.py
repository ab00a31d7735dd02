"""How ordinary routes ask who is calling: `Annotated[Principal, requires(Permission.…)]` in their signature."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from ali.features.keys.principal import Permission, Principal
from ali.features.keys.recognise import KeyRing

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer ali_…`")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="`x-api-key: ali_…`")


class Requires:
    """A dependency that yields the principal once it has shown `permission`."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
        header: Annotated[str | None, Security(_header)],
    ) -> Principal:
        """The principal. Raises `AuthenticationFailed` or `PermissionRefused`."""
        keys: KeyRing = request.app.state.keys
        principal = await keys.recognise(bearer.credentials if bearer else header)
        principal.require(self.permission)
        return principal


def requires(permission: Permission) -> Any:  # noqa: ANN401 - what FastAPI's Depends gives
    """The marker for a route's signature."""
    return Depends(Requires(permission))
