"""`ali budgets`: what an organization, a project, a key or a person may spend."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.identity.cli.terminal import OrganizationOption, checked, in_transaction, the_organization
from ali.features.identity.paging import Place
from ali.features.metering.budgets import lifecycle
from ali.features.metering.budgets.drafts import BudgetChange, BudgetDraft
from ali.features.metering.budgets.lifecycle import BudgetState
from ali.features.metering.budgets.naming import budget_name, read_budget
from ali.features.metering.budgets.webhook import secret_of
from ali.features.metering.scopes import KINDS, Reach, in_full, scope_name
from ali.kernel.errors import InvalidRequest
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Set and show budgets.")

_OPERATOR = Actor(kind="operator")

BudgetArgument = Annotated[
    str, typer.Argument(metavar="BUDGET", help="The budget's id, as `ali budgets list` shows it.")
]
Warns = Annotated[
    list[int] | None, typer.Option("--warn", help="Per cent of the limit whose crossing is told; may be repeated.")
]


@app.command("create")
def create(
    *,
    limit_usd: Annotated[str, typer.Option(help="US dollars a period, as in 30 or 0.50.")],
    scope: Annotated[str, typer.Option(help=f"What it is of: {', '.join(KINDS)}.")] = "organization",
    of: Annotated[
        str | None, typer.Option(help="The id of that project, key or person; unset: the organization itself.")
    ] = None,
    period: Annotated[str, typer.Option(help="day or month, in UTC.")] = "month",
    mode: Annotated[str, typer.Option(help="hard: refuses what does not fit; soft: only tells.")] = "hard",
    warn: Warns = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where crossings are posted.")] = None,
    organization: OrganizationOption = None,
) -> None:
    """Create a budget; it starts from what its period has seen already. Prints its id."""
    given: dict[str, Any] = {"period": period, "mode": mode, "limit_microusd": _microusd(limit_usd)}
    if warn:
        given["warn_percents"] = warn

    async def act(session: AsyncSession, _settings: Settings) -> BudgetState:
        reach = await _reach(session, organization)
        named = of or scope_name(scope, reach.organization_id) if scope == "organization" else in_full(scope, of or "")
        draft = checked(BudgetDraft, {**given, "scope": {"kind": scope, "id": named}, "webhook_url": webhook_url})
        return await lifecycle.create(session, draft, reach=reach, actor=_OPERATOR, now=datetime.now(UTC))

    print(budget_name(in_transaction(act).budget.id))


@app.command("list")
def list_budgets(organization: OrganizationOption = None) -> None:
    """List budgets and how their present periods stand, oldest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[str]:
        reach, now = await _reach(session, organization), datetime.now(UTC)
        place = Place(limit=lifecycle.MOST_BUDGETS)
        return [_line(state) for state in (await lifecycle.listed(session, reach=reach, now=now, place=place)).rows]

    for line in in_transaction(act):
        print(line)


@app.command("show")
def show(budget: BudgetArgument, organization: OrganizationOption = None) -> None:
    """Show one budget and how its present period stands."""

    async def act(session: AsyncSession, _settings: Settings) -> BudgetState:
        reach = await _reach(session, organization)
        return await lifecycle.read(session, read_budget(budget), reach=reach, now=datetime.now(UTC))

    state = in_transaction(act)
    made = state.budget
    print(f"budget     {budget_name(made.id)}")
    print(f"scope      {scope_name(made.scope_kind, made.scope_id)}")
    print(f"limit      ${_usd(made.limit_microusd)} a {made.period}, {made.mode}")
    print(f"spent      ${_usd(state.spent_microusd)} since {state.span.start:%Y-%m-%d}, UTC")
    print(f"reserved   ${_usd(state.reserved_microusd)}")
    print(f"remaining  ${_usd(state.remaining_microusd)} until {state.span.end:%Y-%m-%d}")
    print(f"warns at   {', '.join(f'{percent} %' for percent in made.warn_percents) or 'nothing'}")
    print(f"webhook    {made.webhook_url or 'none'}")


@app.command("change")
def change(
    budget: BudgetArgument,
    *,
    limit_usd: Annotated[str | None, typer.Option(help="US dollars a period.")] = None,
    mode: Annotated[str | None, typer.Option(help="hard or soft.")] = None,
    warn: Warns = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where crossings are posted; empty: nowhere.")] = None,
    organization: OrganizationOption = None,
) -> None:
    """Change a budget, in every process within a second. What is left out stays."""
    given: dict[str, Any] = {"limit_microusd": _microusd(limit_usd) if limit_usd else None, "mode": mode}
    given = {name: value for name, value in given.items() if value is not None}
    if warn:
        given["warn_percents"] = warn
    if webhook_url is not None:
        given["webhook_url"] = webhook_url or None

    async def act(session: AsyncSession, _settings: Settings) -> BudgetState:
        reach = await _reach(session, organization)
        wanted, found = checked(BudgetChange, given), read_budget(budget)
        return await lifecycle.change(session, found, wanted, reach=reach, actor=_OPERATOR, now=datetime.now(UTC))

    print(_line(in_transaction(act)))


@app.command("delete")
def delete(budget: BudgetArgument, organization: OrganizationOption = None) -> None:
    """Delete a budget and what it has counted. Usage records stay."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        reach = await _reach(session, organization)
        await lifecycle.remove(session, read_budget(budget), reach=reach, actor=_OPERATOR)

    in_transaction(act)
    print("Deleted.")


@app.command("webhook-secret")
def webhook_secret(organization: OrganizationOption = None) -> None:
    """Print the secret with which receivers check that a message is from this service."""

    async def act(session: AsyncSession, settings: Settings) -> str:
        return secret_of((await _reach(session, organization)).organization_id, hmac_secret=settings.hmac_secret())

    print(in_transaction(act))


def _line(state: BudgetState) -> str:
    made = state.budget
    return (
        f"{budget_name(made.id)}  {scope_name(made.scope_kind, made.scope_id):<40} {made.mode} "
        f"${_usd(state.spent_microusd)} of ${_usd(made.limit_microusd)} this {made.period}"
    )


def _usd(microusd: int) -> str:
    """Micro-dollars as dollars, to the cent, or as finely as they are."""
    digits = f"{Decimal(microusd) / 1_000_000:.6f}".rstrip("0")
    whole, _, rest = digits.partition(".")
    return f"{whole}.{rest:0<2}"


def _microusd(usd: str) -> int:
    try:
        microusd = Decimal(usd) * 1_000_000
        if microusd != int(microusd):
            raise InvalidRequest("A limit is no finer than a millionth of a dollar.", param="limit-usd")
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise InvalidRequest(f"--limit-usd takes dollars, as in 30 or 0.50, and not {usd!r}.") from error
    return int(microusd)


async def _reach(session: AsyncSession, organization: str | None) -> Reach:
    return Reach(organization_id=await the_organization(session, organization))
