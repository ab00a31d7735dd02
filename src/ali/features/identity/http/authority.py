"""How a route asks over what its caller has authority, naming the permission that this takes.

Keeper = Annotated[Authority, over_organization(Permission.USERS_WRITE)]
Keeper = Annotated[Reached, in_project(Permission.KEYS_WRITE)]      # of the path's `project_id`
"""

from typing import Annotated, Any

from fastapi import Depends, Path

from ali.features.identity import reach
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.naming import Kind, read
from ali.features.identity.principal import Principal
from ali.features.identity.reach import Reached
from ali.features.identity.roles import Permission

Id = Annotated[str, Path(max_length=200)]
"""An identifier in a path; whatever is none is not found."""


def over_organization(permission: Permission) -> Any:  # noqa: ANN401 - what FastAPI's Depends gives
    """The marker for a route of the whole organization."""

    async def authority(
        principal: Annotated[Principal, requires(permission)], transaction: Transaction, actor: Acting
    ) -> Authority:
        return await reach.over_organization(transaction, principal, permission=permission, actor=actor)

    return Depends(authority)


def in_project(permission: Permission) -> Any:  # noqa: ANN401 - as above
    """The marker for a route of one project, which the path names."""

    async def reached(
        principal: Annotated[Principal, requires(permission)], transaction: Transaction, actor: Acting, project_id: Id
    ) -> Reached:
        return await reach.in_project(
            transaction, principal, project_id=read(Kind.PROJECT, project_id), permission=permission, actor=actor
        )

    return Depends(reached)
