"""The running service, as a command reaches it: JSON calls, uploads and event streams, with the standard library alone.

Nothing here follows a redirect, which would carry the key to another host, and loopback is never reached by a proxy.
"""

import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

from ali.providers.contract import UpstreamTooLarge
from ali.providers.sse import EventSplitter, event_data

Json = dict[str, Any]

_SILENCE_S = 120.0
_EVENT_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_PAGE = 100
_CREDENTIAL = Path("credentials") / "owner-api-key"


class ServiceFailed(Exception):
    """The service could not be asked, or did not answer. `bad_input`: what was asked is at fault."""

    def __init__(self, message: str, *, bad_input: bool = False) -> None:
        super().__init__(message)
        self.bad_input = bad_input


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service and the key for it; methods raise `ServiceFailed`.

    `base_url` is http(s), as `checked_base_url` gives it. Without `api_key` the owner's is read from the home folder.
    """

    base_url: str
    api_key: str | None = None

    def get(self, path: str, **query: object) -> Json:
        """GET `path`, with the query's members that are not None."""
        asked = {name: value for name, value in query.items() if value is not None}
        return self._json("GET", f"{path}?{urlencode(asked)}" if asked else path)

    def post(self, path: str, body: Json) -> Json:
        """POST JSON."""
        return self._json("POST", path, body)

    def delete(self, path: str) -> Json:
        """DELETE `path`."""
        return self._json("DELETE", path)

    def all_of(self, path: str, **query: object) -> Iterator[Json]:
        """Every entry of a list, page by page."""
        after: object = None
        while True:
            page = self.get(path, limit=_PAGE, after=after, **query)
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = page["data"][-1]["id"]

    def upload(self, file: Path, *, purpose: str, on_bytes: Callable[[int], None] | None = None) -> Json:
        """Send a file, read as it goes. `on_bytes` is told how many more bytes have been sent. Raises `OSError` too."""
        boundary = secrets.token_hex(16)
        name = quote(file.name, safe=" ()[]{}+,;=@&!'~")
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{_quoted(file.name)}"; '
            f"filename*=UTF-8''{name}\r\ncontent-type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = file.stat().st_size

        def pieces(opened: IO[bytes]) -> Iterator[bytes]:
            yield head
            while piece := opened.read(_PIECE_BYTES):
                yield piece
                if on_bytes is not None:
                    on_bytes(len(piece))
            yield tail

        with file.open("rb") as opened:
            request = self._request(
                "POST",
                "/v1/files",
                pieces(opened),
                {
                    "content-type": f"multipart/form-data; boundary={boundary}",
                    "content-length": str(len(head) + size + len(tail)),
                },
            )
            with self._opened(request) as response:
                return _object(response.read())

    def events(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Iterator[Json]:
        """POST a request for a stream; its events as objects."""
        sent = {"content-type": "application/json", **(headers or {})}
        request = self._request("POST", path, json.dumps({**body, "stream": True}).encode(), sent)
        try:
            with self._opened(request) as response:
                splitter = EventSplitter(limit_bytes=_EVENT_BYTES)
                while chunk := _some(response):
                    for event in splitter.feed(chunk):
                        data = event_data(event)
                        if data and data.strip() != b"[DONE]":
                            yield _object(data)
        except UpstreamTooLarge as error:
            raise ServiceFailed(f"The service broke off its answer ({error}).") from error

    def _json(self, method: str, path: str, body: Json | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        with self._opened(self._request(method, path, data, headers)) as response:
            return _object(response.read())

    def _request(
        self, method: str, path: str, data: bytes | Iterator[bytes] | None, headers: dict[str, str]
    ) -> urllib.request.Request:
        key = self.api_key or _owner_key()
        return urllib.request.Request(  # noqa: S310 - the scheme was checked by the caller
            self.base_url.removesuffix("/v1") + path,
            data=data,
            headers={**headers, "x-api-key": key},
            method=method,
        )

    @contextmanager
    def _opened(self, request: urllib.request.Request) -> Iterator[IO[bytes]]:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if urlsplit(self.base_url).hostname in {"127.0.0.1", "localhost", "::1"}:
            handlers.append(urllib.request.ProxyHandler({}))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=_SILENCE_S) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from error
        except urllib.error.URLError as error:
            raise ServiceFailed(
                f"No service answers at {self.base_url} ({error.reason}). Start it with ./run, or name it with --url."
            ) from error
        except OSError as error:
            raise ServiceFailed(f"The service broke off its answer ({error}).") from error


def _quoted(name: str) -> str:
    """A file's name as a form's header takes it (RFC 7578, 4.2: as it is, in UTF-8, quotes and line ends escaped)."""
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")


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


def _some(response: IO[bytes]) -> bytes:
    """What has arrived, at least a byte; empty at the end."""
    read1 = getattr(response, "read1", None)
    return read1(65_536) if read1 is not None else response.read(1024)


def _object(data: bytes) -> Json:
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise ServiceFailed("The service sent something that is not the protocol. Is --url right?") from error
    return fields if isinstance(fields, dict) else {}
