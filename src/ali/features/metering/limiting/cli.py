"""`ali limits`: how much an organization, a project, a key or a person may send."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.identity import Organization
from ali.features.metering.limiting import lifecycle
from ali.features.metering.limiting.drafts import FIGURES, LimitChange, LimitDraft, limit_name, owner_name, read_limit
from ali.features.metering.limiting.lifecycle import Reach
from ali.features.metering.models import RateLimit
from ali.kernel.db import make_engine
from ali.kernel.errors import InvalidRequest, NotFound
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Set and show rate limits.")

_OPERATOR = Actor(kind="operator")

OrganizationOption = Annotated[
    UUID | None, typer.Option("--organization", help="The organization's id; unset: the only one there is.")
]
Number = Annotated[int | None, typer.Option(min=0, help="Unset: as it is, or no such limit.")]
Result = TypeVar("Result")
Draft = TypeVar("Draft", bound=BaseModel)


@app.command("list")
def list_limits(organization: OrganizationOption = None) -> None:
    """List rate limits, newest first."""

    async def act(session: AsyncSession) -> list[str]:
        reach = await _reach(session, organization)
        found = await lifecycle.listed(session, reach=reach, after=None, limit=lifecycle.MOST_LIMITS)
        return [_line(limit) for limit in found]

    for line in _in_transaction(act):
        print(line)


@app.command("set")
def set_limit(
    *,
    scope: Annotated[str, typer.Option(help="Whom it limits: organization, project, key or user.")] = "organization",
    of: Annotated[
        str | None, typer.Option(help="The id of that project, key or user; unset: each one by itself.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's name, or the beginning of names and a *; unset: all models.")
    ] = None,
    requests_per_minute: Number = None,
    tokens_per_minute: Number = None,
    concurrent_streams: Number = None,
    organization: OrganizationOption = None,
) -> None:
    """Set a rate limit, or change the one of that scope and model, in every process within a second."""
    given = dict(zip(FIGURES, (requests_per_minute, tokens_per_minute, concurrent_streams), strict=True))
    figures = {figure: number for figure, number in given.items() if number is not None}
    named = _named(scope, of) if of is not None else None

    async def act(session: AsyncSession) -> str:
        reach = await _reach(session, organization)
        draft = _checked(LimitDraft, {"scope": {"kind": scope, "id": named}, "model": model, **figures})
        there = await lifecycle.find_like(session, draft, reach=reach)
        if there is None:
            return _line(await lifecycle.create(session, draft, reach=reach, actor=_OPERATOR))
        change = _checked(LimitChange, figures)
        return _line(await lifecycle.change(session, there.id, change, reach=reach, actor=_OPERATOR))

    print(_in_transaction(act))


@app.command("delete")
def delete(
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="The limit's id, as `ali limits list` shows it.")],
    organization: OrganizationOption = None,
) -> None:
    """Delete a rate limit, in every process within a second."""

    async def act(session: AsyncSession) -> None:
        reach = await _reach(session, organization)
        await lifecycle.remove(session, read_limit(limit), reach=reach, actor=_OPERATOR)

    _in_transaction(act)
    print("Deleted.")


def _line(limit: RateLimit) -> str:
    whom = owner_name(limit.scope, limit.scope_id) if limit.scope_id is not None else f"each {limit.scope}"
    figures = [(figure, getattr(limit, figure)) for figure in FIGURES]
    said = ", ".join(f"{number} {figure.replace('_', ' ')}" for figure, number in figures if number is not None)
    return f"{limit_name(limit.id)}  {whom:<37} {limit.model or 'all models':<16} {said}"


def _named(scope: str, of: str) -> str:
    """The identifier given, or, where it is a plain UUID as other commands print it, in its full form."""
    try:
        return owner_name(scope, UUID(of))
    except (ValueError, KeyError):
        return of


def _checked(model: type[Draft], given: dict[str, Any]) -> Draft:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{name}: {first['msg']}.", param=name) from error


def _in_transaction(act: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """One verb, one transaction."""

    async def run() -> Result:
        try:
            engine = make_engine(Settings().database_dsn(), size=1)
        except FileNotFoundError as error:
            raise NotFound("There is no installation here yet. Start it once with `./run`.") from error
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                return await act(session)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def _reach(session: AsyncSession, organization: UUID | None) -> Reach:
    """The organization named, or the only one. Raises `NotFound` or `InvalidRequest`."""
    wanted = select(Organization.id).limit(2)
    if organization is not None:
        wanted = wanted.where(Organization.id == organization)
    found = (await session.scalars(wanted)).all()
    if not found:
        raise NotFound("There is no such organization, or none yet.", param="organization")
    if len(found) > 1:
        raise InvalidRequest("There is more than one organization. Name it with --organization.", param="organization")
    return Reach(organization_id=found[0])
