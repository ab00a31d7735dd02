"""`/v1/organization/projects/{project_id}/api_keys`. Creating, and all of modifying but its scopes, are Ali's own."""

from typing import Annotated

from fastapi import APIRouter, Request

from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, deleted, listing
from ali.features.identity.http.authority import Id, in_project
from ali.features.identity.http.inputs import place_of
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.reach import Reached
from ali.features.identity.roles import Permission
from ali.features.keys import lifecycle
from ali.features.keys.http.answers import project_key
from ali.features.keys.http.bodies import KeyChange, NewKey, change, restrictions
from ali.features.keys.queries import Scope

router = APIRouter(prefix="/v1/organization/projects/{project_id}/api_keys", tags=["administration"])

Reader = Annotated[Reached, in_project(Permission.KEYS_READ)]
Keeper = Annotated[Reached, in_project(Permission.KEYS_WRITE)]


@router.get("", summary="List a project's API keys")
async def list_project_api_keys(
    reached: Reader, transaction: Transaction, place: Annotated[Place, place_of(Kind.API_KEY)]
) -> Json:
    """The project's keys that are not revoked, without their secrets."""
    return listing(await lifecycle.listed(transaction, scope=_scope(reached), place=place), project_key)


@router.post("", summary="Create a project's API key")
async def create_project_api_key(reached: Keeper, transaction: Transaction, request: Request, body: NewKey) -> Json:
    """A new key, with its secret as `value`, this once. It belongs to whoever makes it, and ends with them."""
    reached.require_active()
    issued = await lifecycle.issue(
        transaction,
        reached.authority,
        project_id=reached.project.id,
        name=body.name,
        role=body.role,
        hmac_secret=request.app.state.hmac_secret,
        restrictions=restrictions(body, role=body.role),
    )
    owned = await lifecycle.found(transaction, scope=_scope(reached), key_id=issued.key.id)
    return project_key(owned) | {"value": issued.secret}


@router.get("/{key_id}", summary="Retrieve a project's API key")
async def retrieve_project_api_key(reached: Reader, transaction: Transaction, key_id: Id) -> Json:
    """One key, without its secret."""
    owned = await lifecycle.found(transaction, scope=_scope(reached), key_id=read(Kind.API_KEY, key_id))
    return project_key(owned)


@router.post("/{key_id}", summary="Modify a project's API key")
async def modify_project_api_key(reached: Keeper, transaction: Transaction, key_id: Id, body: KeyChange) -> Json:
    """The key, narrowed or widened; in force within a second. Its secret stays."""
    reached.require_active()
    scope = _scope(reached)
    present = await lifecycle.found(transaction, scope=scope, key_id=read(Kind.API_KEY, key_id))
    wanted = change(body, role=body.role or present.key.role)
    return project_key(
        await lifecycle.change(transaction, reached.authority, scope=scope, key_id=present.key.id, wanted=wanted)
    )


@router.delete("/{key_id}", summary="Delete a project's API key")
async def delete_project_api_key(reached: Keeper, transaction: Transaction, key_id: Id) -> Json:
    """The key is revoked: it opens nothing any more, in every process within a second."""
    gone = await lifecycle.revoke(
        transaction, reached.authority, scope=_scope(reached), key_id=read(Kind.API_KEY, key_id)
    )
    return deleted("organization.project.api_key", named(Kind.API_KEY, gone.id))


def _scope(reached: Reached) -> Scope:
    return Scope(organization_id=reached.project.organization_id, project_id=reached.project.id)
