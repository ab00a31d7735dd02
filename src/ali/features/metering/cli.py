"""`ali usage` and `ali costs`: what was used, and what it cost."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity import Project
from ali.features.identity.cli.terminal import (
    OrganizationOption,
    identifier,
    in_transaction,
    print_table,
    the_organization,
)
from ali.features.identity.naming import Kind, named
from ali.features.metering.usage import Filters, Span, Sums, aligned_start, summed, usd
from ali.kernel.settings import Settings

Days = Annotated[int, typer.Option(min=1, max=180, help="How many days of UTC, today included.")]
ProjectFilter = Annotated[str | None, typer.Option("--project", help="The project's id; unset: all of them.")]
UsageGroup = Literal["model", "project_id", "user_id", "api_key_id"]
CostGroup = Literal["line_item", "project_id", "user_id", "api_key_id"]

_KINDS = {"project_id": Kind.PROJECT, "user_id": Kind.USER, "api_key_id": Kind.API_KEY}


def usage(
    *,
    days: Days = 7,
    group_by: Annotated[UsageGroup, typer.Option(help="What to tell apart within a day.")] = "model",
    project: ProjectFilter = None,
    organization: OrganizationOption = None,
) -> None:
    """Show requests and tokens by day, of all operations."""
    rows = _rows(days, group_by, project, organization)
    print_table(
        [
            ["day", group_by, "requests", "input", "cached", "output"],
            *(
                [day, name, sums.requests, sums.input_tokens, sums.cached_input_tokens, sums.output_tokens]
                for day, name, sums in rows
            ),
        ]
    )


def costs(
    *,
    days: Days = 7,
    group_by: Annotated[CostGroup, typer.Option(help="What to tell apart within a day.")] = "line_item",
    project: ProjectFilter = None,
    organization: OrganizationOption = None,
) -> None:
    """Show what was spent by day, in US dollars, and the sum of it."""
    rows = _rows(days, group_by, project, organization)
    total = sum(sums.cost_microusd for *_, sums in rows)
    print_table(
        [
            ["day", group_by, "USD"],
            *([day, name, f"{usd(sums.cost_microusd):.6f}"] for day, name, sums in rows),
            ["total", "", f"{usd(total):.6f}"],
        ]
    )


def _rows(days: int, group_by: str, project: str | None, organization: str | None) -> Sequence[tuple[str, str, Sums]]:
    now_s = time.time()
    start_s = aligned_start(now_s, width="1d", buckets=days)
    span = Span(start_s=start_s, end_s=int(now_s) + 1, width="1d", limit=days, from_s=start_s)

    async def act(session: AsyncSession, _settings: Settings) -> Sequence[tuple[str, str, Sums]]:
        within = Project.organization_id == await the_organization(session, organization)
        wanted = None if project is None else identifier(Kind.PROJECT, project)
        filters = Filters(project_ids=None if project is None else [wanted] if wanted else [])
        buckets = await summed(session, within=within, filters=filters, span=span, group_by=[group_by])
        return [
            (f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d}", _group(group_by, sums.group[group_by]), sums)
            for (start, _), found in buckets
            for sums in found
        ]

    return in_transaction(act)


def _group(name: str, value: UUID | str | None) -> str:
    if isinstance(value, UUID):
        return named(_KINDS[name], value)
    return value or "-"
