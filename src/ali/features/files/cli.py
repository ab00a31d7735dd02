"""`ali files`: the files of a project, for whoever runs the service: list, upload, download, delete."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.audit import Actor, record_deletion
from ali.features.files import queries
from ali.features.files.models import StoredFile
from ali.features.files.naming import SHOWN, UPLOADED, USER_DATA, file_name, read_file
from ali.features.files.store import FileStore
from ali.features.files.wishes import Wishes, read_purpose, read_ttl
from ali.features.identity.cli.terminal import ProjectOption, in_transaction, print_table, the_project
from ali.features.identity.paging import Place
from ali.kernel.db import make_engine, make_pool
from ali.kernel.errors import InvalidRequest, NotFound
from ali.kernel.objects import PIECE_BYTES, Objects
from ali.kernel.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, upload, download and delete files.")

Result = TypeVar("Result")
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="The file's id, as `ali files list` shows it.")]
_ANY: Final = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The store, and the project that a command is for."""

    store: FileStore
    sessions: async_sessionmaker[AsyncSession]
    organization_id: UUID
    project_id: UUID


@app.command("list")
def list_files(
    *,
    project: ProjectOption = None,
    purpose: Annotated[str, typer.Option(help=f"Only those for this: {', '.join(SHOWN)}.")] = _ANY,
    most: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many at most.")] = 100,
) -> None:
    """List a project's files, the newest first."""

    async def act(session: AsyncSession, _settings: Settings) -> list[list[object]]:
        project_id = (await the_project(session, project)).project.id
        wanted = None if purpose == _ANY else purpose
        page = await queries.listed(session, project_id, purpose=wanted, place=Place(limit=most, descending=True))
        return [
            [file_name(each.id), f"{each.created_at:%Y-%m-%d %H:%M}", each.purpose, each.size_bytes, each.name.decode()]
            for each in page.rows
        ]

    print_table(in_transaction(act))


@app.command("upload")
def upload(
    *,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", exists=True, dir_okay=False, readable=True, help="What to upload."),
    ],
    project: ProjectOption = None,
    purpose: Annotated[str, typer.Option(help=f"What it is for: {', '.join(UPLOADED)}.")] = USER_DATA,
) -> None:
    """Upload files, of whatever size, and print their ids. The same content twice is stored once."""

    async def act(place: _Place) -> None:
        for path in paths:
            size_bytes = path.stat().st_size
            wanted = read_purpose(purpose, size_bytes=size_bytes)
            wishes = Wishes(name=path.name, purpose=wanted, ttl_s=read_ttl(None, None, purpose=wanted))
            print(f"{file_name((await _uploaded(place, path, wishes)).id)}  {path}")

    _with_store(act, project)


@app.command("download")
def download(
    file: FileArgument,
    *,
    project: ProjectOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="Where to; unset: its own name, here.")
    ] = None,
) -> None:
    """Download a file. One that is there already is not written over."""

    async def act(place: _Place) -> Path:
        row = await _found(place, file)
        target = output or Path(Path(row.name.decode()).name or file_name(row.id))
        await asyncio.to_thread(_require_absent, target)
        pieces = await place.store.objects.open(row.object_name)
        with target.open("xb") as written:
            async for piece in pieces:
                await asyncio.to_thread(written.write, piece)
        return target

    print(_with_store(act, project))


@app.command("delete")
def delete(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="The files' ids, as `ali files list` shows them.")
    ],
    project: ProjectOption = None,
) -> None:
    """Delete files. Their bytes go within a minute, as the service runs."""

    async def act(session: AsyncSession, _settings: Settings) -> None:
        found = (await the_project(session, project)).project
        tenant = {"organization_id": found.organization_id, "project_id": found.id}
        for name in files:
            await queries.give_up(session, found.id, read_file(name))
            await record_deletion(session, "file", name, **tenant, actor=Actor(kind="operator"))

    in_transaction(act)
    print("Deleted.")


def _with_store(act: Callable[[_Place], Awaitable[Result]], project: str | None) -> Result:
    """`act` with the store of files and the project that is named, or the only one."""

    async def run() -> Result:
        settings = Settings()
        try:
            dsn = settings.database_dsn()
        except FileNotFoundError as error:
            raise NotFound("There is no installation here yet. Start it once with `./run`.") from error
        engine, objects = make_engine(dsn, size=1), Objects(settings.objects)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        try:
            async with make_pool(dsn, size=1) as pool:
                async with sessions() as session:
                    found = (await the_project(session, project)).project
                store = FileStore(
                    *(sessions, pool, objects),
                    max_bytes=settings.max_upload_bytes,
                    max_project_bytes=settings.max_project_file_bytes,
                )
                return await act(
                    _Place(store=store, sessions=sessions, organization_id=found.organization_id, project_id=found.id)
                )
        finally:
            await objects.close()
            await engine.dispose()

    return asyncio.run(run())


async def _uploaded(place: _Place, path: Path, wishes: Wishes) -> StoredFile:
    store = place.store
    draft = await store.begin(organization_id=place.organization_id, project_id=place.project_id, counted=True)
    try:
        written = await store.write(draft, _pieces_of(path), max_bytes=store.max_bytes)
        return await store.finish(draft, wishes, written)
    except BaseException:
        await asyncio.shield(store.abandon(draft))
        raise


async def _pieces_of(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


async def _found(place: _Place, name: str) -> StoredFile:
    async with place.sessions() as session:
        return await queries.found(session, place.project_id, read_file(name))


def _require_absent(target: Path) -> None:
    if target.exists():
        raise InvalidRequest(f"{target} is there already. Name another with --output.")
