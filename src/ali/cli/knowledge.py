"""`ali knowledge`: a folder of documents into a vector store, and what the stores hold, through the running service."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ali.cli.knowledge_import import Imported, Local, files_under, import_files, store_named
from ali.cli.service_client import Json, ServiceFailed
from ali.cli.service_options import BAD_INPUT, DEFAULT_URL, FAILED, KeyOption, UrlOption, printable, service_at, stop

app = typer.Typer(no_args_is_help=True, help="Import documents into vector stores, search and list them.")

_COMMAND = "knowledge"
StoreArgument = Annotated[str, typer.Argument(metavar="STORE", help="The store's name or id.", show_default=False)]


@contextmanager
def _explained() -> Iterator[None]:
    """What the service said no to ends the command with its words."""
    try:
        yield
    except ServiceFailed as error:
        stop(str(error), command=_COMMAND, code=BAD_INPUT if error.bad_input else FAILED)


@app.command("import")
def import_folder(
    places: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="Folders, or files, to import.", show_default=False)
    ],
    *,
    store: Annotated[str, typer.Option("--store", help="The store's name or id; a new name makes a store.")],
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Import documents into a vector store. Again: what is new or has changed.

    Exit codes: 0 all are there, 1 some could not be read (each with its reason), 2 bad input.
    """
    service = service_at(url, api_key, command=_COMMAND)
    try:
        files = files_under(places)
    except FileNotFoundError as error:
        stop(f"{error}: there is no such file or folder.", command=_COMMAND, code=BAD_INPUT)
    if not files:
        stop("There are no files in it.", command=_COMMAND, code=BAD_INPUT)
    with _explained():
        into = store_named(service, store, create=True)
        with _Bars() as bars:
            bars.expect(files)
            came = import_files(service, into["id"], files, watcher=bars)
    _print_import(came, into)
    if came.failed:
        raise typer.Exit(FAILED)


def _print_import(came: Imported, store: Json) -> None:
    counts = [f"{came.completed} read" + (f" ({came.replaced} in place of older ones)" if came.replaced else "")]
    counts += [f"{came.unchanged} unchanged"] if came.unchanged else []
    counts += [f"{len(came.failed)} failed"] if came.failed else []
    print(printable(f"{store['name'] or store['id']} ({store['id']}): {', '.join(counts)}."))
    for path, reason in came.failed.items():
        print(printable(f"  {path}: {reason}"), file=sys.stderr)


class _Bars:
    """Two bars on standard error: files sent, files read. Only on a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._sent = self._progress.add_task("sent", total=None, note="files")
        self._read = self._progress.add_task("read", total=None, visible=False, note="files")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expect(self, files: list[Local]) -> None:
        """So many are coming."""
        self._progress.update(self._sent, total=len(files))

    def sending(self, local: Local) -> Callable[[int], None]:
        """As `Watcher`."""
        sent = 0

        def more(count: int) -> None:
            nonlocal sent
            sent += count
            share = f" {100 * sent // local.size} %" if local.size > 8 * 1024 * 1024 else ""
            self._progress.update(self._sent, note=f"files, {printable(local.path)[-60:]}{share}")

        return more

    def sent(self, local: Local) -> None:  # noqa: ARG002 - as `Watcher`
        """As `Watcher`."""
        self._progress.advance(self._sent)

    def reading(self, *, done: int, of: int, pages: int) -> None:
        """As `Watcher`."""
        note = f"files, {pages} pages of the next" if pages else "files"
        self._progress.update(self._read, visible=True, total=of, completed=done, note=note)


@app.command("stores")
def stores(url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """List the vector stores, the newest first."""
    service = service_at(url, api_key, command=_COMMAND)
    with _explained():
        for each in service.all_of("/v1/vector_stores"):
            counts = each["file_counts"]
            failed = f", {counts['failed']} failed" if counts["failed"] else ""
            line = f"{each['id']}  {each['status']:<11}  {counts['completed']} of {counts['total']} files{failed}"
            print(printable(f"{line}  {_size(each['usage_bytes'])}  {each['name'] or ''}"))


@app.command("files")
def files(store: StoreArgument, url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """List the files of a store, and why one could not be read."""
    service = service_at(url, api_key, command=_COMMAND)
    with _explained():
        into = store_named(service, store, create=False)
        for each in service.all_of(f"/v1/vector_stores/{into['id']}/files"):
            name = (each.get("attributes") or {}).get("path") or each["id"]
            reason = f"  {(each['last_error'] or {}).get('message', '')}" if each["last_error"] else ""
            print(printable(f"{each['id']}  {each['status']:<11}  {name}{reason}"))


@app.command("search")
def search(
    store: StoreArgument,
    query: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    *,
    most: Annotated[int, typer.Option("--limit", min=1, max=50, help="How many passages at most.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Find passages, with their scores, without asking a model."""
    service = service_at(url, api_key, command=_COMMAND)
    with _explained():
        into = store_named(service, store, create=False)
        found = service.post(f"/v1/vector_stores/{into['id']}/search", {"query": query, "max_num_results": most})
    if as_json:
        print(json.dumps(found["data"], ensure_ascii=False, indent=2))
        return
    for each in found["data"]:
        text = " ".join(str(part.get("text", "")) for part in each["content"])
        print(printable(f"{each['score']:.2f}  {each['filename']}  {' '.join(text.split())[:300]}"))


@app.command("delete")
def delete(store: StoreArgument, url: UrlOption = DEFAULT_URL, api_key: KeyOption = None) -> None:
    """Delete a store. Its files stay; `ali files` deletes those."""
    service = service_at(url, api_key, command=_COMMAND)
    with _explained():
        into = store_named(service, store, create=False)
        service.delete(f"/v1/vector_stores/{into['id']}")
    print("Deleted.")


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count //= 1000
    return f"{count} GB"
