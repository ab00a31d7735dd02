"""`ali ask "question" FILE…`: an answer from documents, quoted, with file and page.

The default model, `ali-extractive`, answers from files in this process and needs no server, account or key. Any other
model, and whatever is in a vector store, is asked through the running service. Exit codes: 0 answered, 1 failed, 2 bad
input, 3 nothing found.
"""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.style import Style
from rich.text import Text

from ali.cli.ask_service import Answered, ask_service, ask_store
from ali.cli.knowledge_import import store_named
from ali.cli.service_client import Service, ServiceFailed
from ali.cli.service_options import BAD_INPUT, DEFAULT_URL, FAILED, KeyOption, UrlOption, printable, service_at, stop
from ali.kernel.errors import AliError, InvalidRequest
from ali.providers.extractive import (
    MODEL,
    Examined,
    Quote,
    UnreadableDocument,
    compose,
    displayed,
    examine,
    place,
    read_document,
)

NOTHING_FOUND = 3
_MANY_PAGES = 40


def ask(
    question: Annotated[
        str, typer.Argument(help="What you want to know, in Portuguese or English.", show_default=False)
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="PDF, Markdown or text files to answer from.", show_default=False),
    ] = None,
    *,
    stores: Annotated[
        list[str] | None,
        typer.Option("--store", help="A vector store to answer from, by name or id; may be given again."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The model; any but the default is asked through the service, as are stores.")
    ] = MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_scores: Annotated[bool, typer.Option("--show-scores", help="Say why each passage was found.")] = False,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = None,
) -> None:
    """Answer a question from documents or vector stores, with file and page.

    Exit codes: 0 answered, 1 failed, 2 bad input, 3 nothing in the documents answers.
    """
    if not question.strip():
        _stop("Ask something: the question is empty.", code=BAD_INPUT)
    if bool(files) == bool(stores):
        _stop("Name the files to answer from, or a store with --store.", code=BAD_INPUT)
    if stores:
        service = service_at(url, api_key, command="ask")
        _answer_from_stores(question, stores, model=model, service=service, as_json=as_json, show_scores=show_scores)
        return
    request = _request(question, files or [])
    if model == MODEL:
        _answer_here(request, files or [], as_json=as_json, show_scores=show_scores)
        return
    _answer_by_service({**request, "model": model}, service=service_at(url, api_key, command="ask"), as_json=as_json)


def _request(question: str, files: list[Path]) -> dict[str, Any]:
    """The Messages request: each file a document block, then the question."""
    blocks: list[dict[str, Any]] = []
    for name, file in _named(files).items():
        data = _content(file)
        if b"%PDF-" in data[:1024]:
            encoded = base64.b64encode(data).decode()
            source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
        else:
            source = {"type": "text", "media_type": "text/plain", "data": _text(data, name=name)}
        blocks.append({"type": "document", "title": name, "source": source, "citations": {"enabled": True}})
    blocks.append({"type": "text", "text": question})
    return {"max_tokens": 4096, "messages": [{"role": "user", "content": blocks}]}


def _named(files: list[Path]) -> dict[str, Path]:
    """The files by the names that they are cited by: their own, or the whole path where two have the same."""
    names = [file.name for file in files]
    return {file.name if names.count(file.name) == 1 else str(file): file for file in files}


def _link(quote: Quote, file: Path) -> str:
    """Where a terminal that knows links opens the quote; viewers of PDF go to the page."""
    address = file.absolute().as_uri()
    return f"{address}#page={quote.page + 1}" if file.suffix.lower() == ".pdf" else address


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        _stop(f"{file}: there is no such file.", code=BAD_INPUT)
    except IsADirectoryError:
        _stop(f"{file} is a folder. Name the files in it, as in {file}/*.pdf.", code=BAD_INPUT)
    except OSError as error:
        _stop(f"{file} cannot be read: {error.strerror}.", code=BAD_INPUT)


def _text(data: bytes, *, name: str) -> str:
    try:
        return read_document(data, name=name).pages[0]
    except UnreadableDocument as error:
        _stop(error.message, code=BAD_INPUT)


def _answer_here(request: dict[str, Any], files: list[Path], *, as_json: bool, show_scores: bool) -> None:
    try:
        with _progress() as on_page:
            examined = examine(request, on_page=on_page)
    except InvalidRequest as error:
        _stop(error.message, code=BAD_INPUT)
    except AliError as error:
        _stop(error.message, code=FAILED)
    if as_json:
        print(json.dumps(_as_json(examined), ensure_ascii=False, indent=2))
    else:
        _print_quotes(examined, _named(files), show_scores=show_scores)
    if examined.answer.abstained:
        raise typer.Exit(NOTHING_FOUND)


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on standard error while long PDFs are read, on a terminal only."""
    tasks: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pages"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:

        def on_page(name: str, done: int, count: int) -> None:
            if count >= _MANY_PAGES:
                if name not in tasks:
                    tasks[name] = progress.add_task(printable(name), total=count)
                progress.update(tasks[name], completed=done)

        yield on_page


def _print_quotes(examined: Examined, files: dict[str, Path], *, show_scores: bool) -> None:
    """Quotes, each with its place under it; the same words, without style or wrapping, where nobody sees a terminal."""
    console = Console(highlight=False)
    found = examined.answer
    if found.abstained:
        _line(console, Text(compose(examined, message_id="")["content"][0]["text"]))
    for number, quote in enumerate(found.quotes):
        document = examined.material.documents[quote.document]
        if number:
            _line(console, Text())
        _line(console, Text(printable(f"“{displayed(quote.text)}”")))
        where = printable(place(quote, document, language=found.language))
        _line(console, Text("  ").append(where, Style(dim=True, link=_link(quote, files[document.name]))))
        if show_scores:
            _line(console, Text("  " + _scores_line(quote), style="dim"))
    if show_scores:
        _line(console, Text(f"confidence {found.confidence:.2f}", style="dim"))


def _line(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=not console.is_terminal)


def _scores_line(quote: Quote) -> str:
    scores = quote.scores
    return (
        f"score {scores.total:.2f}: covers {scores.covered:.2f} of the question, "
        f"{scores.covered_in_context:.2f} with its surroundings; word pairs {scores.pairs:.2f}, "
        f"passage {scores.region:.2f}, heading {scores.heading:.2f}, kind of answer {scores.cue:.1f}"
    )


def _as_json(examined: Examined) -> dict[str, Any]:
    found = examined.answer
    quotes: list[dict[str, Any]] = []
    for quote in found.quotes:
        document = examined.material.documents[quote.document]
        quotes.append(
            {
                "file": document.name,
                "page": quote.page + 1 if document.kind == "pdf" else None,
                "line": document.pages[0].count("\n", 0, quote.start) + 1 if document.kind == "text" else None,
                "start": quote.start,
                "end": quote.end,
                "text": quote.text,
                "scores": {name: round(getattr(quote.scores, name), 4) for name in quote.scores.__slots__},
            }
        )
    return {
        "model": MODEL,
        "answered": not found.abstained,
        "language": found.language,
        "confidence": round(found.confidence, 4),
        "quotes": quotes,
    }


def _answer_by_service(request: dict[str, Any], *, service: Service, as_json: bool) -> None:
    answered = Answered()
    _print_as_it_comes(ask_service(request, service=service, answered=answered), answered, as_json=as_json)
    if as_json:
        _print_json(answered, results=None)
        return
    console = Console(highlight=False)
    for number, citation in enumerate(answered.citations, start=1):
        _line(console, Text(printable(f"[{number}] {_cited_place(citation)}"), style="dim"))


def _answer_from_stores(
    question: str, stores: list[str], *, model: str, service: Service, as_json: bool, show_scores: bool
) -> None:
    answered = Answered()
    try:
        ids = [store_named(service, store, create=False)["id"] for store in stores]
    except ServiceFailed as error:
        _stop(str(error), code=BAD_INPUT if error.bad_input else FAILED)
    texts = ask_store(question, model=model, stores=ids, service=service, answered=answered)
    _print_as_it_comes(texts, answered, as_json=as_json)
    if as_json:
        _print_json(answered, results=answered.results if show_scores else None)
    else:
        _print_sources(answered, show_scores=show_scores)
    if model == MODEL and not answered.citations:
        raise typer.Exit(NOTHING_FOUND)


def _print_as_it_comes(texts: Iterator[str], answered: Answered, *, as_json: bool) -> None:
    try:
        for text in texts:
            if not as_json:
                print(printable(text), end="", flush=True)
    except ServiceFailed as error:
        if answered.text and not as_json:
            print()
        _stop(str(error), code=BAD_INPUT if error.bad_input else FAILED)
    if not as_json:
        print()


def _print_json(answered: Answered, *, results: list[dict[str, Any]] | None) -> None:
    printed = {
        "model": answered.model,
        "text": answered.text,
        "citations": answered.citations,
        "usage": answered.usage,
    } | ({} if results is None else {"results": results})
    print(json.dumps(printed, ensure_ascii=False, indent=2))


def _print_sources(answered: Answered, *, show_scores: bool) -> None:
    """Each passage cited once: file, page, article, and what is cited. `ali-extractive` has said all that."""
    console = Console(highlight=False)
    cited = [] if answered.model == MODEL else answered.citations
    lines = dict.fromkeys(_source_line(each) for each in cited)
    for number, line in enumerate(lines, start=1):
        _line(console, Text(printable(f"[{number}] {line}"), style="dim"))
    if show_scores:
        for result in answered.results:
            text = " ".join(str(result.get("text") or "").split())[:160]
            line = f"{result.get('score') or 0:.2f}  {result.get('filename')}  {text}"
            _line(console, Text(printable(line), style="dim"))


def _source_line(annotation: dict[str, Any]) -> str:
    citation = annotation.get("citation") or {}
    where = str(annotation.get("filename") or annotation.get("url") or "file")
    if isinstance(page := citation.get("page"), int):
        where += f", p. {page}"
    if article := citation.get("article"):
        where += f", {article}"
    cited = " ".join(str(citation.get("cited_text") or "").split())
    return f"{where}: “{cited[:160]}{'…' if len(cited) > 160 else ''}”" if cited else where


def _cited_place(citation: dict[str, Any]) -> str:
    """A citation in one line: file, page, and the beginning of what is cited."""
    where = str(citation.get("document_title") or citation.get("title") or "document")
    first, last = citation.get("start_page_number"), citation.get("end_page_number")
    if isinstance(first, int) and isinstance(last, int):
        where += f", p. {first}" if last <= first + 1 else f", p. {first}-{last - 1}"
    elif isinstance(offset := citation.get("start_char_index"), int):
        where += f", character {offset}"
    cited = " ".join(str(citation.get("cited_text") or "").split())
    return f"{where}: “{cited[:160]}{'…' if len(cited) > 160 else ''}”"


def _stop(message: str, *, code: int) -> NoReturn:
    stop(message, command="ask", code=code)
