"""What `ali doctor` finds of searches in vector stores: pgvector in the database, and the models that searches ask."""

from collections.abc import Iterator

from ali.app.upstreams import reachable, router_over
from ali.features.chat.operations import CHAT_COMPLETIONS, EMBEDDINGS, Operation
from ali.kernel.checks import CheckResult, failed, passed, warned
from ali.kernel.errors import InvalidRequest
from ali.kernel.settings import Settings
from ali.ops import database

_OLDEST: tuple[int, ...] = (0, 8)
"""The first that goes on scanning an index where a filter leaves too few."""


def pgvector(settings: Settings) -> Iterator[CheckResult]:
    """Whether the database has the extension; nothing where it cannot be asked, which another check says."""
    name = "pgvector"
    try:
        version = database.extension_version(settings.database_dsn(), "vector")
    except (FileNotFoundError, database.DatabaseUnreachable):
        if settings.embedded:
            yield passed(name, "comes with the embedded PostgreSQL")
        return
    if version is None:
        hint = "As an administrator of this database: `create extension vector`; the server must offer pgvector."
        yield failed(name, "not in the database", hint=hint)
    elif tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST:
        hint = "Update the server's pgvector to 0.8 or newer, then `alter extension vector update`."
        yield failed(name, f"{version} is too old", hint=hint)
    else:
        yield passed(name, version)


def search_models(settings: Settings) -> Iterator[CheckResult]:
    """Whether the models that searches ask can be asked here, and cost what is known."""
    name = "search models"
    asked: tuple[tuple[str, str | None, Operation], ...] = (
        ("ALI_EMBEDDING_MODEL", settings.embedding_model, EMBEDDINGS),
        ("ALI_RERANK_MODEL", settings.rerank_model, CHAT_COMPLETIONS),
        ("ALI_REWRITE_MODEL", settings.rewrite_model, CHAT_COMPLETIONS),
    )
    router = router_over(reachable(settings), settings)
    for variable, model, operation in asked:
        if model is None:
            continue
        try:
            route = router.resolve(model, operation)
        except InvalidRequest as error:
            yield failed(name, f"{variable}: {error.message}", hint="Name one that is served, or unset it.")
            continue
        if not all(target.priced for target in route.targets):
            hint = "Set ALI_MODEL_PRICES: it counts as free, and hard budgets refuse it. A price of 0 says free."
            yield warned(name, f"{variable}: {model} has no price", hint=hint)
        else:
            yield passed(name, f"{variable}: {model}")
    if not any(model for _, model, _ in asked):
        yield passed(name, "none: vector stores are searched by words")
