"""Identity's objects as OpenAI's Administration API prints them. Source: its API reference, "Administration"."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from ali.features.identity.http.inputs import as_organization_role
from ali.features.identity.models import Invite, Project, ProjectMember, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page

Row = TypeVar("Row")
Json = dict[str, Any]


def unix(time: datetime) -> int:
    """A time in whole seconds since 1970."""
    return int(time.timestamp())


def maybe_unix(time: datetime | None) -> int | None:
    """As `unix`; None stays None."""
    return None if time is None else unix(time)


def listing(page: Page[Row], write: Callable[[Row], Json]) -> Json:
    """A page of a list."""
    data = [write(row) for row in page.rows]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": page.has_more,
    }


def deleted(kind: str, name: str) -> Json:
    """What is gone. `kind` is the object's, without `.deleted`."""
    return {"object": f"{kind}.deleted", "id": name, "deleted": True}


def project(row: Project) -> Json:
    """`organization.project`."""
    return {
        "object": "organization.project",
        "id": named(Kind.PROJECT, row.id),
        "name": row.name,
        "created_at": unix(row.created_at),
        "archived_at": maybe_unix(row.archived_at),
        "status": "active" if row.archived_at is None else "archived",
    }


def user(row: User) -> Json:
    """`organization.user`."""
    name = named(Kind.USER, row.id)
    return {
        "object": "organization.user",
        "id": name,
        "name": row.name,
        "email": row.email,
        "role": as_organization_role(row.role),
        "added_at": unix(row.created_at),
        "created": unix(row.created_at),
        "is_service_account": False,
        "user": {
            "object": "user",
            "id": name,
            "email": row.email,
            "name": row.name,
            "enabled": row.disabled_at is None,
        },
    }


def member(row: tuple[ProjectMember, User]) -> Json:
    """`organization.project.user`."""
    membership, person = row
    return {
        "object": "organization.project.user",
        "id": named(Kind.USER, person.id),
        "name": person.name,
        "email": person.email,
        "role": membership.role,
        "added_at": unix(membership.created_at),
    }


def invite(row: Invite) -> Json:
    """`organization.invite`."""
    expired = row.expires_at <= datetime.now(UTC)
    return {
        "object": "organization.invite",
        "id": named(Kind.INVITE, row.id),
        "email": row.email,
        "role": as_organization_role(row.role),
        "status": "accepted" if row.accepted_at is not None else "expired" if expired else "pending",
        "created_at": unix(row.created_at),
        "expires_at": unix(row.expires_at),
        "accepted_at": maybe_unix(row.accepted_at),
        "projects": [
            {"id": f"{Kind.PROJECT.value}{each['id'].replace('-', '')}", "role": each["role"]} for each in row.projects
        ],
    }
