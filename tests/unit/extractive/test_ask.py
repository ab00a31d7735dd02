import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from ali.cli.ask import ask
from ali.providers.extractive import message_for, stream_of
from tests.unit.extractive.pdf_bytes import MANUAL, make_pdf

APP = typer.Typer()
APP.command()(ask)


@pytest.fixture
def manual(tmp_path: Path) -> Path:
    path = tmp_path / "manual.pdf"
    path.write_bytes(MANUAL)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(APP, [str(word) for word in words])


def test_the_answer_is_printed_with_file_and_page(manual: Path) -> None:
    done = run("Quem projetou a bomba?", manual)

    assert done.exit_code == 0
    assert done.stdout.splitlines()[:2] == ["“A bomba foi projetada por Ana Souza em Recife.”", "  manual.pdf, p. 1"]


def test_scores_are_shown_on_demand(manual: Path) -> None:
    assert "confidence" not in run("Quem projetou a bomba?", manual).stdout
    assert "confidence 1.00" in run("Quem projetou a bomba?", manual, "--show-scores").stdout


def test_json_has_every_quote_with_its_place(manual: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notas.md"
    notes.write_text("# Notas\n\nA bomba foi comprada em 2021.\n", encoding="utf-8")
    told = json.loads(run("Quando a bomba foi comprada?", manual, notes, "--json").stdout)

    assert told["answered"] is True
    assert told["quotes"][0]["file"] == "notas.md"
    assert told["quotes"][0]["line"] == 3
    assert told["quotes"][0]["text"] == "A bomba foi comprada em 2021."


def test_nothing_found_says_so_and_exits_with_3(manual: Path) -> None:
    done = run("Qual é a capital da França?", manual)

    assert done.exit_code == 3
    assert done.stdout.startswith("Não encontrei")
    assert json.loads(run("Qual é a capital da França?", manual, "--json").stdout)["quotes"] == []


def test_bad_input_exits_with_2_and_names_the_file(tmp_path: Path, manual: Path) -> None:
    locked, cut, empty = tmp_path / "locked.pdf", tmp_path / "cut.pdf", tmp_path / "empty.txt"
    locked.write_bytes(make_pdf([["x"]], encrypted=True))
    cut.write_bytes(MANUAL[:800])
    empty.write_bytes(b"")
    for words, says in (
        (("Why?", tmp_path / "none.pdf"), "no such file"),
        (("Why?", tmp_path), "is a folder"),
        (("Why?", locked), "locked.pdf is encrypted"),
        (("Why?", cut), "cut.pdf is truncated"),
        (("Why?", empty), "empty.txt is empty"),
        ((" ", manual), "question is empty"),
        (("Why?", manual, "--model", "x", "--url", "ftp://x"), "--url ftp://x"),
    ):
        done = run(*words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert says in done.stderr


def test_control_characters_of_a_document_do_not_reach_the_terminal(tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.txt"
    hostile.write_text("The deadline is \x1b]0;owned\x07 30 June.", encoding="utf-8")

    assert "\x1b" not in run("What is the deadline?", hostile).stdout


class _Service(http.server.BaseHTTPRequestHandler):
    """What the service says: the stream of `ali-extractive`, or an error, chosen by the model's name."""

    asked: list[tuple[str, str | None, dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, self.headers["x-api-key"], body))  # type: ignore[attr-defined] # a list
        if body["model"] == "unknown":
            self._send(404, json.dumps({"type": "error", "error": {"message": "No such model."}}).encode())
        elif body["model"] == "moved":
            self.send_response(307)
            self.send_header("location", "http://127.0.0.1:9/")
            self.end_headers()
        else:
            events = b"".join(stream_of(message_for(body, message_id="msg_1")))
            self._send(200, events[: len(events) // 2] if body["model"] == "broken" else events)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Service) as server:
        server.asked = []  # type: ignore[attr-defined] # what was asked, for the tests
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def by_service(service: http.server.HTTPServer, manual: Path, model: str, *more: str) -> Result:
    url = f"http://127.0.0.1:{service.server_port}/v1"
    return run("Quem projetou a bomba?", manual, "--model", model, "--url", url, "--api-key", "sk-1", *more)


def test_another_model_is_asked_through_the_service_and_its_citations_come_last(
    service: http.server.HTTPServer, manual: Path
) -> None:
    done = by_service(service, manual, "claude")

    assert done.exit_code == 0
    assert "Ana Souza" in done.stdout
    assert "[1] manual.pdf, p. 1: “A bomba foi projetada" in done.stdout
    ((path, key, body),) = service.asked  # type: ignore[attr-defined] # as above
    assert (path, key, body["stream"]) == ("/v1/messages", "sk-1", True)
    assert body["messages"][0]["content"][0]["title"] == "manual.pdf"


def test_the_services_json_has_text_citations_and_usage(service: http.server.HTTPServer, manual: Path) -> None:
    told = json.loads(by_service(service, manual, "claude", "--json").stdout)

    assert told["citations"][0]["start_page_number"] == 1
    assert told["usage"]["output_tokens"] > 0


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [("unknown", 2, "No such model."), ("broken", 1, "broke off"), ("moved", 1, "307")],
)
def test_what_the_service_refuses_or_breaks_off_is_said(
    service: http.server.HTTPServer, manual: Path, model: str, code: int, says: str
) -> None:
    done = by_service(service, manual, model)

    assert done.exit_code == code
    assert says in done.stderr


def test_without_a_service_it_says_how_to_start_one(manual: Path) -> None:
    done = run("Why?", manual, "--model", "gpt", "--url", "http://127.0.0.1:9", "--api-key", "k")

    assert done.exit_code == 1
    assert "./run" in done.stderr


def test_without_a_key_it_says_where_one_comes_from(
    manual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ALI_API_KEY", raising=False)

    done = run("Why?", manual, "--model", "gpt")

    assert done.exit_code == 2
    assert "owner-api-key" in done.stderr
