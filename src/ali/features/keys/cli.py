"""`ali keys`: issue, list and revoke the API keys of a project."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity import ROLES, Project
from ali.features.keys import lifecycle
from ali.kernel.db import make_engine
from ali.kernel.errors import InvalidRequest, NotFound
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Issue, list and revoke API keys.")

ProjectOption = Annotated[
    UUID | None, typer.Option("--project", help="The project's id; unset: the only project there is.")
]
Result = TypeVar("Result")


@app.command("issue")
def issue(
    name: Annotated[str, typer.Option(help="What the key is for.")] = "Unnamed key",
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLES)}.")] = "member",
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=3650, help="Unset: never.")] = None,
    project: ProjectOption = None,
) -> None:
    """Issue an API key and print it. It is shown this once."""
    expires_at = datetime.now(UTC) + timedelta(days=expires_in_days) if expires_in_days else None

    async def act(session: AsyncSession, settings: Settings) -> lifecycle.IssuedKey:
        return await lifecycle.issue(
            session,
            project_id=await _project(session, project),
            name=name,
            role=role,
            hmac_secret=settings.hmac_secret(),
            expires_at=expires_at,
        )

    print(_in_transaction(act).secret)


@app.command("list")
def list_keys(project: ProjectOption = None) -> None:
    """List a project's API keys, newest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[str]:
        keys = await lifecycle.listed(session, project_id=await _project(session, project))
        return [
            f"{key.id}  …{key.hint}  {key.role:<8} {'revoked' if key.revoked_at else 'active':<8} "
            f"{key.created_at:%Y-%m-%d}  {key.name}"
            for key in keys
        ]

    for line in _in_transaction(act):
        print(line)


@app.command("revoke")
def revoke(key: Annotated[UUID, typer.Argument(help="The key's id, as `ali keys list` shows it.")]) -> None:
    """Revoke an API key, in every process within a second."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        await lifecycle.revoke(session, key_id=key)

    _in_transaction(act)
    print("Revoked.")


def _in_transaction(act: Callable[[AsyncSession, Settings], Awaitable[Result]]) -> Result:
    """One verb, one transaction."""

    async def run() -> Result:
        settings = Settings()
        try:
            engine = make_engine(settings.database_dsn(), size=1)
        except FileNotFoundError as error:
            raise NotFound("There is no installation here yet. Start it once with `./run`.") from error
        try:
            async with AsyncSession(engine) as session, session.begin():
                return await act(session, settings)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def _project(session: AsyncSession, project: UUID | None) -> UUID:
    """The project named, or the only one."""
    if project is not None:
        return project
    found = (await session.scalars(select(Project.id).where(Project.archived_at.is_(None)).limit(2))).all()
    if len(found) != 1:
        raise InvalidRequest("There is more than one project, or none. Name it with --project.", param="project")
    return found[0]
