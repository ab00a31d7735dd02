"""Asking a model through the running service, as any client would: POST /v1/messages, streamed."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

from ali.providers.contract import UpstreamTooLarge
from ali.providers.sse import EventSplitter, event_data

_SILENCE_S = 120.0
_EVENT_BYTES = 16 * 1024 * 1024
_CREDENTIAL = Path("credentials") / "owner-api-key"


class ServiceFailed(Exception):
    """The service could not be asked, or did not answer. `bad_input`: what was asked is at fault."""

    def __init__(self, message: str, *, bad_input: bool = False) -> None:
        super().__init__(message)
        self.bad_input = bad_input


@dataclass(slots=True)
class Answered:
    """What has come so far."""

    model: str = ""
    text: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def ask_service(request: dict[str, Any], *, base_url: str, api_key: str | None, answered: Answered) -> Iterator[str]:
    """Send a Messages request and yield its text as it comes; `answered` is filled on the way. Raises `ServiceFailed`.

    `base_url` is http(s), as `checked_base_url` gives it; without `api_key` the owner's is read from the home folder.
    """
    key = api_key or _owner_key()
    http = urllib.request.Request(  # noqa: S310 - the scheme was checked by the caller
        f"{base_url.removesuffix('/v1')}/v1/messages",
        data=json.dumps({**request, "stream": True}).encode(),
        headers={"content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key},
        method="POST",
    )
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if urlsplit(base_url).hostname in {"127.0.0.1", "localhost", "::1"}:
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(http, timeout=_SILENCE_S) as response:
            yield from _texts(response, answered)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error) from error
    except urllib.error.URLError as error:
        raise ServiceFailed(
            f"No service answers at {base_url} ({error.reason}). Start it with ./run, or name it with --url."
        ) from error
    except (OSError, UpstreamTooLarge) as error:
        raise ServiceFailed(f"The service broke off its answer ({error}).") from error


def _owner_key() -> str:
    """The key that the service made for this installation's owner."""
    home = Path(os.environ.get("ALI_HOME") or Path.home() / ".local" / "share" / "ali")
    try:
        return (home / _CREDENTIAL).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ServiceFailed(
            f"No API key: give --api-key or ALI_API_KEY, or start the service with ./run, which makes one in "
            f"{home / _CREDENTIAL}.",
            bad_input=True,
        ) from error


def _refused(error: urllib.error.HTTPError) -> ServiceFailed:
    try:
        message = json.loads(error.read(1 << 20))["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"it answered {error.code} {error.reason}"
    return ServiceFailed(f"The service refused: {message}", bad_input=400 <= error.code < 500)


def _texts(response: IO[bytes], answered: Answered) -> Iterator[str]:
    """The text deltas of an event stream."""
    splitter = EventSplitter(limit_bytes=_EVENT_BYTES)
    done = False
    while chunk := _some(response):
        for event in splitter.feed(chunk):
            data = event_data(event)
            fields = _parsed(data) if data else {}
            done = done or fields.get("type") == "message_stop"
            if text := _taken(fields, answered):
                answered.text += text
                yield text
    if not done:
        raise ServiceFailed("The service broke off its answer before its end.")


def _some(response: IO[bytes]) -> bytes:
    """What has arrived, at least a byte; empty at the end."""
    read1 = getattr(response, "read1", None)
    return read1(65_536) if read1 is not None else response.read(1024)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise ServiceFailed("The service sent something that is not the protocol. Is --url right?") from error
    return fields if isinstance(fields, dict) else {}


def _taken(event: dict[str, Any], answered: Answered) -> str:
    """Note what an event says; returns the text that it adds."""
    match event:
        case {"type": "message_start", "message": {"model": str(model), "usage": dict(usage)}}:
            answered.model = model
            answered.usage.update(usage)
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
            return text
        case {"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": dict(citation)}}:
            answered.citations.append(citation)
        case {"type": "message_delta", "usage": dict(usage)}:
            answered.usage.update(usage)
        case {"type": "error", "error": {"message": str(message)}}:
            _fail(message)
        case _:
            pass
    return ""


def _fail(message: str) -> NoReturn:
    raise ServiceFailed(f"The answer broke off: {message}")
