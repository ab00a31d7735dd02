"""Passwords, links to new ones, and invitations: `/v1/ali/auth/{password,invitations}`."""

from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from ali.features.identity import acceptance, password_reset
from ali.features.identity.account import own, prove_password, set_password
from ali.features.identity.http.desk import (
    AtDesk,
    Body,
    Email,
    FromDevice,
    Name,
    Password,
    Person,
    Token,
    router,
    tokens,
)
from ali.features.identity.http.language import language_of

routes = router()


class PasswordChange(Body):
    """The present password, and the one that is to be."""

    password: Password
    new_password: Password


class ResetRequest(Body):
    """Whose password is lost."""

    email: Email


class ResetConfirmation(Body):
    """The secret of a one-time link, and the new password."""

    token: Token
    password: Password


class Acceptance(Body):
    """The secret of an invitation's link, and what the account is to have."""

    token: Token
    name: Name
    password: Password


@routes.post("/password/change", summary="Change one's password")
async def change_password(wanted: PasswordChange, person: Person, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """All other sessions end."""
    user_id, session_id = person.require_person()
    now = datetime.now(UTC)
    async with desk.tenant(person.organization_id) as session:
        user = await own(session, user_id=user_id)
        email, stored = user.email, user.password_hash
    present = wanted.password.get_secret_value()
    await prove_password(desk, email=email, stored=stored, password=present, device=device, now=now)
    hashed = await desk.passwords.hashed(wanted.new_password.get_secret_value(), email=email)
    async with desk.tenant(person.organization_id) as session:
        await own(session, user_id=user_id)
        await set_password(
            session,
            user_id=user_id,
            organization_id=person.organization_id,
            hashed=hashed,
            actor=device.person(user_id),
            by="change",
            now=now,
            but=session_id,
        )
    return {"object": "ali.password", "changed": True}


@routes.post("/password/reset", summary="Ask for a link to a new password", status_code=202)
async def request_reset(wanted: ResetRequest, request: Request, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """A link is sent where the address has an account with a password. The answer is the same where it has none."""
    await password_reset.request(
        desk, email=wanted.email, language=language_of(request), device=device, now=datetime.now(UTC)
    )
    return {"object": "ali.password_reset", "requested": True}


@routes.post("/password/reset/confirm", summary="Set a new password by a one-time link")
async def confirm_reset(wanted: ResetConfirmation, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """All sessions of the account end; sign in with the new password. A second factor stays."""
    await password_reset.confirm(
        desk,
        token=wanted.token.get_secret_value(),
        password=wanted.password.get_secret_value(),
        device=device,
        now=datetime.now(UTC),
    )
    return {"object": "ali.password", "changed": True}


@routes.post("/invitations/accept", summary="Accept an invitation")
async def accept_invitation(wanted: Acceptance, desk: AtDesk, device: FromDevice) -> dict[str, Any]:
    """Makes the account, and signs its person in. To come through an issuer instead, send the token to
    `/v1/ali/auth/openid/{provider}/start`.
    """
    now = datetime.now(UTC)
    opened = await acceptance.accept(
        desk,
        token=wanted.token.get_secret_value(),
        name=wanted.name,
        password=wanted.password.get_secret_value(),
        device=device,
        now=now,
    )
    return tokens(opened, now=now)
