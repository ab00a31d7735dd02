"""The page behind a one-time link: `/accept-invitation`, `/reset-password`. One file for both, without a framework.

It runs its own script alone and speaks to this service alone, whatever stands in it; the link's secret is behind `#`,
so that it is in no request, log or referrer.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Response

router = APIRouter(tags=["sign-in"])

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@router.get("/accept-invitation", summary="The page of an invitation's link", response_class=Response)
async def accept_invitation() -> Response:
    """A form for a name and a password, in English or Brazilian Portuguese."""
    return _page("link.html", media_type="text/html; charset=utf-8")


@router.get("/reset-password", summary="The page of a link to a new password", response_class=Response)
async def reset_password() -> Response:
    """A form for a password, in English or Brazilian Portuguese."""
    return _page("link.html", media_type="text/html; charset=utf-8")


@router.get("/account/link.js", summary="The script of these pages", response_class=Response)
async def script() -> Response:
    """What the pages do."""
    return _page("link.js", media_type="text/javascript; charset=utf-8")


@router.get("/account/link.css", summary="The style of these pages", response_class=Response)
async def style() -> Response:
    """How the pages look."""
    return _page("link.css", media_type="text/css; charset=utf-8")


def _page(name: str, *, media_type: str) -> Response:
    return Response(_content(name), media_type=media_type, headers={"content-security-policy": POLICY})


@cache
def _content(name: str) -> bytes:
    return files("ali.features.identity").joinpath("pages", name).read_bytes()
