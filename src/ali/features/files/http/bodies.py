"""The body of an upload as it comes."""

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces. A sender who leaves ends it: whoever reads it sees that it ended too early."""
    try:
        async for data in request.stream():
            yield data
    except ClientDisconnect:
        return
