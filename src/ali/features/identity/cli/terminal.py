"""What commands of administration share: one transaction a verb, how things are named, and tables of text."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity.authority import operator
from ali.features.identity.models import Organization, Project, User
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.people import UserNotFound
from ali.features.identity.reach import ProjectNotFound, Reached
from ali.kernel.db import make_engine
from ali.kernel.errors import InvalidRequest, NotFound
from ali.kernel.settings import Settings

OrganizationOption = Annotated[
    str | None, typer.Option("--organization", help="The organization's id; unset: the only one there is.")
]
ProjectOption = Annotated[
    str | None, typer.Option("--project", help="The project's id; unset: the only active one there is.")
]
Result = TypeVar("Result")
Draft = TypeVar("Draft", bound=BaseModel)


def in_transaction(act: Callable[[AsyncSession, Settings], Awaitable[Result]]) -> Result:
    """One verb, one transaction, over the connection of the schema's owner, whom no wall of tenancy holds."""

    async def run() -> Result:
        settings = Settings()
        try:
            engine = make_engine(settings.database_dsn(), size=1)
        except FileNotFoundError as error:
            raise NotFound("There is no installation here yet. Start it once with `./run`.") from error
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                return await act(session, settings)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def the_organization(session: AsyncSession, text: str | None) -> UUID:
    """The organization named, or the only one. Raises `NotFound`, `InvalidRequest`."""
    if text is not None:
        wanted = identifier(Kind.ORGANIZATION, text)
        found = await session.scalar(select(Organization.id).where(Organization.id == wanted))
        if found is None:
            raise NotFound("There is no such organization. `ali organizations list` shows them.", param="organization")
        return found
    all_of_them = (await session.scalars(select(Organization.id).limit(2))).all()
    if len(all_of_them) != 1:
        raise InvalidRequest(
            "There is more than one organization, or none. Name it with --organization.", param="organization"
        )
    return all_of_them[0]


async def the_project(session: AsyncSession, text: str | None) -> Reached:
    """The project named, or the only active one, and the operator's authority there.

    Raises `ProjectNotFound`, `InvalidRequest`.
    """
    if text is not None:
        wanted = identifier(Kind.PROJECT, text)
        project = await session.scalar(select(Project).where(Project.id == wanted))
        if project is None:
            raise ProjectNotFound("There is no such project. `ali projects list` shows them.", param="project")
        return Reached(project=project, authority=operator(project.organization_id))
    active = (await session.scalars(select(Project).where(Project.archived_at.is_(None)).limit(2))).all()
    if len(active) != 1:
        raise InvalidRequest("There is more than one project, or none. Name it with --project.", param="project")
    return Reached(project=active[0], authority=operator(active[0].organization_id))


async def the_user(session: AsyncSession, text: str) -> User:
    """The person of an id or an e-mail address, which is known once in the installation. Raises `UserNotFound`."""
    matches = User.email == text.lower() if "@" in text else User.id == identifier(Kind.USER, text)
    user = await session.scalar(select(User).where(matches))
    if user is None:
        raise UserNotFound("There is no such person. `ali users list` shows them.", param="user")
    return user


def checked(model: type[Draft], given: dict[str, Any]) -> Draft:
    """What was given at the terminal, as the API would take it. Raises `InvalidRequest` that names the field."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{name}: {first['msg']}.", param=name) from error


def identifier(kind: Kind, text: str) -> UUID | None:
    """An identifier as it is printed, or as a plain UUID; None for anything else."""
    try:
        return read(kind, text) or UUID(text)
    except ValueError:
        return None


def print_table(rows: Sequence[Sequence[object]]) -> None:
    """Rows in columns as wide as their widest cell, two spaces between; nothing for no rows."""
    texts = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def project_name(project_id: UUID | None) -> str:
    """A project as commands print it; `-` for the whole organization."""
    return "-" if project_id is None else named(Kind.PROJECT, project_id)
