"""`ali users`: the people of an organization."""

import sys
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity import invitations, people
from ali.features.identity.authority import operator
from ali.features.identity.cli.terminal import (
    OrganizationOption,
    in_transaction,
    print_table,
    the_organization,
    the_project,
    the_user,
)
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Place
from ali.features.identity.roles import ROLES
from ali.kernel.errors import InvalidRequest
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Invite, list, change and remove people.")

UserArgument = Annotated[str, typer.Argument(help="A person's e-mail address or id.")]
RoleOption = Annotated[str, typer.Option("--role", help=f"One of: {', '.join(ROLES)}.")]


@app.command("list")
def list_users(organization: OrganizationOption = None) -> None:
    """List an organization's people."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        authority = operator(await the_organization(session, organization))
        page = await people.listed(session, authority, place=Place(limit=10_000))
        return [
            [
                named(Kind.USER, each.id),
                each.role,
                "active" if each.disabled_at is None else "disabled",
                f"{each.created_at:%Y-%m-%d}",
                each.email,
            ]
            for each in page.rows
        ]

    print_table(in_transaction(act))


@app.command("invite")
def invite(
    email: Annotated[str, typer.Argument(help="The address of whom to invite.")],
    role: RoleOption = "member",
    project: Annotated[
        list[str] | None, typer.Option("--project", help="A project to make them a member of; may be repeated.")
    ] = None,
    organization: OrganizationOption = None,
) -> None:
    """Invite a person, and print their one-time link. It is shown this once, and is good for a week."""
    if not invitations.EMAIL.fullmatch(email) or len(email) > invitations.LONGEST_EMAIL:
        raise InvalidRequest("This is no e-mail address.", param="email")

    async def act(session: AsyncSession, settings: Settings) -> str:
        authority = operator(await the_organization(session, organization))
        grants = []
        for wanted in project or ():
            reached = await the_project(session, wanted)
            reached.require_active()
            grants.append(invitations.Grant(project_id=reached.project.id, role="member"))
        sent = await invitations.create(
            session,
            authority,
            email=email.lower(),
            role=role,
            grants=grants,
            hmac_secret=settings.hmac_secret(),
        )
        return invitations.link(settings.address, sent.token)

    link = in_transaction(act)
    print("Pass this on to the person whom you invite; it opens an account once:", file=sys.stderr)
    print(link)


@app.command("set-role")
def set_role(user: UserArgument, role: Annotated[str, typer.Argument(help="The new role.")]) -> None:
    """Give a person another role in the whole organization."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        person = await the_user(session, user)
        await people.set_role(session, operator(person.organization_id), user_id=person.id, role=role)

    in_transaction(act)
    print("Changed.")


@app.command("remove")
def remove(user: UserArgument) -> None:
    """Remove a person, with their memberships and keys."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        person = await the_user(session, user)
        await people.remove(session, operator(person.organization_id), user_id=person.id)

    in_transaction(act)
    print("Removed.")


@app.command("disable")
def disable(user: UserArgument) -> None:
    """Lock a person out, and their keys with them, until they are enabled again."""
    _set_disabled(user, disabled=True)
    print("Disabled.")


@app.command("enable")
def enable(user: UserArgument) -> None:
    """Let a person in again who was disabled."""
    _set_disabled(user, disabled=False)
    print("Enabled.")


def _set_disabled(user: str, *, disabled: bool) -> None:
    async def act(session: AsyncSession, _settings: Settings) -> None:
        person = await the_user(session, user)
        authority = operator(person.organization_id)
        await people.set_disabled(session, authority, user_id=person.id, disabled=disabled)

    in_transaction(act)
