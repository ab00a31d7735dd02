"""`/v1/organization/projects/{project_id}/users`: who is in a project, and as what."""

from typing import Annotated

from fastapi import APIRouter

from ali.features.identity import members
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, deleted, listing, member
from ali.features.identity.http.authority import Id, in_project
from ali.features.identity.http.inputs import Body, Email, Role, place_of
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.reach import Reached
from ali.features.identity.roles import Permission
from ali.kernel.errors import InvalidRequest

router = APIRouter(prefix="/v1/organization/projects/{project_id}/users", tags=["administration"])

Reader = Annotated[Reached, in_project(Permission.PROJECTS_READ)]
Keeper = Annotated[Reached, in_project(Permission.PROJECTS_WRITE)]


class NewMember(Body):
    """Somebody of the organization, by id or e-mail address."""

    user_id: str | None = None
    email: Email | None = None
    role: Role


class MemberRole(Body):
    """What a member is to be."""

    role: Role


@router.get("", summary="List a project's users")
async def list_project_users(
    reached: Reader, transaction: Transaction, place: Annotated[Place, place_of(Kind.USER)]
) -> Json:
    """The project's members."""
    return listing(await members.listed(transaction, reached, place=place), member)


@router.post("", summary="Add a user to a project")
async def add_project_user(reached: Keeper, transaction: Transaction, body: NewMember) -> Json:
    """A person of the organization, made a member."""
    if (body.user_id is None) == (body.email is None):
        raise InvalidRequest("Name the person by user_id or by email, not both.", param="user_id")
    user_id = None if body.user_id is None else read(Kind.USER, body.user_id)
    return member(await members.add(transaction, reached, user_id=user_id, email=body.email, role=body.role))


@router.get("/{user_id}", summary="Retrieve a project's user")
async def retrieve_project_user(reached: Reader, transaction: Transaction, user_id: Id) -> Json:
    """One member."""
    return member(await members.found(transaction, reached, user_id=read(Kind.USER, user_id)))


@router.post("/{user_id}", summary="Modify a project's user")
async def modify_project_user(reached: Keeper, transaction: Transaction, user_id: Id, body: MemberRole) -> Json:
    """A member with another role."""
    return member(await members.set_role(transaction, reached, user_id=read(Kind.USER, user_id), role=body.role))


@router.delete("/{user_id}", summary="Remove a user from a project")
async def remove_project_user(reached: Keeper, transaction: Transaction, user_id: Id) -> Json:
    """The membership ends; the person stays in the organization."""
    gone = await members.remove(transaction, reached, user_id=read(Kind.USER, user_id))
    return deleted("organization.project.user", named(Kind.USER, gone))
