"""`ali responses`: which responses a project keeps, and how they stand. What was said in them is not shown."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.conversations.cli import home_of
from ali.features.identity.cli.terminal import ProjectOption, identifier, in_transaction, print_table
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Place
from ali.features.responses import library
from ali.features.responses.models import StoredResponse
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, show and delete responses.")

ResponseArgument = Annotated[
    str, typer.Argument(metavar="RESPONSE", help="The response's id, as `ali responses list` shows it.")
]


@app.command("list")
def list_responses(
    *,
    project: ProjectOption = None,
    most: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 100,
) -> None:
    """List the responses that a project keeps, the newest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        place = Place(limit=most, descending=True)
        page = await library.listed(session, home=await home_of(session, project), place=place)
        return [
            [
                named(Kind.RESPONSE, each.id),
                f"{each.created_at:%Y-%m-%d %H:%M}",
                each.status,
                "background" if each.background else "",
            ]
            for each in page.rows
        ]

    print_table(in_transaction(act))


@app.command("show")
def show(response: ResponseArgument, project: ProjectOption = None) -> None:
    """Show how one response stands."""

    async def act(session: AsyncSession, _settings: Settings) -> StoredResponse:
        return await library.found(session, identifier(Kind.RESPONSE, response), home=await home_of(session, project))

    found = in_transaction(act)
    print(f"response      {named(Kind.RESPONSE, found.id)}")
    print(f"created       {found.created_at:%Y-%m-%d %H:%M}")
    print(f"status        {found.status}")
    print(f"background    {'yes' if found.background else 'no'}")
    if found.previous_id is not None:
        print(f"goes on from  {named(Kind.RESPONSE, found.previous_id)}")
    if found.conversation_id is not None:
        print(f"conversation  {named(Kind.CONVERSATION, found.conversation_id)}")


@app.command("delete")
def delete(response: ResponseArgument, project: ProjectOption = None) -> None:
    """Delete a response with what it was asked and what came out. What goes on from it is refused from then on."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        home = await home_of(session, project)
        await library.remove(session, identifier(Kind.RESPONSE, response), home=home, actor=Actor(kind="operator"))

    in_transaction(act)
    print("Deleted.")
