"""Rate limits: `/v1/ali/limits`, in the form of OpenAI's objects and lists."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.http.answers import deleted, listing
from ali.features.identity.http.inputs import cursor
from ali.features.identity.paging import Place
from ali.features.metering.limiting import lifecycle
from ali.features.metering.limiting.drafts import FIGURES, LimitChange, LimitDraft, limit_name, read_limit
from ali.features.metering.models import RateLimit
from ali.features.metering.scopes import reach_of, scope_name

router = APIRouter(prefix="/v1/ali/limits", tags=["limits"])

Reader = Annotated[Principal, requires(Permission.LIMITS_READ)]
Writer = Annotated[Principal, requires(Permission.LIMITS_WRITE)]
LimitId = Annotated[str, Path(max_length=64)]


@router.post("", summary="Set a rate limit")
async def create_limit(draft: LimitDraft, writer: Writer, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """In force everywhere within a second."""
    reach = await reach_of(transaction, writer)
    return _shown(await lifecycle.create(transaction, draft, reach=reach, actor=acting))


@router.get("", summary="List rate limits")
async def list_limits(
    reader: Reader,
    transaction: Transaction,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Those that this credential can see, newest first."""
    place = Place(limit=limit, after=cursor(after, read_limit, param="after"), descending=True)
    return listing(await lifecycle.listed(transaction, reach=await reach_of(transaction, reader), place=place), _shown)


@router.get("/{limit_id}", summary="Retrieve a rate limit")
async def retrieve_limit(limit_id: LimitId, reader: Reader, transaction: Transaction) -> dict[str, Any]:
    """One limit."""
    reach = await reach_of(transaction, reader)
    return _shown(await lifecycle.find(transaction, read_limit(limit_id), reach=reach))


@router.post("/{limit_id}", summary="Change a rate limit")
async def change_limit(
    limit_id: LimitId, wanted: LimitChange, writer: Writer, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """Figures that are left out stay, null takes one away. Whom and which models it limits stays always."""
    reach = await reach_of(transaction, writer)
    return _shown(await lifecycle.change(transaction, read_limit(limit_id), wanted, reach=reach, actor=acting))


@router.delete("/{limit_id}", summary="Delete a rate limit")
async def delete_limit(limit_id: LimitId, writer: Writer, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """It holds nobody back any more within a second."""
    reach = await reach_of(transaction, writer)
    await lifecycle.remove(transaction, read_limit(limit_id), reach=reach, actor=acting)
    return deleted("ali.rate_limit", limit_id)


def _shown(limit: RateLimit) -> dict[str, Any]:
    return {
        "object": "ali.rate_limit",
        "id": limit_name(limit.id),
        "scope": {
            "kind": limit.scope,
            "id": scope_name(limit.scope, limit.scope_id) if limit.scope_id is not None else None,
        },
        "model": limit.model,
        **{figure: getattr(limit, figure) for figure in FIGURES},
        "created_at": int(limit.created_at.timestamp()),
        "updated_at": int(limit.updated_at.timestamp()),
    }
