"""`/v1/organization/admin_api_keys`: keys of the whole organization."""

from typing import Annotated

from fastapi import APIRouter, Request

from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, deleted, listing
from ali.features.identity.http.authority import Id, over_organization
from ali.features.identity.http.inputs import place_of
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.roles import Permission
from ali.features.keys import lifecycle
from ali.features.keys.http.answers import admin_key
from ali.features.keys.http.bodies import NewAdminKey, restrictions
from ali.features.keys.queries import Scope

router = APIRouter(prefix="/v1/organization/admin_api_keys", tags=["administration"])

Reader = Annotated[Authority, over_organization(Permission.KEYS_READ)]
Keeper = Annotated[Authority, over_organization(Permission.ADMIN_KEYS_WRITE)]


@router.get("", summary="List admin API keys")
async def list_admin_api_keys(
    reader: Reader, transaction: Transaction, place: Annotated[Place, place_of(Kind.API_KEY)]
) -> Json:
    """The organization's own keys that are not revoked, without their secrets."""
    return listing(await lifecycle.listed(transaction, scope=_scope(reader), place=place), admin_key)


@router.post("", summary="Create an admin API key")
async def create_admin_api_key(keeper: Keeper, transaction: Transaction, request: Request, body: NewAdminKey) -> Json:
    """A new key, with its secret as `value`, this once. It belongs to whoever makes it, and ends with them."""
    issued = await lifecycle.issue(
        transaction,
        keeper,
        project_id=None,
        name=body.name,
        role=body.role,
        hmac_secret=request.app.state.hmac_secret,
        restrictions=restrictions(body, role=body.role),
    )
    owned = await lifecycle.found(transaction, scope=_scope(keeper), key_id=issued.key.id)
    return admin_key(owned) | {"value": issued.secret}


@router.get("/{key_id}", summary="Retrieve an admin API key")
async def retrieve_admin_api_key(reader: Reader, transaction: Transaction, key_id: Id) -> Json:
    """One key, without its secret."""
    return admin_key(await lifecycle.found(transaction, scope=_scope(reader), key_id=read(Kind.API_KEY, key_id)))


@router.delete("/{key_id}", summary="Delete an admin API key")
async def delete_admin_api_key(keeper: Keeper, transaction: Transaction, key_id: Id) -> Json:
    """The key is revoked: it opens nothing any more, in every process within a second."""
    gone = await lifecycle.revoke(transaction, keeper, scope=_scope(keeper), key_id=read(Kind.API_KEY, key_id))
    return deleted("organization.admin_api_key", named(Kind.API_KEY, gone.id))


def _scope(authority: Authority) -> Scope:
    return Scope(organization_id=authority.organization_id, project_id=None)
