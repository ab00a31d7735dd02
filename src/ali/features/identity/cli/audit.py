"""`ali audit`: what was done, by whom."""

import json
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit.queries import Wanted
from ali.features.identity import trail
from ali.features.identity.cli.terminal import OrganizationOption, in_transaction, print_table, the_organization
from ali.features.identity.paging import Place
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Read the audit record.")


@app.callback()
def _group() -> None:
    """Read the audit record."""


@app.command("list")
def list_events(
    *,
    organization: OrganizationOption = None,
    action: Annotated[
        list[str] | None, typer.Option("--type", help="Such as project.created; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with every detail.")] = False,
) -> None:
    """List what was done in an organization, newest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[trail.Entry]:
        found = await the_organization(session, organization)
        place = Place(limit=limit, descending=True)
        return list((await trail.listed(session, found, wanted=Wanted(actions=action or None), place=place)).rows)

    entries = in_transaction(act)
    if as_json:
        for entry in entries:
            row = entry.row
            print(
                json.dumps(
                    {
                        "at": row.occurred_at.isoformat(),
                        "action": row.action,
                        "actor_kind": row.actor_kind,
                        "actor_id": None if row.actor_id is None else str(row.actor_id),
                        "address": row.address,
                        "request_id": row.request_id,
                        "target": row.target_id,
                        "project_id": None if row.project_id is None else str(row.project_id),
                        "detail": row.detail,
                    }
                )
            )
        return
    print_table(
        [
            [
                f"{entry.row.occurred_at:%Y-%m-%d %H:%M:%S}",
                entry.row.action,
                entry.row.actor_kind,
                entry.actor_email or entry.row.actor_id,
                entry.row.target_id,
            ]
            for entry in entries
        ]
    )
