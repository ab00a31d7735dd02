"""Which models are served: `GET /v1/models[/{id}]`, in the dialect that the caller speaks.

An `anthropic-version` header asks for Anthropic's form; the path is one and the same at both providers.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request

from ali.features.chat.envelope import ModelUnknown
from ali.features.chat.routing import Router
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import requires
from ali.providers.catalog import ModelCard

router = APIRouter(prefix="/v1/models", tags=["models"])

Reader = Annotated[Principal, requires(Permission.MODELS_READ)]
Version = Annotated[str | None, Header(alias="anthropic-version")]


@router.get("", summary="List the models served")
async def list_models(
    *,
    request: Request,
    reader: Reader,
    anthropic_version: Version = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    after_id: Annotated[str | None, Query(max_length=200)] = None,
    before_id: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """Every model the caller can ask for, aliases first. `limit`, `after_id`, `before_id` are Anthropic's paging."""
    chat: Router = request.app.state.router
    served = [model for model in chat.served() if reader.may_ask_for(model[0])]
    if anthropic_version is None:
        return {"object": "list", "data": [_openai(name, owner, made) for name, owner, made, _ in served]}
    names = [name for name, *_ in served]
    start = names.index(after_id) + 1 if after_id in names else 0
    end = names.index(before_id) if before_id in names else len(served)
    if before_id is not None:
        start = max(start, end - limit)
    page = served[start : min(end, start + limit)]
    return {
        "data": [_anthropic(name, made, card) for name, _, made, card in page],
        "first_id": page[0][0] if page else None,
        "last_id": page[-1][0] if page else None,
        "has_more": start + len(page) < end if before_id is None else start > 0,
    }


@router.get("/{model:path}", summary="Retrieve a model")
async def retrieve_model(
    request: Request, reader: Reader, model: str, anthropic_version: Version = None
) -> dict[str, Any]:
    """One model. A dated name is found under its family's."""
    chat: Router = request.app.state.router
    for name, owner, made, card in chat.served():
        if reader.may_ask_for(model) and (name == model or (card is not None and chat.card_of(model) is card)):
            return _openai(model, owner, made) if anthropic_version is None else _anthropic(model, made, card)
    raise ModelUnknown(
        "There is no such model here. GET /v1/models lists the models served.", param="model", code="model_not_found"
    )


def _openai(name: str, owner: str, made: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": made, "owned_by": owner}


def _anthropic(name: str, made: int, card: ModelCard | None) -> dict[str, Any]:
    model: dict[str, Any] = {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
    }
    if card is not None:
        model |= {"max_input_tokens": card.context_window, "max_tokens": card.max_output_tokens}
    return model
