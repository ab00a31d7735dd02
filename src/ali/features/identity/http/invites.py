"""`/v1/organization/invites`: asking people in. Accepting is the invited person's (`/v1/ali/auth`)."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Request
from pydantic import Field

from ali.features.identity import acceptance, invitations, members, reach
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.answers import Json, deleted, invite, listing
from ali.features.identity.http.authority import Id, over_organization
from ali.features.identity.http.desk import AtDesk
from ali.features.identity.http.inputs import Body, Email, Role, organization_role, place_of
from ali.features.identity.letters import language_for
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.principal import Principal
from ali.features.identity.roles import Permission

router = APIRouter(prefix="/v1/organization/invites", tags=["administration"])

Reader = Annotated[Authority, over_organization(Permission.USERS_READ)]
Keeper = Annotated[Authority, over_organization(Permission.USERS_WRITE)]


class InvitedProject(Body):
    """A membership that acceptance brings."""

    id: Annotated[str, Field(max_length=100)]
    role: Role


class NewInvite(Body):
    """Whom to ask in, as what, and into which projects."""

    email: Email
    role: Role
    projects: Annotated[tuple[InvitedProject, ...], Field(max_length=100)] = ()


@router.get("", summary="List invites")
async def list_invites(
    reader: Reader, transaction: Transaction, place: Annotated[Place, place_of(Kind.INVITE)]
) -> Json:
    """The organization's invitations: pending, accepted and expired."""
    return listing(await invitations.listed(transaction, reader, place=place), invite)


@router.post("", summary="Create an invite")
async def create_invite(
    *,
    keeper: Keeper,
    inviter: Annotated[Principal, requires(Permission.USERS_WRITE)],
    actor: Acting,
    transaction: Transaction,
    desk: AtDesk,
    request: Request,
    background: BackgroundTasks,
    body: NewInvite,
) -> Json:
    """An invitation, good for a week and for one person.

    Where the service can send mail, the link goes to its address alone. Otherwise `ali_link_token` is in the answer,
    this once, for the inviter to pass on.
    """
    grants = {}
    for wanted in body.projects:
        reached = await reach.in_project(
            transaction,
            inviter,
            project_id=read(Kind.PROJECT, wanted.id),
            permission=Permission.PROJECTS_WRITE,
            actor=actor,
        )
        reached.require_active()
        members.require_may_give(reached.authority, wanted.role)
        grants[reached.project.id] = invitations.Grant(project_id=reached.project.id, role=wanted.role)
    sent = await invitations.create(
        transaction,
        keeper,
        email=body.email,
        role=organization_role(body.role),
        grants=list(grants.values()),
        hmac_secret=desk.hmac_secret,
    )
    if desk.mailer is None:
        return invite(sent.invite) | {"ali_link_token": sent.token}
    language = language_for(request.headers.get("accept-language"))
    background.add_task(acceptance.posting(desk, language=language), sent)
    return invite(sent.invite)


@router.get("/{invite_id}", summary="Retrieve an invite")
async def retrieve_invite(reader: Reader, transaction: Transaction, invite_id: Id) -> Json:
    """One invitation."""
    return invite(await invitations.found(transaction, reader, invite_id=read(Kind.INVITE, invite_id)))


@router.delete("/{invite_id}", summary="Delete an invite")
async def delete_invite(keeper: Keeper, transaction: Transaction, invite_id: Id) -> Json:
    """The link opens nothing any more. One that was accepted stays."""
    gone = await invitations.withdraw(transaction, keeper, invite_id=read(Kind.INVITE, invite_id))
    return deleted("organization.invite", named(Kind.INVITE, gone))
