"""A folder of documents into a vector store: what is new or changed is sent, the rest is left alone.

The path in the folder and the SHA-256 of the content go along as attributes, so that a second import knows what is
there, whoever made the first.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ali.cli.service_client import Json, Service, ServiceFailed

_POLL_S = 0.5
_PIECE_BYTES = 1 << 20
_MOST_VALUE = 512
"""Characters of an attribute's value. Source: OpenAI's API reference, "Create vector store file"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A file to be imported. `path` is its place in the folder, with `/` on every system."""

    file: Path
    path: str
    size: int


@dataclass(slots=True, kw_only=True)
class Imported:
    """What came of an import. `failed`: paths with the reason."""

    unchanged: int = 0
    completed: int = 0
    replaced: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class Watcher(Protocol):
    """Is told how far the import is."""

    def sending(self, local: Local) -> Callable[[int], None]:
        """A file is being sent; what is returned is told of more bytes."""
        ...

    def sent(self, local: Local) -> None:
        """It is sent, or was refused."""
        ...

    def reading(self, *, done: int, of: int, pages: int) -> None:
        """So many of the files sent are read into the store, and so many pages of those that are not."""
        ...


def files_under(places: Sequence[Path]) -> list[Local]:
    """The files in the folders named, and those named themselves, in order; hidden ones and links are left out.

    Raises `FileNotFoundError`.
    """
    found: dict[str, Local] = {}
    for place in places:
        if not place.exists():
            raise FileNotFoundError(place)
        for file, path in [(place, place.name)] if place.is_file() else _walked(place):
            found.setdefault(path, Local(file=file, path=path, size=file.stat().st_size))
    return list(found.values())


def _walked(folder: Path) -> Iterator[tuple[Path, str]]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(base, name)
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield file, file.relative_to(folder).as_posix()


def store_named(service: Service, name: str, *, create: bool) -> Json:
    """The vector store of that name or id, made if `create` and there is none. Raises `ServiceFailed`."""
    if name.startswith("vs_"):
        return service.get(f"/v1/vector_stores/{name}")
    matches = [store for store in service.all_of("/v1/vector_stores") if store["name"] == name]
    if len(matches) > 1:
        ids = ", ".join(store["id"] for store in matches)
        raise ServiceFailed(f"There are {len(matches)} stores named {name}. Name one by its id: {ids}.", bad_input=True)
    if matches:
        return matches[0]
    if not create:
        raise ServiceFailed(
            f"There is no store named {name}. `ali knowledge stores` lists those there are.", bad_input=True
        )
    return service.post("/v1/vector_stores", {"name": name})


def import_files(service: Service, store: str, files: Sequence[Local], *, watcher: Watcher) -> Imported:
    """Send what the store lacks, wait until it is read, and take out what it replaced. Raises `ServiceFailed`.

    A file that is refused, or cannot be read, fails alone. An older content of a path goes once the new one is there.
    """
    there = _there(service, store)
    came = Imported()
    waiting: dict[str, str] = {}
    old: dict[str, Json] = {}
    for local in files:
        digest = _digest(local.file)
        before = there.get(local.path)
        if before is not None and before["attributes"]["sha256"] == digest and before["status"] == "completed":
            came.unchanged += 1
            watcher.sent(local)
            continue
        if before is not None:
            old[local.path] = before
        try:
            sent = service.upload(local.file, purpose="assistants", on_bytes=watcher.sending(local))
            attributes = {"path": local.path[-_MOST_VALUE:], "sha256": digest}
            service.post(f"/v1/vector_stores/{store}/files", {"file_id": sent["id"], "attributes": attributes})
            waiting[sent["id"]] = local.path
        except ServiceFailed as error:
            if not error.bad_input:
                raise
            came.failed[local.path] = str(error)
        watcher.sent(local)
    _wait(service, store, waiting, came, watcher)
    for path, before in old.items():
        if path not in came.failed:
            _take_out(service, store, before["id"])
            came.replaced += 1
    return came


def _there(service: Service, store: str) -> dict[str, Json]:
    """The files that an import has put into the store, by path."""
    return {
        entry["attributes"]["path"]: entry
        for entry in service.all_of(f"/v1/vector_stores/{store}/files")
        if {"path", "sha256"} <= (entry.get("attributes") or {}).keys()
    }


def _wait(service: Service, store: str, waiting: dict[str, str], came: Imported, watcher: Watcher) -> None:
    """Until every file sent is read, or failed; one that failed is taken out again."""
    of = len(waiting)
    while waiting:
        pages = 0
        unfinished = set()
        for entry in service.all_of(f"/v1/vector_stores/{store}/files", filter="in_progress"):
            if entry["id"] in waiting:
                unfinished.add(entry["id"])
                pages += (entry.get("progress") or {}).get("pages_done") or 0
        for file_id in [each for each in waiting if each not in unfinished]:
            entry = service.get(f"/v1/vector_stores/{store}/files/{file_id}")
            if entry["status"] == "in_progress":
                continue
            path = waiting.pop(file_id)
            if entry["status"] == "completed":
                came.completed += 1
            else:
                error = entry.get("last_error") or {}
                came.failed[path] = str(error.get("message") or f"it was {entry['status']}")
                _take_out(service, store, file_id)
        watcher.reading(done=of - len(waiting), of=of, pages=pages)
        if waiting:
            time.sleep(_POLL_S)


def _take_out(service: Service, store: str, file_id: str) -> None:
    service.delete(f"/v1/vector_stores/{store}/files/{file_id}")
    service.delete(f"/v1/files/{file_id}")


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
