"""What people ask for when they set or change a limit, checked: the same for HTTP and the command line."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ali.features.metering.scopes import ScopeKind
from ali.kernel.ids import read_id, shown_id

MOST: Final = 10**12
"""The largest number that a limit can have."""

FIGURES: Final = ("requests_per_minute", "tokens_per_minute", "concurrent_streams")
LIMIT: Final = "limit_"
"""Of the identifiers of limits."""

Number = Annotated[int, Field(ge=0, le=MOST, strict=True)]


class ScopeDraft(BaseModel):
    """Whom a limit is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScopeKind
    id: Annotated[
        str | None,
        Field(max_length=100, description="null: each one of that kind in the organization, by itself."),
    ] = None


class LimitDraft(BaseModel):
    """A new limit: at least one of its three figures."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: ScopeDraft
    model: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*[*]?$",
            description="A model's name, or the beginning of names and a `*`; null: all models.",
        ),
    ] = None
    requests_per_minute: Annotated[Number | None, Field(description="In any 60 seconds.")] = None
    tokens_per_minute: Annotated[Number | None, Field(description="Input and output, in any 60 seconds.")] = None
    concurrent_streams: Annotated[Number | None, Field(description="Open at once.")] = None

    def figures(self) -> dict[str, int]:
        """Those that were given."""
        given = {figure: getattr(self, figure) for figure in FIGURES}
        return {figure: number for figure, number in given.items() if number is not None}


class LimitChange(BaseModel):
    """The figures that are to be different: one that is left out stays, null takes it away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: Number | None = None
    tokens_per_minute: Number | None = None
    concurrent_streams: Number | None = None

    def figures(self) -> dict[str, int | None]:
        """Those that were given, null among them."""
        return {figure: getattr(self, figure) for figure in FIGURES if figure in self.model_fields_set}


def limit_name(limit_id: UUID) -> str:
    """The identifier of a limit, as callers see it."""
    return shown_id(LIMIT, limit_id)


def read_limit(text: str) -> UUID | None:
    """The UUID that `limit_name` wrote; None for anything else."""
    return read_id(text, prefix=LIMIT)
