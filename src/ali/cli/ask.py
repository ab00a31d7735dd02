"""`ali ask "question" FILE…`: an answer from documents, quoted, with file and page.

The default model, `ali-extractive`, answers in this process and needs no server, account or key. Any other model is
asked through the running service. Exit codes: 0 answered, 1 failed, 2 bad input, 3 nothing found.
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
from rich.text import Text

from ali.cli.ask_service import Answered, ServiceFailed, ask_service
from ali.kernel.errors import AliError, InvalidRequest
from ali.kernel.setting_values import checked_base_url
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

FAILED, BAD_INPUT, NOTHING_FOUND = 1, 2, 3
_MANY_PAGES = 40


def ask(
    question: Annotated[
        str, typer.Argument(help="What you want to know, in Portuguese or English.", show_default=False)
    ],
    files: Annotated[
        list[Path], typer.Argument(help="PDF, Markdown or text files to answer from.", show_default=False)
    ],
    *,
    model: Annotated[str, typer.Option(help="The model; any but the default is asked through the service.")] = MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    show_scores: Annotated[bool, typer.Option("--show-scores", help="Say why each quote was found.")] = False,
    url: Annotated[str, typer.Option(envvar="ALI_URL", help="Where the service is.")] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="ALI_API_KEY",
            help="Key for the service; default: the owner's, from the home folder.",
            show_envvar=True,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Answer a question from documents, by quoting them, with file and page.

    Exit codes: 0 answered, 1 failed, 2 bad input, 3 nothing in the documents answers.
    """
    if not question.strip():
        _stop("Ask something: the question is empty.", code=BAD_INPUT)
    request = _request(question, files)
    if model == MODEL:
        _answer_here(request, as_json=as_json, show_scores=show_scores)
        return
    try:
        base_url = checked_base_url(url)
    except ValueError as error:
        _stop(f"--url {url}: {error}", code=BAD_INPUT)
    _answer_by_service({**request, "model": model}, base_url=base_url, api_key=api_key, as_json=as_json)


def _request(question: str, files: list[Path]) -> dict[str, Any]:
    """The Messages request: each file a document block, then the question."""
    names = [file.name for file in files]
    blocks: list[dict[str, Any]] = []
    for file in files:
        name = file.name if names.count(file.name) == 1 else str(file)
        data = _content(file)
        if b"%PDF-" in data[:1024]:
            encoded = base64.b64encode(data).decode()
            source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
        else:
            source = {"type": "text", "media_type": "text/plain", "data": _text(data, name=name)}
        blocks.append({"type": "document", "title": name, "source": source, "citations": {"enabled": True}})
    blocks.append({"type": "text", "text": question})
    return {"max_tokens": 4096, "messages": [{"role": "user", "content": blocks}]}


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


def _answer_here(request: dict[str, Any], *, as_json: bool, show_scores: bool) -> None:
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
        _print_quotes(examined, show_scores=show_scores)
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
                    tasks[name] = progress.add_task(_printable(name), total=count)
                progress.update(tasks[name], completed=done)

        yield on_page


def _print_quotes(examined: Examined, *, show_scores: bool) -> None:
    """Quotes, each with its place under it; the same words, without style or wrapping, where nobody sees a terminal."""
    console = Console(highlight=False)
    found = examined.answer
    if found.abstained:
        _line(console, Text(compose(examined, message_id="")["content"][0]["text"]))
    for number, quote in enumerate(found.quotes):
        document = examined.material.documents[quote.document]
        if number:
            _line(console, Text())
        _line(console, Text(_printable(f"“{displayed(quote.text)}”")))
        where = _printable(place(quote, document, language=found.language))
        _line(console, Text(f"  {where}", style="dim"))
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


def _answer_by_service(request: dict[str, Any], *, base_url: str, api_key: str | None, as_json: bool) -> None:
    answered = Answered()
    try:
        for text in ask_service(request, base_url=base_url, api_key=api_key, answered=answered):
            if not as_json:
                print(_printable(text), end="", flush=True)
    except ServiceFailed as error:
        if answered.text and not as_json:
            print()
        _stop(str(error), code=BAD_INPUT if error.bad_input else FAILED)
    if as_json:
        citations = [dict(citation) for citation in answered.citations]
        printed = {"model": answered.model, "text": answered.text, "citations": citations, "usage": answered.usage}
        print(json.dumps(printed, ensure_ascii=False, indent=2))
        return
    print()
    console = Console(highlight=False)
    for number, citation in enumerate(answered.citations, start=1):
        _line(console, Text(_printable(f"[{number}] {_cited_place(citation)}"), style="dim"))


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


def _printable(text: str) -> str:
    """Text without control characters: a document must not drive the terminal."""
    return "".join(char for char in text if char in "\n\t" or char.isprintable() or (char.isspace() and char > "\x9f"))


def _stop(message: str, *, code: int) -> NoReturn:
    print(f"ali ask: {_printable(message)}", file=sys.stderr)
    raise typer.Exit(code)
