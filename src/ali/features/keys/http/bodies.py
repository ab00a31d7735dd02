"""What routes of keys take, and how it becomes restrictions."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from ali.features.identity.http.inputs import Body, Name, Role, Seconds, UnixTime, moment
from ali.features.keys.lifecycle import Change
from ali.features.keys.restrictions import MOST_ENTRIES, Restrictions, read_networks, read_permissions
from ali.kernel.errors import InvalidRequest

Short = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Entries = Annotated[list[Short], Field(max_length=MOST_ENTRIES)]


class Narrowing(Body):
    """How a key is narrowed. Null, and nothing named, is not at all."""

    permissions: Entries | None = None
    scopes: Entries | None = Field(default=None, description="OpenAI's word for permissions; an empty list is all.")
    allowed_models: Entries | None = None
    allowed_networks: Entries | None = None
    expires_at: UnixTime | None = None
    expires_in_seconds: Seconds | None = None


class NewKey(Narrowing):
    """A key to be issued."""

    name: Name
    role: Role = "member"


class KeyChange(Narrowing):
    """What of a key is to be another way; what is not named stays."""

    name: Name | None = None
    role: Role | None = None


class NewAdminKey(Narrowing):
    """A key of the whole organization to be issued."""

    name: Name
    role: Role = "admin"


class NewAccountKey(Narrowing):
    """A further key of a service account."""

    name: Name = "Service account key"


class NewAccount(Narrowing):
    """A service account to be made; the rest narrows its first key."""

    name: Name
    role: Role = "member"
    create_service_account_only: bool | None = None


class AccountChange(Body):
    """What of a service account is to be another way."""

    name: Name | None = None
    role: Role | None = None


def restrictions(body: Narrowing, *, role: str) -> Restrictions:
    """What `body` asks for. Raises `InvalidRequest`."""
    given = body.model_fields_set
    for one, other in (("permissions", "scopes"), ("expires_at", "expires_in_seconds")):
        if one in given and other in given:
            raise InvalidRequest(f"Give {one} or {other}, not both.", param=other)
    # To OpenAI an empty list of scopes is no restriction; an empty list of permissions is none of them.
    permissions = (body.scopes or None) if "scopes" in given else body.permissions
    expires_at = None if body.expires_at is None else moment(body.expires_at)
    if body.expires_in_seconds is not None:
        expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=body.expires_in_seconds)
    return Restrictions(
        permissions=read_permissions(permissions, role=role),
        allowed_models=None if body.allowed_models is None else tuple(body.allowed_models),
        allowed_networks=read_networks(body.allowed_networks),
        expires_at=expires_at,
    )


def change(body: KeyChange, *, role: str) -> Change:
    """What `body` asks for of a key that has, or is to have, `role`. Raises `InvalidRequest`."""
    renamed = {"scopes": "permissions", "expires_in_seconds": "expires_at"}
    fields = {renamed.get(field, field) for field in body.model_fields_set - {"name", "role"}}
    return Change(name=body.name, role=body.role, restrictions=restrictions(body, role=role), fields=frozenset(fields))
