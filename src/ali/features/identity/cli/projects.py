"""`ali projects`: the projects of an organization and their members."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity import members, projects
from ali.features.identity.authority import operator
from ali.features.identity.cli.terminal import (
    OrganizationOption,
    ProjectOption,
    in_transaction,
    print_table,
    the_organization,
    the_project,
    the_user,
)
from ali.features.identity.models import Project
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Place
from ali.features.identity.roles import ROLES
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look after projects and their members.")

ProjectArgument = Annotated[str, typer.Argument(help="The project's id, as `ali projects list` shows it.")]
UserArgument = Annotated[str, typer.Argument(help="A person's e-mail address or id.")]
_ALL = Place(limit=10_000)


@app.command("list")
def list_projects(
    *,
    organization: OrganizationOption = None,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
) -> None:
    """List an organization's projects."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        within = Project.organization_id == await the_organization(session, organization)
        page = await projects.listed(session, within=within, include_archived=archived, place=_ALL)
        return [
            [
                named(Kind.PROJECT, each.id),
                "active" if each.archived_at is None else "archived",
                f"{each.created_at:%Y-%m-%d}",
                each.name,
            ]
            for each in page.rows
        ]

    print_table(in_transaction(act))


@app.command("create")
def create(name: Annotated[str, typer.Argument(help="Its name.")], organization: OrganizationOption = None) -> None:
    """Create a project and print its id."""

    async def act(session: AsyncSession, _settings: Settings) -> Project:
        return await projects.create(session, operator(await the_organization(session, organization)), name=name)

    print(named(Kind.PROJECT, in_transaction(act).id))


@app.command("rename")
def rename(project: ProjectArgument, name: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Rename a project."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        await projects.rename(session, await the_project(session, project), name=name)

    in_transaction(act)
    print("Renamed.")


@app.command("archive")
def archive(project: ProjectArgument) -> None:
    """Archive a project for good. Its keys stop in every process within a second; its usage stays."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        await projects.archive(session, await the_project(session, project))

    in_transaction(act)
    print("Archived.")


@app.command("members")
def list_members(project: ProjectOption = None) -> None:
    """List a project's members."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        page = await members.listed(session, await the_project(session, project), place=_ALL)
        return [[named(Kind.USER, person.id), member.role, person.email] for member, person in page.rows]

    print_table(in_transaction(act))


@app.command("add-member")
def add_member(
    user: UserArgument,
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLES)}.")] = "member",
    project: ProjectOption = None,
) -> None:
    """Add a person of the organization to a project."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        reached = await the_project(session, project)
        person = await the_user(session, user)
        await members.add(session, reached, user_id=person.id, email=None, role=role)

    in_transaction(act)
    print("Added.")


@app.command("remove-member")
def remove_member(user: UserArgument, project: ProjectOption = None) -> None:
    """Remove a person from a project, and their keys' reach with them."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        person = await the_user(session, user)
        await members.remove(session, await the_project(session, project), user_id=person.id)

    in_transaction(act)
    print("Removed.")
