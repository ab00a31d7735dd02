"""Errors of ordinary routes, answered in the caller's dialect whatever raised them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ali.kernel.envelopes import envelope_of, error_body, error_headers
from ali.kernel.errors import AliError, InvalidRequest, MethodNotAllowed, NotFound
from ali.kernel.ids import new_id

App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[MutableMapping[str, Any]], Awaitable[None]]],
    Awaitable[None],
]
"""An ASGI application."""


def answer_errors(api: FastAPI) -> None:
    """Teach `api` to answer every error with an envelope."""
    api.add_exception_handler(AliError, _on_ali_error)
    api.add_exception_handler(HTTPException, _on_http_exception)
    api.add_exception_handler(RequestValidationError, _on_validation_error)
    api.add_exception_handler(Exception, _on_bug)


def _error_response(request: Request, error: AliError) -> Response:
    name: str = getattr(request.state, "request_id", None) or new_id("req")
    envelope = envelope_of(request.url.path, anthropic_version="anthropic-version" in request.headers)
    body = error_body(error, envelope=envelope, request_id=name)
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in error_headers(error)}
    return Response(
        body,
        status_code=error.http_status,
        media_type="application/json",
        headers=headers,
    )


async def _on_ali_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AliError)  # noqa: S101 - Starlette's handlers are typed for any exception
    return _error_response(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:
        return _error_response(
            request,
            NotFound("There is nothing at this path. GET /openapi.json describes what there is.", code="unknown_url"),
        )
    if status == 405:
        return _error_response(
            request, MethodNotAllowed("This path does not take that method. GET /openapi.json describes what it takes.")
        )
    return _error_response(request, InvalidRequest("The request cannot be understood."))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) and error.errors() else {}
    where = [str(part) for part in first.get("loc", ())][1:]
    param = ".".join(where) or None
    return _error_response(
        request, InvalidRequest(f"{param or 'The request'}: {first.get('msg', 'not valid')}.", param=param)
    )


async def _on_bug(request: Request, _error: Exception) -> Response:
    return _error_response(request, AliError("The service failed on this request. Report its id to the operator."))
