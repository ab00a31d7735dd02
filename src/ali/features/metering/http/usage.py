"""`/v1/organization/usage/completions`, `/usage/embeddings` and `/costs`."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal, get_args

from fastapi import APIRouter, Depends, Query
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.identity.http.access import Transaction, requires
from ali.features.identity.http.answers import Json
from ali.features.identity.http.inputs import LATEST, listed
from ali.features.identity.naming import Kind, maybe_named, read
from ali.features.identity.principal import Principal
from ali.features.identity.reach import projects_within
from ali.features.identity.roles import Permission
from ali.features.metering.usage import COMPLETIONS, EMBEDDINGS, WIDTHS_S, Filters, Span, Sums, Width, summed, usd
from ali.kernel.errors import InvalidRequest

router = APIRouter(prefix="/v1/organization", tags=["administration"])

Moment = Annotated[int, Query(ge=0, le=LATEST)]
UsageGroup = Literal["project_id", "user_id", "api_key_id", "model", "batch"]
CostGroup = Literal["project_id", "user_id", "api_key_id", "line_item"]
Reader = Annotated[Principal, requires(Permission.USAGE_READ)]

_LIMITS: Final[dict[Width, tuple[int, int]]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
"""How many buckets a page has, and may have at most. Source: OpenAI's API reference, "Usage"."""

_COSTS_LIMIT: Final = (7, 180)
_CURSOR: Final = re.compile(r"page_[0-9a-f]{1,10}")
_KINDS: Final = {"project_id": Kind.PROJECT, "user_id": Kind.USER, "api_key_id": Kind.API_KEY}


async def _usage_span(
    start_time: Moment,
    end_time: Moment | None = None,
    bucket_width: Width = "1d",
    limit: Annotated[int | None, Query(ge=1, le=1440)] = None,
    page: Annotated[str | None, Query(max_length=100)] = None,
) -> Span:
    usual, most = _LIMITS[bucket_width]
    return _span(start_time, end_time, width=bucket_width, limit=limit or usual, most=most, page=page)


async def _costs_span(
    start_time: Moment,
    end_time: Moment | None = None,
    bucket_width: Literal["1d"] = "1d",
    limit: Annotated[int | None, Query(ge=1, le=180)] = None,
    page: Annotated[str | None, Query(max_length=100)] = None,
) -> Span:
    usual, most = _COSTS_LIMIT
    return _span(start_time, end_time, width=bucket_width, limit=limit or usual, most=most, page=page)


async def _filters(
    project_ids: Annotated[list[str], listed("project_ids")],
    user_ids: Annotated[list[str], listed("user_ids")],
    api_key_ids: Annotated[list[str], listed("api_key_ids")],
) -> dict[str, Any]:
    """An identifier that is none is one of nothing: it narrows, and finds nothing."""
    given = {"project_id": project_ids, "user_id": user_ids, "api_key_id": api_key_ids}
    return {
        f"{name}s": [found for text in texts if (found := read(_KINDS[name], text)) is not None] if texts else None
        for name, texts in given.items()
    }


UsageSpan = Annotated[Span, Depends(_usage_span)]
Narrowed = Annotated[dict[str, Any], Depends(_filters)]


@router.get("/usage/completions", summary="Usage of chat completions and messages")
async def usage_of_completions(
    *,
    reader: Reader,
    transaction: Transaction,
    span: UsageSpan,
    narrowed: Narrowed,
    models: Annotated[list[str], listed("models")],
    group_by: Annotated[list[str], listed("group_by")],
    batch: Annotated[bool | None, Query()] = None,
) -> Json:
    """Tokens and requests in each bucket of time. There are no batches here: `batch=true` finds nothing."""
    filters = Filters(operations=() if batch else COMPLETIONS, models=models or None, **narrowed)
    groups = _groups(group_by, get_args(UsageGroup))

    def write(sums: Sums) -> Json:
        return {
            "object": "organization.usage.completions.result",
            **_tokens(sums),
            "output_tokens": sums.output_tokens,
            "input_cached_tokens": sums.cached_input_tokens,
            "input_cache_write_tokens": sums.cache_write_tokens,
            "input_uncached_tokens": sums.input_tokens - sums.cached_input_tokens - sums.cache_write_tokens,
            **_group(sums, ("project_id", "user_id", "api_key_id", "model")),
            "batch": False if "batch" in groups else None,
        }

    return await _page(reader, transaction, filters=filters, span=span, groups=groups, write=write)


@router.get("/usage/embeddings", summary="Usage of embeddings")
async def usage_of_embeddings(
    *,
    reader: Reader,
    transaction: Transaction,
    span: UsageSpan,
    narrowed: Narrowed,
    models: Annotated[list[str], listed("models")],
    group_by: Annotated[list[str], listed("group_by")],
) -> Json:
    """Tokens and requests in each bucket of time."""
    filters = Filters(operations=EMBEDDINGS, models=models or None, **narrowed)
    groups = _groups(group_by, ("project_id", "user_id", "api_key_id", "model"))

    def write(sums: Sums) -> Json:
        return {
            "object": "organization.usage.embeddings.result",
            **_tokens(sums),
            **_group(sums, ("project_id", "user_id", "api_key_id", "model")),
        }

    return await _page(reader, transaction, filters=filters, span=span, groups=groups, write=write)


@router.get("/costs", summary="Costs")
async def costs(
    *,
    reader: Reader,
    transaction: Transaction,
    span: Annotated[Span, Depends(_costs_span)],
    narrowed: Narrowed,
    line_items: Annotated[list[str], listed("line_items")],
    group_by: Annotated[list[str], listed("group_by")],
) -> Json:
    """What all operations cost on each day of UTC. A line item is a model, as its provider names it."""
    filters = Filters(line_items=line_items or None, **narrowed)
    groups = _groups(group_by, get_args(CostGroup))

    def write(sums: Sums) -> Json:
        return {
            "object": "organization.costs.result",
            "amount": {"value": usd(sums.cost_microusd), "currency": "usd"},
            **_group(sums, ("project_id", "user_id", "api_key_id", "line_item")),
            "quantity": None,
            "quantity_unit": None,
        }

    return await _page(reader, transaction, filters=filters, span=span, groups=groups, write=write)


async def _page(
    reader: Principal,
    transaction: AsyncSession,
    *,
    filters: Filters,
    span: Span,
    groups: Sequence[str],
    write: Callable[[Sums], Json],
) -> Json:
    within = await projects_within(transaction, reader)
    columns = [name for name in groups if name != "batch"]
    buckets = await summed(transaction, within=within, filters=filters, span=span, group_by=columns)
    return {
        "object": "page",
        "data": [
            {"object": "bucket", "start_time": start, "end_time": end, "results": [write(each) for each in found]}
            for (start, end), found in buckets
        ],
        "has_more": span.next_s is not None,
        "next_page": None if span.next_s is None else f"page_{span.next_s:x}",
    }


def _span(start_s: int, end_s: int | None, *, width: Width, limit: int, most: int, page: str | None) -> Span:
    """The time asked for. Raises `InvalidRequest`."""
    end_s = int(time.time()) + 1 if end_s is None else end_s
    if end_s <= start_s:
        raise InvalidRequest("end_time lies after start_time; both are Unix seconds.", param="end_time")
    if limit > most:
        raise InvalidRequest(f"A page has at most {most} buckets of {width}.", param="limit")
    from_s = start_s
    if page is not None:
        from_s = int(page.removeprefix("page_"), 16) if _CURSOR.fullmatch(page) else -1
        if not start_s < from_s < end_s or from_s % WIDTHS_S[width]:
            raise InvalidRequest("page is the next_page of the same request's previous answer.", param="page")
    return Span(start_s=start_s, end_s=end_s, width=width, limit=limit, from_s=from_s)


def _groups(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names to group by, each once. Raises `InvalidRequest` for one that is not `known`."""
    if any(name not in known for name in wanted):
        raise InvalidRequest(f"Grouping by that is not offered. Group by: {', '.join(known)}.", param="group_by")
    return list(dict.fromkeys(wanted))


def _tokens(sums: Sums) -> Json:
    return {"num_model_requests": sums.requests, "input_tokens": sums.input_tokens}


def _group(sums: Sums, names: Sequence[str]) -> Json:
    """What a result is of; null for what was not grouped by."""
    return {
        name: maybe_named(_KINDS[name], sums.group.get(name)) if name in _KINDS else sums.group.get(name)
        for name in names
    }
