"""`/v1/organization/users`: the organization's people."""

from typing import Annotated

from fastapi import APIRouter

from ali.features.identity import people
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, deleted, listing, user
from ali.features.identity.http.authority import Id, over_organization
from ali.features.identity.http.inputs import Body, Role, listed, organization_role, place_of
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.roles import Permission
from ali.kernel.errors import InvalidRequest

router = APIRouter(prefix="/v1/organization/users", tags=["administration"])

Reader = Annotated[Authority, over_organization(Permission.USERS_READ)]
Keeper = Annotated[Authority, over_organization(Permission.USERS_WRITE)]


class UserChange(Body):
    """What a person is to be. `disabled` is Ali's own: locked out, and their keys with them."""

    role: Role | None = None
    disabled: bool | None = None


@router.get("", summary="List users")
async def list_users(
    reader: Reader,
    transaction: Transaction,
    place: Annotated[Place, place_of(Kind.USER)],
    emails: Annotated[list[str], listed("emails")],
) -> Json:
    """The organization's people, or those with one of `emails`."""
    return listing(await people.listed(transaction, reader, place=place, emails=emails), user)


@router.get("/{user_id}", summary="Retrieve a user")
async def retrieve_user(reader: Reader, transaction: Transaction, user_id: Id) -> Json:
    """One person."""
    return user(await people.found(transaction, reader, user_id=read(Kind.USER, user_id)))


@router.post("/{user_id}", summary="Modify a user")
async def modify_user(keeper: Keeper, transaction: Transaction, user_id: Id, body: UserChange) -> Json:
    """A person with another role, or locked out or in."""
    if body.role is None and body.disabled is None:
        raise InvalidRequest("Name what is to change: role, disabled, or both.", param="role")
    person = read(Kind.USER, user_id)
    if body.role is not None:
        await people.set_role(transaction, keeper, user_id=person, role=organization_role(body.role))
    if body.disabled is not None:
        await people.set_disabled(transaction, keeper, user_id=person, disabled=body.disabled)
    return user(await people.found(transaction, keeper, user_id=person))


@router.delete("/{user_id}", summary="Delete a user")
async def delete_user(keeper: Keeper, transaction: Transaction, user_id: Id) -> Json:
    """The person's account ends, with their memberships and keys."""
    gone = await people.remove(transaction, keeper, user_id=read(Kind.USER, user_id))
    return deleted("organization.user", named(Kind.USER, gone))
