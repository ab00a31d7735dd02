"""`ali organizations`: the installation's customers."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.identity import organizations
from ali.features.identity.cli.terminal import OrganizationOption, in_transaction, print_table, the_organization
from ali.features.identity.models import Organization, Project
from ali.features.identity.naming import Kind, named
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, create and show organizations.")


@app.command("list")
def list_organizations() -> None:
    """List the organizations of this installation."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        return [
            [named(Kind.ORGANIZATION, each.id), f"{each.created_at:%Y-%m-%d}", each.name]
            for each in await organizations.listed(session)
        ]

    print_table(in_transaction(act))


@app.command("create")
def create(name: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Create an organization and its first project. `ali users invite` and `ali keys issue` let somebody in."""

    async def act(session: AsyncSession, _settings: Settings) -> tuple[Organization, Project]:
        return await organizations.create(session, name=name, actor=Actor(kind="operator"))

    organization, project = in_transaction(act)
    print(named(Kind.ORGANIZATION, organization.id))
    print(named(Kind.PROJECT, project.id))


@app.command("show")
def show(organization: OrganizationOption = None) -> None:
    """Show an organization."""

    async def act(session: AsyncSession, _settings: Settings) -> tuple[Organization, int, int]:
        found = await the_organization(session, organization)
        return await organizations.counted(session, organization_id=found)

    found, projects, people = in_transaction(act)
    print_table(
        [
            ["id", named(Kind.ORGANIZATION, found.id)],
            ["name", found.name],
            ["created", f"{found.created_at:%Y-%m-%d}"],
            ["projects", projects],
            ["people", people],
        ]
    )
