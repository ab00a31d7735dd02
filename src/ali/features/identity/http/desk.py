"""What routes of sign-in ask for: the desk, the caller's device, the person; and the shapes of what is sent."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ali.features.identity.desk import Desk, Device
from ali.features.identity.http.access import Authenticated, client_address
from ali.features.identity.http.language import SpokenRoute
from ali.features.identity.naming import Kind, named
from ali.features.identity.principal import Principal
from ali.features.identity.sessions import ACCESS_LIFETIME, Opened
from ali.features.identity.sessions import shown as shown_session

PREFIX: Final = "/v1/ali/auth"
_LONGEST_USER_AGENT: Final = 200


class Body(BaseModel):
    """A request's JSON. What it does not name is a mistake."""

    model_config = ConfigDict(extra="forbid")


Email = Annotated[str, Field(min_length=3, max_length=254, pattern=r"^[^\x00-\x20\x7f]+$")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
Code = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Token = Annotated[SecretStr, Field(min_length=1, max_length=200)]


def router() -> APIRouter:
    """A router of sign-in, whose errors are told in the caller's language."""
    return APIRouter(prefix=PREFIX, tags=["sign-in"], route_class=SpokenRoute)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]
"""The process-wide objects of sign-in."""


def _device(request: Request) -> Device:
    return Device(
        address=client_address(request),
        user_agent=harmless(request.headers.get("user-agent", "")),
        request_id=request.state.request_id,
    )


FromDevice = Annotated[Device, Depends(_device)]
"""Where the request comes from."""


def _person(principal: Authenticated) -> Principal:
    principal.require_person()
    return principal


Person = Annotated[Principal, Depends(_person)]
"""A person in a session, whatever they may do: for what everybody may do to themselves. Keys are refused."""


def harmless(user_agent: str) -> str:
    """What a client says of itself, for a list that people read: printable, and not long."""
    printable = "".join(character if character.isprintable() else " " for character in user_agent)
    return printable[:_LONGEST_USER_AGENT].strip()


def tokens(opened: Opened, *, now: datetime) -> dict[str, Any]:
    """A session's tokens as a sign-in answers them (the names of RFC 6749)."""
    return {
        "object": "ali.tokens",
        "access_token": opened.access_token,
        "token_type": "Bearer",
        "expires_in": int(ACCESS_LIFETIME.total_seconds()),
        "expires_at": int((now + ACCESS_LIFETIME).timestamp()),
        "refresh_token": opened.refresh_token,
        "session_id": shown_session(opened.session_id),
        "user_id": named(Kind.USER, opened.user.id),
    }
