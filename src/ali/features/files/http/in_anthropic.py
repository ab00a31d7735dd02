"""Files as Anthropic's dialect has them: its objects, its lists and their pages. Source: its API reference, "Files".

Lists have both forms of pages that its SDKs know: `page` with `next_page`, and `before_id`, `after_id` with `has_more`.
"""

import mimetypes
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.files import queries
from ali.features.files.models import StoredFile
from ali.features.files.naming import file_name, read_file
from ali.features.identity.http.answers import Json
from ali.features.identity.http.inputs import cursor, listed
from ali.features.identity.paging import Place
from ali.kernel.errors import InvalidRequest
from ali.kernel.ids import read_id

_PAGE: Final = "page_"
_MOST: Final = 1000
_DEFAULT: Final = 20


async def _dialect(request: Request) -> Literal["anthropic", "openai"]:
    return "anthropic" if "anthropic-version" in request.headers else "openai"


Dialect = Annotated[Literal["anthropic", "openai"], Depends(_dialect)]
"""In which dialect a caller asks: Anthropic's SDKs say its version with every request."""


class _Asked:
    """What a list in Anthropic's form is asked for."""

    def __init__(
        self,
        *,
        ids: Annotated[list[str], listed("ids")],
        page: Annotated[str | None, Query(max_length=100, description="As an answer's next_page has it.")] = None,
        before_id: Annotated[str | None, Query(max_length=100)] = None,
        after_id: Annotated[str | None, Query(max_length=100)] = None,
        scope_id: Annotated[str | None, Query(max_length=200, description="No file here has a scope.")] = None,
    ) -> None:
        self.ids = ids
        self.page = page
        self.before_id = before_id
        self.after_id = after_id
        self.scope_id = scope_id


Asked = Annotated[_Asked, Depends()]


async def listing(session: AsyncSession, project_id: UUID, asked: _Asked, *, limit: int | None) -> Json:
    """The page that is asked for, newest first. Raises `InvalidRequest`."""
    if limit is not None and limit > _MOST:
        raise InvalidRequest(f"limit is from 1 to {_MOST}.", param="limit")
    place = Place(
        limit=limit or _DEFAULT,
        after=cursor(asked.page, _read_page, param="page") or cursor(asked.after_id, read_file, param="after_id"),
        before=cursor(asked.before_id, read_file, param="before_id"),
        descending=True,
    )
    if asked.ids:
        if limit is not None or place.after or place.before:
            raise InvalidRequest("ids excludes limit and pages: the answer has all of them.", param="ids")
        page = await queries.among(session, project_id, [read_file(each) for each in asked.ids])
    elif asked.scope_id is not None:
        page = await queries.among(session, project_id, ())
    else:
        page = await queries.listed(session, project_id, purpose=None, place=place)
    data = [shown(row) for row in page.rows]
    more_after = page.has_more and not place.backwards
    return {
        "data": data,
        "has_more": page.has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "next_page": _PAGE + page.rows[-1].id.hex if more_after else None,
    }


def _read_page(text: str) -> UUID | None:
    return read_id(text, prefix=_PAGE)


def shown(row: StoredFile) -> Json:
    """`file`. Whatever its maker, its content can be read."""
    name = row.name.decode("utf-8", "replace")
    return {
        "id": file_name(row.id),
        "type": "file",
        "filename": name,
        "mime_type": row.media_type or mimetypes.guess_type(name)[0] or "application/octet-stream",
        "size_bytes": row.size_bytes,
        "created_at": _time(row.created_at),
        "downloadable": True,
        "expires_at": None if row.expires_at is None else _time(row.expires_at),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
