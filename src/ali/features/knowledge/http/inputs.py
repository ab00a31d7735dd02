"""What routes of vector stores take. Attributes and filters are checked by the slice, which names the faulty field."""

from collections.abc import Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import Field, StringConstraints, WithJsonSchema

from ali.features.conversations.lifecycle import Home
from ali.features.conversations.tags import LONGEST_KEY, LONGEST_VALUE, MOST_PAIRS
from ali.features.files.naming import read_file
from ali.features.identity import Permission, Principal
from ali.features.identity.http.access import requires
from ali.features.identity.http.inputs import Body, cursor
from ali.features.identity.paging import Place
from ali.features.knowledge.account import Account
from ali.features.knowledge.chunking import LARGEST_TOKENS, SMALLEST_TOKENS
from ali.features.knowledge.naming import LONGEST_EXPIRY_DAYS
from ali.features.knowledge.stores.files import Listed

Reader = Annotated[Principal, requires(Permission.VECTOR_STORES_READ)]
Writer = Annotated[Principal, requires(Permission.VECTOR_STORES_WRITE)]

Name = Annotated[str, StringConstraints(max_length=200)]
"""An identifier in a body; whatever is none is not found."""
Cursor = Annotated[str | None, Query(max_length=100)]
Status = Literal["in_progress", "completed", "failed", "cancelled"]


def _pairs(value: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": ["object", "null"],
            "additionalProperties": value,
            "propertyNames": {"maxLength": LONGEST_KEY},
            "maxProperties": MOST_PAIRS,
        }
    )


_TEXT = {"type": "string", "maxLength": LONGEST_VALUE}
_TOKENS = {"type": "integer", "minimum": SMALLEST_TOKENS, "maximum": LARGEST_TOKENS}

Metadata = Annotated[Any, _pairs(_TEXT)]
Attributes = Annotated[Any, _pairs({"anyOf": [_TEXT, {"type": "number"}, {"type": "boolean"}]})]
Chunking = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"type": {"const": "auto"}},
                    "required": ["type"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": "static"},
                        "static": {
                            "type": "object",
                            "properties": {
                                "max_chunk_size_tokens": _TOKENS,
                                "chunk_overlap_tokens": {"type": "integer", "minimum": 0},
                            },
                            "required": ["max_chunk_size_tokens", "chunk_overlap_tokens"],
                            "additionalProperties": False,
                        },
                    },
                    "required": ["type", "static"],
                    "additionalProperties": False,
                },
                {"type": "null"},
            ]
        }
    ),
]


class ExpiresAfter(Body):
    """How long after its last use a store is kept."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Field(ge=1, le=LONGEST_EXPIRY_DAYS, strict=True)]


async def reading_home(reader: Reader) -> Home:
    """The project that the caller reads in."""
    return Home(organization_id=reader.organization_id, project_id=reader.require_project())


async def writing_home(writer: Writer) -> Home:
    """The project that the caller writes in."""
    return Home(organization_id=writer.organization_id, project_id=writer.require_project())


async def account_of(reader: Reader) -> Account:
    """Who pays for the models that a search asks."""
    return Account(
        organization_id=reader.organization_id,
        project_id=reader.require_project(),
        api_key_id=reader.key_id,
        user_id=reader.user_id,
    )


Paying = Annotated[Account, Depends(account_of)]
Reading = Annotated[Home, Depends(reading_home)]
Writing = Annotated[Home, Depends(writing_home)]


async def most_files(request: Request) -> int:
    """How many files a store can have here."""
    most: int = request.app.state.knowledge.most_files
    return most


MostFiles = Annotated[int, Depends(most_files)]


def place_among(read: Callable[[str], UUID | None]) -> Any:  # noqa: ANN401 - what FastAPI's Depends gives
    """The paging of a list whose identifiers `read` reads, newest first, for a route's signature."""

    async def place(
        *,
        after: Cursor = None,
        before: Cursor = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Place:
        return Place(
            limit=limit,
            after=cursor(after, read, param="after"),
            before=cursor(before, read, param="before"),
            descending=order == "desc",
        )

    return Depends(place)


async def _listed(
    *,
    place: Annotated[Place, place_among(read_file)],
    status: Annotated[Status | None, Query(alias="filter", description="Files of this status alone.")] = None,
) -> Listed:
    return Listed(status=status, after=place.after, before=place.before, limit=place.limit, descending=place.descending)


FilesListed = Annotated[Listed, Depends(_listed)]
