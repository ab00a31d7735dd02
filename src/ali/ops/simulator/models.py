"""The models that a simulated provider has: what it lists, and what it takes."""

from collections.abc import Collection

import orjson

from ali.providers.contract import Dialect

MODERATION_MODEL = "omni-moderation-latest"
"""What `/v1/moderations` takes where the request names none."""
OPENAI_MODELS = (
    "gpt-6-sol",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-4.1",
    "gpt-4o",
    "gpt-4o-mini",
    "o4-mini",
    "text-embedding-3-large",
    "text-embedding-3-small",
    MODERATION_MODEL,
)
ANTHROPIC_MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-haiku-4-5")

_CREATED_S = 1_735_689_600
_CREATED = "2025-01-01T00:00:00Z"
_FAMILIES = {
    Dialect.OPENAI: (
        "gpt-",
        "o1",
        "o3",
        "o4",
        "chatgpt-",
        "text-embedding-",
        "omni-moderation",
        "text-moderation",
        "ft:",
    ),
    Dialect.ANTHROPIC: ("claude-",),
}
_LINES = ("haiku", "sonnet", "opus", "fable", "mythos")


def exists(model: str, dialect: Dialect, *, more: Collection[str] = ()) -> bool:
    """Whether a call for `model` is served: any of the provider's families, and `more`; never `…does-not-exist…`."""
    return model in more or (model.startswith(_FAMILIES[dialect]) and "does-not-exist" not in model)


def model_list(dialect: Dialect, *, more: Collection[str] = ()) -> bytes:
    """The answer of `GET /v1/models`."""
    if dialect is Dialect.OPENAI:
        return orjson.dumps({"object": "list", "data": [_openai(name) for name in (*OPENAI_MODELS, *more)]})
    names = (*ANTHROPIC_MODELS, *more)
    data = [_anthropic(name) for name in names]
    return orjson.dumps({"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]})


def model_object(model: str, dialect: Dialect) -> bytes:
    """The answer of `GET /v1/models/{id}`."""
    return orjson.dumps(_openai(model) if dialect is Dialect.OPENAI else _anthropic(model))


def _openai(model: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": _CREATED_S, "owned_by": "system"}


def _anthropic(model: str) -> dict[str, object]:
    return {
        "type": "model",
        "id": model,
        "display_name": model.replace("-", " ").title(),
        "created_at": _CREATED,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": next((line for line in _LINES if line in model), None),
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
