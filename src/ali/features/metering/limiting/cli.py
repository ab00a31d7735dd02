"""`ali limits`: how much an organization, a project, a key or a person may send."""

from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.identity.cli.terminal import OrganizationOption, checked, in_transaction, the_organization
from ali.features.identity.paging import Place
from ali.features.metering.limiting import lifecycle
from ali.features.metering.limiting.drafts import FIGURES, LimitChange, LimitDraft, limit_name, read_limit
from ali.features.metering.models import RateLimit
from ali.features.metering.scopes import Reach, in_full, scope_name
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Set and show rate limits.")

_OPERATOR = Actor(kind="operator")

Number = Annotated[int | None, typer.Option(min=0, help="Unset: as it is, or no such limit.")]


@app.command("list")
def list_limits(organization: OrganizationOption = None) -> None:
    """List rate limits, newest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[str]:
        reach = await _reach(session, organization)
        place = Place(limit=lifecycle.MOST_LIMITS, descending=True)
        return [_line(limit) for limit in (await lifecycle.listed(session, reach=reach, place=place)).rows]

    for line in in_transaction(act):
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
    named = in_full(scope, of) if of is not None else None

    async def act(session: AsyncSession, _settings: Settings) -> str:
        reach = await _reach(session, organization)
        draft = checked(LimitDraft, {"scope": {"kind": scope, "id": named}, "model": model, **figures})
        there = await lifecycle.find_like(session, draft, reach=reach)
        if there is None:
            return _line(await lifecycle.create(session, draft, reach=reach, actor=_OPERATOR))
        change = checked(LimitChange, figures)
        return _line(await lifecycle.change(session, there.id, change, reach=reach, actor=_OPERATOR))

    print(in_transaction(act))


@app.command("delete")
def delete(
    limit: Annotated[str, typer.Argument(metavar="LIMIT", help="The limit's id, as `ali limits list` shows it.")],
    organization: OrganizationOption = None,
) -> None:
    """Delete a rate limit, in every process within a second."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        reach = await _reach(session, organization)
        await lifecycle.remove(session, read_limit(limit), reach=reach, actor=_OPERATOR)

    in_transaction(act)
    print("Deleted.")


def _line(limit: RateLimit) -> str:
    whom = scope_name(limit.scope, limit.scope_id) if limit.scope_id is not None else f"each {limit.scope}"
    figures = [(figure, getattr(limit, figure)) for figure in FIGURES]
    said = ", ".join(f"{number} {figure.replace('_', ' ')}" for figure, number in figures if number is not None)
    return f"{limit_name(limit.id)}  {whom:<37} {limit.model or 'all models':<16} {said}"


async def _reach(session: AsyncSession, organization: str | None) -> Reach:
    return Reach(organization_id=await the_organization(session, organization))
