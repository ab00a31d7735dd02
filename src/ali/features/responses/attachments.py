"""Files of the project that items name by `file_id`: read when a response runs, shown to the model, kept nowhere."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from ali.features.files.kinds import media_type_of
from ali.features.responses.state import Place
from ali.kernel.errors import PayloadTooLarge

Json = dict[str, Any]

_NAMED: Final = ("input_file", "input_image")


class Files(Protocol):
    """Where files are kept."""

    async def fetch(
        self, *, organization_id: UUID, project_id: UUID, name: str, most_bytes: int, param: str
    ) -> tuple[str, bytes]:
        """A file's own name and its bytes. Raises `NotFound` for none of the project's, `PayloadTooLarge`."""
        ...


async def fetched(items: Sequence[Json], files: Files, place: Place, *, most_bytes: int) -> dict[str, tuple[str, str]]:
    """Every file that `items` name: by its id, its name and its content as a data URL; together at most `most_bytes`.

    Raises `NotFound`, `PayloadTooLarge`, and what the object store's failing is.
    """
    found: dict[str, tuple[str, str]] = {}
    left = most_bytes
    for part in _parts(items):
        file_id = part.get("file_id")
        if not isinstance(file_id, str) or file_id in found or _brings_content(part):
            continue
        if left <= 0:
            raise PayloadTooLarge(
                f"The files that this input names have more than {most_bytes} bytes together. Name fewer, or smaller "
                "ones."
            )
        name, content = await files.fetch(
            organization_id=place.organization_id,
            project_id=place.project_id,
            name=file_id,
            most_bytes=left,
            param="input",
        )
        left -= len(content)
        media_type = media_type_of(name, content)
        found[file_id] = (name, f"data:{media_type};base64,{base64.b64encode(content).decode()}")
    return found


def attached(items: Sequence[Json], found: Mapping[str, tuple[str, str]]) -> list[Json]:
    """`items` with the content of the files in place of their ids."""
    return [_attached(item, found) for item in items] if found else list(items)


def _attached(item: Json, found: Mapping[str, tuple[str, str]]) -> Json:
    for field in ("content", "output"):
        parts = item.get(field)
        if isinstance(parts, list) and any(_is_named(part, found) for part in parts):
            item = {**item, field: [_part(part, found) if _is_named(part, found) else part for part in parts]}
    return item


def _is_named(part: object, found: Mapping[str, tuple[str, str]]) -> bool:
    return isinstance(part, dict) and part.get("type") in _NAMED and part.get("file_id") in found


def _part(part: Json, found: Mapping[str, tuple[str, str]]) -> Json:
    name, data = found[part["file_id"]]
    shown = {member: value for member, value in part.items() if member != "file_id"}
    if part["type"] == "input_image":
        return {**shown, "image_url": data}
    return {**shown, "filename": part.get("filename") or name, "file_data": data}


def _parts(items: Sequence[Json]) -> Iterator[Json]:
    for item in items:
        for field in ("content", "output"):
            parts = item.get(field)
            if isinstance(parts, list):
                yield from (part for part in parts if isinstance(part, dict) and part.get("type") in _NAMED)


def _brings_content(part: Json) -> bool:
    return any(part.get(member) for member in ("file_data", "file_url", "image_url"))
