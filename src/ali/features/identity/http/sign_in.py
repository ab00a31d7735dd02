"""Signing in, staying in, and leaving: `/v1/ali/auth/{sign-in,refresh,sign-out,sessions,me}`."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path
from sqlalchemy import func, select

from ali.features.identity import sessions
from ali.features.identity.account import own
from ali.features.identity.http.access import Acting, Transaction
from ali.features.identity.http.desk import (
    AtDesk,
    Body,
    Code,
    Email,
    FromDevice,
    Password,
    Person,
    Token,
    router,
    tokens,
)
from ali.features.identity.models import Organization, Project, ProjectMember, RecoveryCode, Session, User
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.principal import Principal
from ali.features.identity.roles import ORGANIZATION_WIDE
from ali.features.identity.sign_in import sign_in

routes = router()

_MOST_PROJECTS = 1000


class SignIn(Body):
    """Who signs in."""

    email: Email
    password: Password
    code: Code | None = None
    """Of the authenticator, or for recovery; where the account has a second factor."""


class Refresh(Body):
    """What a session is renewed with."""

    refresh_token: Token


@routes.post("/sign-in", summary="Sign in with e-mail address and password")
async def sign_in_with_password(wanted: SignIn, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """An access token for ten minutes, and a refresh token for the next ones. Keep neither where a script may read it
    later: a browser keeps them in memory.
    """
    now = datetime.now(UTC)
    password = wanted.password.get_secret_value()
    opened = await sign_in(desk, email=wanted.email, password=password, code=wanted.code, device=device, now=now)
    return tokens(opened, now=now)


@routes.post("/refresh", summary="Renew a session's tokens")
async def refresh(wanted: Refresh, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """New tokens. The refresh token is used up: one that is presented twice ends the session."""
    now = datetime.now(UTC)
    return tokens(await sessions.renew(desk, wanted.refresh_token.get_secret_value(), device=device, now=now), now=now)


@routes.post("/sign-out", summary="End the present session")
async def sign_out(person: Person, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """Its tokens are good nowhere within a second."""
    user_id, session_id = person.require_person()
    await sessions.end(
        transaction,
        user_id=user_id,
        session_id=session_id,
        reason="signed_out",
        actor=acting,
        now=datetime.now(UTC),
    )
    return _ended(1)


@routes.post("/sign-out-everywhere", summary="End all of one's sessions")
async def sign_out_everywhere(person: Person, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """The present one too."""
    user_id, _ = person.require_person()
    ended = await sessions.end_all(
        transaction, user_id=user_id, reason="signed_out_everywhere", actor=acting, now=datetime.now(UTC)
    )
    return _ended(ended)


@routes.get("/sessions", summary="List one's sessions")
async def list_sessions(person: Person, transaction: Transaction) -> dict[str, Any]:
    """Those that last, the one used last first."""
    user_id, present = person.require_person()
    found = await sessions.listed(transaction, user_id=user_id, now=datetime.now(UTC))
    data = [_shown(each, present=each.id == present) for each in found]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": False,
    }


@routes.delete("/sessions/{session_id}", summary="End one of one's sessions")
async def end_session(
    session_id: Annotated[str, Path(max_length=64)], person: Person, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """Its tokens are good nowhere within a second."""
    user_id, _ = person.require_person()
    await sessions.end(
        transaction,
        user_id=user_id,
        session_id=read(Kind.SESSION, session_id),
        reason="ended_by_person",
        actor=acting,
        now=datetime.now(UTC),
    )
    return _ended(1)


@routes.get("/me", summary="Who one is, and what one may do")
async def me(person: Person, transaction: Transaction) -> dict[str, Any]:
    """The account, its permissions (in the project of the OpenAI-Project header, where one is named) and projects."""
    user_id, session_id = person.require_person()
    user = await own(transaction, user_id=user_id)
    organization = await transaction.get_one(Organization, person.organization_id)
    codes = await transaction.scalar(select(func.count()).where(RecoveryCode.user_id == user_id))
    return {
        "object": "ali.me",
        "id": named(Kind.USER, user.id),
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "organization": {"id": named(Kind.ORGANIZATION, organization.id), "name": organization.name},
        "permissions": sorted(permission.value for permission in person.permissions),
        "projects": await _projects(transaction, user, person),
        "has_password": user.password_hash is not None,
        "second_factor": user.totp_secret is not None,
        "recovery_codes_left": codes or 0,
        "session_id": sessions.shown(session_id),
        "created_at": int(user.created_at.timestamp()),
    }


async def _projects(transaction: Transaction, user: User, person: Principal) -> list[dict[str, Any]]:
    """The projects that the person reaches, by name, with their role as a member, if they are one."""
    membership = (ProjectMember.project_id == Project.id) & (ProjectMember.user_id == user.id)
    query = (
        select(Project.id, Project.name, ProjectMember.role)
        .join(ProjectMember, membership, isouter=person.role in ORGANIZATION_WIDE)
        .where(Project.archived_at.is_(None))
        .order_by(Project.name, Project.id)
        .limit(_MOST_PROJECTS)
    )
    rows = (await transaction.execute(query)).all()
    return [{"id": named(Kind.PROJECT, row.id), "name": row.name, "role": row.role} for row in rows]


def _shown(session: Session, *, present: bool) -> dict[str, Any]:
    return {
        "id": sessions.shown(session.id),
        "object": "ali.session",
        "present": present,
        "method": session.method,
        "second_factor": session.second_factor_at is not None,
        "address": session.address,
        "user_agent": session.user_agent,
        "created_at": int(session.created_at.timestamp()),
        "last_used_at": int(session.last_used_at.timestamp()),
    }


def _ended(count: int) -> dict[str, Any]:
    return {"object": "ali.sessions.ended", "ended": count}
