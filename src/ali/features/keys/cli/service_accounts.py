"""`ali service-accounts`: programs of a project."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity.cli.terminal import ProjectOption, identifier, in_transaction, print_table, the_project
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Place
from ali.features.identity.roles import ROLES
from ali.features.keys import service_accounts
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, create and delete service accounts.")


@app.command("list")
def list_accounts(project: ProjectOption = None) -> None:
    """List a project's service accounts."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        reached = await the_project(session, project)
        page = await service_accounts.listed(session, reached, place=Place(limit=10_000))
        return [
            [named(Kind.SERVICE_ACCOUNT, each.id), each.role, f"{each.created_at:%Y-%m-%d}", each.name]
            for each in page.rows
        ]

    print_table(in_transaction(act))


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the program is.")],
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLES)}.")] = "member",
    project: ProjectOption = None,
) -> None:
    """Create a service account, and print its id and its first key. The key is shown this once."""

    async def act(session: AsyncSession, settings: Settings) -> service_accounts.CreatedAccount:
        reached = await the_project(session, project)
        return await service_accounts.create(session, reached, name=name, role=role, hmac_secret=settings.hmac_secret())

    made = in_transaction(act)
    print(named(Kind.SERVICE_ACCOUNT, made.account.id))
    if made.issued is not None:
        print(made.issued.secret)


@app.command("delete")
def delete(
    account: Annotated[str, typer.Argument(help="The account's id, as `ali service-accounts list` shows it.")],
    project: ProjectOption = None,
) -> None:
    """Delete a service account and its keys."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        reached = await the_project(session, project)
        await service_accounts.remove(session, reached, account_id=identifier(Kind.SERVICE_ACCOUNT, account))

    in_transaction(act)
    print("Deleted.")
