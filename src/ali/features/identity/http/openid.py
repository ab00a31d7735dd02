"""Sign-in through an issuer of OpenID Connect: `/v1/ali/auth/openid`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from ali.features.identity import acceptance
from ali.features.identity.http.access import OptionallyAuthenticated
from ali.features.identity.http.desk import PREFIX, AtDesk, FromDevice, Token, router, tokens

routes = router()

COOKIE: Final = "ali_openid"
"""Holds the state of the sign-in that this browser has begun, so that no other can bring its answer."""
_LIFETIME_S: Final = 600

Provider = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Part = Annotated[str | None, Query(max_length=4096)]


class Start(BaseModel):
    """What the sign-in is for, beyond signing in."""

    model_config = ConfigDict(extra="forbid")

    invitation: Token | None = None
    """The secret of an invitation's link: its account is to be entered through this issuer."""


@routes.get("/openid", summary="List the issuers that sign people in")
async def list_providers(desk: AtDesk) -> dict[str, Any]:
    """Their names, for a page to choose from."""
    data = [{"object": "ali.openid_provider", "name": name} for name in desk.parties]
    return {"object": "list", "data": data, "has_more": False}


@routes.post("/openid/{provider}/start", summary="Begin a sign-in at an issuer")
async def start(
    *,
    provider: Provider,
    principal: OptionallyAuthenticated,
    desk: AtDesk,
    device: FromDevice,
    response: Response,
    wanted: Start | None = None,
) -> dict[str, Any]:
    """Where to send the browser. It keeps a cookie until it comes back, within ten minutes.

    With an access token the issuer is linked to the present account; with an invitation, to the one that it brings.
    """
    from ali.features.identity import external  # noqa: PLC0415 - with all of OpenID Connect, which few use
    from ali.features.identity.external_accounts import Purpose  # noqa: PLC0415 - as above

    now = datetime.now(UTC)
    purpose = Purpose()
    if wanted is not None and wanted.invitation is not None:
        token = wanted.invitation.get_secret_value()
        invitation = await acceptance.invitation(desk, token=token, device=device, now=now)
        purpose = Purpose(organization_id=invitation.organization_id, invite_id=invitation.id)
    elif principal is not None:
        user_id, _ = principal.require_person()
        purpose = Purpose(user_id=user_id, organization_id=principal.organization_id)
    begun = await external.begin(desk, provider, purpose=purpose, device=device, now=now)
    path, secure = _cookie_place(desk.address)
    # Lax: the browser comes back from another site, by a link and not by a script.
    response.set_cookie(
        COOKIE, begun.state, max_age=_LIFETIME_S, path=path, secure=secure, httponly=True, samesite="lax"
    )
    return {"object": "ali.openid_attempt", "authorization_url": begun.url, "expires_in": _LIFETIME_S}


@routes.get("/openid/{provider}/callback", summary="Come back from an issuer, signed in")
async def callback(
    *,
    provider: Provider,
    request: Request,
    desk: AtDesk,
    device: FromDevice,
    response: Response,
    code: Part = None,
    state: Part = None,
    iss: Part = None,
    error: Part = None,
) -> dict[str, Any]:
    """The session's tokens, as a sign-in with a password answers them."""
    from ali.features.identity import external  # noqa: PLC0415 - with all of OpenID Connect, which few use

    now = datetime.now(UTC)
    given = {"code": code, "state": state, "iss": iss, "error": error}
    opened = await external.finish(
        desk,
        provider,
        answer={name: value for name, value in given.items() if value is not None},
        state=request.cookies.get(COOKIE, ""),
        device=device,
        now=now,
    )
    path, secure = _cookie_place(desk.address)
    response.delete_cookie(COOKIE, path=path, secure=secure, httponly=True, samesite="lax")
    return tokens(opened, now=now)


def _cookie_place(address: str) -> tuple[str, bool]:
    """The path below which the browser sends the cookie, and whether over TLS alone."""
    parts = urlsplit(address)
    return f"{parts.path}{PREFIX}/openid", parts.scheme == "https"
