"""How ordinary routes ask who is calling and get their transaction.

    Reader = Annotated[Principal, requires(Permission.PROJECTS_READ)]

    @router.get("")
    async def list_projects(reader: Reader, transaction: Transaction) -> …:

`Transaction` is one database transaction with the caller's tenant set, committed before the answer is sent: what a
route answered is so, and a route that raises has changed nothing.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import BaseRoute

from ali.features.audit import Actor
from ali.features.identity.principal import PROJECT_HEADER, Principal, project_named
from ali.features.identity.roles import Permission
from ali.kernel.db import enter_tenant

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer ali_…`, or a person's access token")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="`x-api-key: ali_…`")


class Authenticator(Protocol):
    """What the composition root puts into `app.state.authenticator`: credentials in, principals out."""

    async def authenticate(self, secret: str | None, *, project: UUID | None) -> Principal:
        """The principal of a key or access token. Raises `AuthenticationFailed`."""
        ...


async def _authenticated(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Principal:
    authenticator: Authenticator = request.app.state.authenticator
    principal = await authenticator.authenticate(
        bearer.credentials if bearer else header, project=project_named(request.headers.get(PROJECT_HEADER))
    )
    principal.require_network(client_address(request))
    return principal


Authenticated = Annotated[Principal, Depends(_authenticated)]
"""Whoever calls, whatever they may do: for what everybody may do to themselves."""


async def _optionally_authenticated(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal | None:
    return None if bearer is None else await _authenticated(request, bearer, None)


OptionallyAuthenticated = Annotated[Principal | None, Depends(_optionally_authenticated)]
"""Whoever calls, or None where no credential was sent; a wrong one is refused."""


class Requires:
    """A dependency that yields the principal once it has shown `permission`."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(self, principal: Authenticated) -> Principal:
        """The principal. Raises `PermissionRefused`."""
        principal.require(self.permission)
        return principal


def requires(permission: Permission) -> Any:  # noqa: ANN401 - what FastAPI's Depends gives
    """The marker for a route's signature."""
    return Depends(Requires(permission))


def permissions_asked(dependant: Dependant) -> frozenset[Permission]:
    """What a route asks for, in whatever dependency of its own: empty for one that anybody may call."""
    own = {dependant.call.permission} if isinstance(dependant.call, Requires) else set()
    return frozenset(own).union(*map(permissions_asked, dependant.dependencies))


def operations_of(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str, frozenset[Permission]]]:
    """Method, path and permissions of each of FastAPI's `routes`, also of those that its document leaves out."""
    for route in iter_route_contexts(routes):
        dependant = getattr(route, "dependant", None)
        if isinstance(dependant, Dependant):
            asked = permissions_asked(dependant)
            yield from ((method, str(route.path_format), asked) for method in sorted(route.methods or ()))


async def _transaction(request: Request, principal: Authenticated) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session, session.begin():
        await enter_tenant(session, organization_id=principal.organization_id, project_id=principal.visible_project)
        yield session


Transaction = Annotated[AsyncSession, Depends(_transaction, scope="function")]
"""See the module's text. `scope="function"`: FastAPI's default commits after the answer was sent."""


def client_address(request: Request) -> str | None:
    """The client's network address, as the edge has settled it."""
    return request.client.host if request.client else None


async def _acting(request: Request, principal: Authenticated) -> Actor:
    return principal.actor(address=client_address(request), request_id=request.state.request_id)


Acting = Annotated[Actor, Depends(_acting)]
"""The caller as the audit record names it."""
