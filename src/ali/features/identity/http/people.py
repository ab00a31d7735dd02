"""What an administrator does about other people's sign-in: `/v1/ali/auth/users`; and the keys of access tokens."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response
from sqlalchemy import select

from ali.features.identity import approvals, second_factor, sessions
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Acting, Transaction
from ali.features.identity.http.authority import over_organization
from ali.features.identity.http.desk import AtDesk, router
from ali.features.identity.models import User
from ali.features.identity.naming import Kind, read
from ali.features.identity.roles import Permission
from ali.kernel.errors import NotFound

routes = router()
published = APIRouter(tags=["sign-in"])

Writer = Annotated[Authority, over_organization(Permission.SIGN_IN_WRITE)]
UserId = Annotated[str, Path(max_length=64)]
KEYS_KEPT_FOR_S = 300


@routes.post("/users/{user_id}/end-sessions", summary="End all sessions of a person")
async def end_sessions(user_id: UserId, writer: Writer, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """Their tokens are good nowhere within a second; they can sign in again."""
    user = await _below(transaction, writer, user_id)
    ended = await sessions.end_all(
        transaction, user_id=user.id, reason="ended_by_administrator", actor=acting, now=datetime.now(UTC)
    )
    return {"object": "ali.sessions.ended", "ended": ended}


@routes.post("/users/{user_id}/reset-second-factor", summary="Take a person's second factor away")
async def reset_second_factor(
    user_id: UserId, writer: Writer, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """For who has lost the authenticator and the recovery codes. Their sessions end too."""
    user = await _below(transaction, writer, user_id)
    await second_factor.remove(transaction, user, actor=acting)
    await sessions.end_all(
        transaction, user_id=user.id, reason="second_factor_reset", actor=acting, now=datetime.now(UTC)
    )
    return {"object": "ali.second_factor", "enabled": False}


@routes.post("/keys/{kid}/destroy", summary="Destroy a key of access tokens")
async def destroy_key(
    *,
    kid: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")],
    writer: Writer,
    desk: AtDesk,
    transaction: Transaction,
    acting: Acting,
    approval: Annotated[str | None, Header(alias="ali-approval", max_length=64)] = None,
) -> dict[str, Any]:
    """What it signed is believed nowhere within a second, and every session has to be renewed. Takes a second signature
    (`sign_in_key.destroy`) where the organization asks for one, and is the operator's where there are several.
    """
    from ali.features.identity import key_store  # noqa: PLC0415 - with the signatures, which a start does not need

    await approvals.spend(
        transaction,
        writer,
        approval_id=read(Kind.APPROVAL, approval or ""),
        verb="sign_in_key.destroy",
        target=kid,
        now=datetime.now(UTC),
    )
    await key_store.destroy_as_service(
        transaction, kid=kid, hmac_secret=desk.hmac_secret, organization_id=writer.organization_id, actor=acting
    )
    return {"object": "ali.sign_in_key", "kid": kid, "destroyed": True}


@published.get("/.well-known/jwks.json", summary="The keys that access tokens are signed with")
async def jwks(desk: AtDesk, response: Response) -> dict[str, Any]:
    """Public halves (RFC 7517), for whoever stands in front of this service and looks at its tokens."""
    keys = await desk.tokens.keys()
    response.headers["cache-control"] = f"public, max-age={KEYS_KEPT_FOR_S}"
    response.headers["cross-origin-resource-policy"] = "cross-origin"
    return keys.jwks(now=datetime.now(UTC))


async def _below(transaction: Transaction, writer: Authority, user_id: str) -> User:
    """The person, who may do no more than the caller. Raises `NotFound`, `PermissionRefused`."""
    own = User.organization_id == writer.organization_id
    wanted = select(User).where(own, User.id == read(Kind.USER, user_id))
    user = await transaction.scalar(wanted.with_for_update())
    if user is None:
        raise NotFound("There is no such person here. GET /v1/organization/users lists those who are.", param="user_id")
    writer.require_above(user.role)
    return user
