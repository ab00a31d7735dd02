"""Budgets over HTTP: `/v1/ali/budgets`, in the form of OpenAI's objects and lists."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.answers import deleted, listing
from ali.features.identity.http.inputs import cursor
from ali.features.identity.paging import Place
from ali.features.metering.budgets import lifecycle
from ali.features.metering.budgets.drafts import BudgetChange, BudgetDraft
from ali.features.metering.budgets.lifecycle import BudgetState
from ali.features.metering.budgets.naming import budget_name, read_budget
from ali.features.metering.budgets.webhook import secret_of
from ali.features.metering.scopes import reach_of, scope_name
from ali.kernel.errors import PermissionRefused

router = APIRouter(prefix="/v1/ali/budgets", tags=["budgets"])

Reader = Annotated[Principal, requires(Permission.BUDGETS_READ)]
Writer = Annotated[Principal, requires(Permission.BUDGETS_WRITE)]


@router.post("", summary="Create a budget")
async def create_budget(draft: BudgetDraft, writer: Writer, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """It starts from what its day or month has seen already, and is in force everywhere within a second."""
    return shown(
        await lifecycle.create(
            transaction, draft, reach=await reach_of(transaction, writer), actor=acting, now=datetime.now(UTC)
        )
    )


@router.get("", summary="List budgets")
async def list_budgets(
    reader: Reader,
    transaction: Transaction,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=100)] = None,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """Those that this credential can see, with how their present periods stand."""
    place = Place(limit=limit, after=cursor(after, read_budget, param="after"), descending=order == "desc")
    reach = await reach_of(transaction, reader)
    return listing(await lifecycle.listed(transaction, reach=reach, now=datetime.now(UTC), place=place), shown)


@router.get("/webhook_secret", summary="The secret of the organization's webhooks")
async def webhook_secret(request: Request, writer: Writer) -> dict[str, str]:
    """Receivers check with it that a message is from this service."""
    if writer.visible_project is not None:
        raise PermissionRefused("This credential is of one project. The secret is the organization's: use one of it.")
    secret = secret_of(writer.organization_id, hmac_secret=request.app.state.hmac_secret)
    return {"object": "budget.webhook_secret", "secret": secret}


@router.get("/{budget_id}", summary="Retrieve a budget")
async def retrieve_budget(budget_id: str, reader: Reader, transaction: Transaction) -> dict[str, Any]:
    """With how its present period stands."""
    return shown(
        await lifecycle.read(
            transaction, read_budget(budget_id), reach=await reach_of(transaction, reader), now=datetime.now(UTC)
        )
    )


@router.post("/{budget_id}", summary="Change a budget")
async def change_budget(
    budget_id: str, change: BudgetChange, writer: Writer, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """Fields that are left out stay as they are."""
    return shown(
        await lifecycle.change(
            transaction,
            read_budget(budget_id),
            change,
            reach=await reach_of(transaction, writer),
            actor=acting,
            now=datetime.now(UTC),
        )
    )


@router.delete("/{budget_id}", summary="Delete a budget")
async def delete_budget(budget_id: str, writer: Writer, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """And what it has counted; usage records stay."""
    found = read_budget(budget_id)
    await lifecycle.remove(transaction, found, reach=await reach_of(transaction, writer), actor=acting)
    return deleted("budget", budget_id)


def shown(state: BudgetState) -> dict[str, Any]:
    """A budget as callers see it; times are Unix seconds."""
    budget = state.budget
    return {
        "id": budget_name(budget.id),
        "object": "budget",
        "scope": {"kind": budget.scope_kind, "id": scope_name(budget.scope_kind, budget.scope_id)},
        "period": budget.period,
        "limit_microusd": budget.limit_microusd,
        "mode": budget.mode,
        "warn_percents": budget.warn_percents,
        "webhook_url": budget.webhook_url,
        "created_at": int(budget.created_at.timestamp()),
        "updated_at": int(budget.updated_at.timestamp()),
        "current": {
            "period_start": int(state.span.start.timestamp()),
            "period_end": int(state.span.end.timestamp()),
            "spent_microusd": state.spent_microusd,
            "reserved_microusd": state.reserved_microusd,
            "remaining_microusd": state.remaining_microusd,
        },
    }
