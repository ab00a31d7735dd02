"""What routes of administration take: types of fields, bodies that refuse what they do not know, lists in a query."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from ali.features.identity.invitations import EMAIL, LONGEST_EMAIL
from ali.features.identity.naming import Kind, read
from ali.features.identity.paging import Place
from ali.kernel.errors import InvalidRequest

LATEST = 253_402_300_799
"""The end of the year 9999, the last that both Python and PostgreSQL name."""

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Email = Annotated[
    str, StringConstraints(max_length=LONGEST_EMAIL, pattern=f"^{EMAIL.pattern}$"), AfterValidator(str.lower)
]
Role = Annotated[str, StringConstraints(max_length=50)]
Word = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^\x00-\x1f\x7f]*$")]
UnixTime = Annotated[int, Field(ge=0, le=LATEST, strict=True)]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86_400, strict=True)]
"""How long from now: at most ten years."""


class Body(BaseModel):
    """A request's body. A field that is not known is refused: one that narrows a key must not be lost to a typo."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def organization_role(role: str) -> str:
    """A role in the organization by our name: OpenAI's `reader` is our `member`."""
    return "member" if role == "reader" else role


def as_organization_role(role: str) -> str:
    """The reverse, for answers."""
    return "reader" if role == "member" else role


def moment(unix: int) -> datetime:
    """Seconds since 1970 as a time."""
    return datetime.fromtimestamp(unix, UTC)


def place_of(kind: Kind, *, most: int = 100, descending: bool = False) -> Any:  # noqa: ANN401 - what FastAPI's Depends gives
    """The paging of a list whose items are of `kind`, for a route's signature: `after`, `before`, `limit`, `order`."""

    async def place(
        after: Annotated[str | None, Query(max_length=100, description="The id after which the page begins.")] = None,
        before: Annotated[str | None, Query(max_length=100, description="The id before which the page ends.")] = None,
        limit: Annotated[int, Query(ge=1, le=most)] = 20,
        order: Annotated[Literal["asc", "desc"], Query(description="By time of creation.")] = (
            "desc" if descending else "asc"
        ),
    ) -> Place:
        return Place(
            limit=limit,
            after=cursor(after, partial(read, kind), param="after"),
            before=cursor(before, partial(read, kind), param="before"),
            descending=order == "desc",
        )

    return Depends(place)


def cursor(text: str | None, reads: Callable[[str], UUID | None], *, param: str) -> UUID | None:
    """The identifier in a list's query parameter, as `reads` reads it. Raises `InvalidRequest` for what is none."""
    if text is None:
        return None
    found = reads(text)
    if found is None:
        raise InvalidRequest(f"{param} is an id from this list, such as its last_id.", param=param)
    return found


def listed(name: str) -> Any:  # noqa: ANN401 - as above
    """A query parameter that may come several times, as `name` or (as OpenAI's SDKs write it) `name[]`."""

    async def texts(
        plain: Annotated[list[Word] | None, Query(alias=name, max_length=100)] = None,
        bracketed: Annotated[
            list[Word] | None, Query(alias=f"{name}[]", max_length=100, include_in_schema=False)
        ] = None,
    ) -> list[str]:
        return [*(plain or ()), *(bracketed or ())]

    return Depends(texts)
