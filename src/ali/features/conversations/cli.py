"""`ali conversations`: which conversations a project keeps. What was said in them is not shown."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.conversations import lifecycle
from ali.features.conversations.lifecycle import Home
from ali.features.conversations.models import Conversation
from ali.features.identity.cli.terminal import ProjectOption, identifier, in_transaction, print_table, the_project
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Place
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, show and delete conversations.")

ConversationArgument = Annotated[
    str, typer.Argument(metavar="CONVERSATION", help="The conversation's id, as `ali conversations list` shows it.")
]


@app.command("list")
def list_conversations(
    *,
    project: ProjectOption = None,
    most: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 100,
) -> None:
    """List a project's conversations, the newest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        place = Place(limit=most, descending=True)
        page = await lifecycle.listed(session, home=await home_of(session, project), place=place)
        return [[named(Kind.CONVERSATION, each.id), f"{each.created_at:%Y-%m-%d %H:%M}"] for each in page.rows]

    print_table(in_transaction(act))


@app.command("show")
def show(conversation: ConversationArgument, project: ProjectOption = None) -> None:
    """Show one conversation: when it was made, its metadata, and how many items it has."""

    async def act(session: AsyncSession, _settings: Settings) -> tuple[Conversation, int]:
        home = await home_of(session, project)
        found = await lifecycle.found(session, identifier(Kind.CONVERSATION, conversation), home=home)
        return found, await lifecycle.count_items(session, found)

    found, items = in_transaction(act)
    print(f"conversation  {named(Kind.CONVERSATION, found.id)}")
    print(f"created       {found.created_at:%Y-%m-%d %H:%M}")
    print(f"items         {items}")
    for name, value in found.tags.items():
        print(f"metadata      {name!r}: {value!r}")


@app.command("delete")
def delete(conversation: ConversationArgument, project: ProjectOption = None) -> None:
    """Delete a conversation with its items. Responses that were made in it stay."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        home = await home_of(session, project)
        found = identifier(Kind.CONVERSATION, conversation)
        await lifecycle.remove(session, found, home=home, actor=Actor(kind="operator"))

    in_transaction(act)
    print("Deleted.")


async def home_of(session: AsyncSession, project: str | None) -> Home:
    """The project that a command is for: the one it names, or the only one."""
    found = (await the_project(session, project)).project
    return Home(organization_id=found.organization_id, project_id=found.id)
