"""Which account somebody who has signed in at an issuer of OpenID Connect has here, and with which role.

An account is found by issuer and subject alone. The first time, a person gets a new account where the provider's
settings admit them; or the account of an invitation that they began with; or is linked to the account in which they
began, signed in. An account that merely has the same e-mail address is never taken: the issuer's word for an address is
worth less than the account's own password and second factor.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity import acceptance, queries, sessions
from ali.features.identity.desk import Desk, Device
from ali.features.identity.models import OpenIdIdentity, Organization, User
from ali.features.identity.naming import Kind, named
from ali.features.identity.openid.person import ExternalPerson, NotAdmitted
from ali.features.identity.sessions import Opened
from ali.kernel import log
from ali.kernel.epoch import ADVANCE_EPOCH
from ali.kernel.errors import Conflict
from ali.kernel.ids import uuid7
from ali.kernel.openid_provider import OpenIdProvider

_OWNER: Final = "owner"


class LinkRequired(Conflict):
    """409: an account here has the e-mail address of who signs in, and is not linked to their issuer."""

    code = "openid_link_required"


class IdentityTaken(Conflict):
    """409: who signed in at the issuer has another account here."""

    code = "openid_identity_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What an attempt is for: with neither, to sign in."""

    user_id: UUID | None = None
    """To link this account, whose person is signed in."""
    organization_id: UUID | None = None
    """That account's."""
    invite_id: UUID | None = None
    """To accept this invitation."""


def role_at_sign_in(present: str, *, mapped: str, provider: OpenIdProvider) -> str:
    """The role of an account whose person has signed in: what the provider's groups say, where they say roles at all.

    Owners are made and unmade here and not by groups, unless the operator maps a group to owner.
    """
    if not provider.group_roles:
        return present
    if present == _OWNER and _OWNER not in provider.group_roles.values():
        return present
    return mapped


async def opened_for(
    desk: Desk, person: ExternalPerson, purpose: Purpose, *, provider: OpenIdProvider, device: Device, now: datetime
) -> Opened:
    """A session of the account that `person` has here, or gets now.

    Raises `NotAdmitted`, `LinkRequired`, `IdentityTaken`, `AccountExists`, `LinkRefused`.
    """
    await desk.tokens.keys()
    known = await desk.asked(queries.ACCOUNT_OF_ISSUER, issuer=person.issuer, subject=person.subject)
    taken = known is not None and purpose.user_id != known.id
    if (purpose.user_id is not None or purpose.invite_id is not None) and taken:
        raise IdentityTaken("Whoever signed in at the issuer has another account here. Sign in with that one.")
    if known is not None and not known.enabled:
        raise NotAdmitted("This account is disabled. Ask an administrator.")
    organization_id = purpose.organization_id or (
        known.organization_id if known else await _organization_of_new(desk, person, provider=provider)
    )
    async with desk.tenant(organization_id) as session:
        if purpose.invite_id is not None:
            user = await acceptance.joined(
                session,
                invite_id=purpose.invite_id,
                name=person.name or "",
                password_hash=None,
                device=device,
                now=now,
            )
        elif purpose.user_id is not None or known is not None:
            user = await _locked(session, purpose.user_id or (known.id if known else None), provider=provider)
        else:
            user = await _joined(session, person, organization_id=organization_id, device=device, now=now)
        if known is None:
            await _linked(session, user, person, provider=provider, device=device)
        await _with_role(session, user, person, provider=provider, device=device)
        return await sessions.begin(
            session,
            desk,
            user=user,
            method=f"openid:{provider.name}",
            device=device,
            second_factor=False,
            now=now,
        )


async def _organization_of_new(desk: Desk, person: ExternalPerson, *, provider: OpenIdProvider) -> UUID:
    """Where a person who has no account gets one. Raises `NotAdmitted`, `LinkRequired`."""
    if person.email is None:
        raise NotAdmitted(
            "The issuer tells no verified e-mail address, which a new account needs. Verify it there, or have an "
            "administrator invite you."
        )
    if await desk.asked(queries.ACCOUNT_OF_EMAIL, email=person.email) is not None:
        raise LinkRequired(
            "An account here has your e-mail address. Sign in to it, and link it: POST "
            f"/v1/ali/auth/openid/{provider.name}/start with its access token."
        )
    if provider.organization is not None:
        return provider.organization
    only = await desk.asked(queries.ONLY_ORGANIZATION)
    if only is None or only[0] is None:
        raise NotAdmitted(
            "There are several organizations here. An administrator has to invite you; or the operator names the "
            "provider's organization in ALI_OPENID_PROVIDERS."
        )
    found: UUID = only[0]
    return found


async def _locked(session: AsyncSession, user_id: UUID | None, *, provider: OpenIdProvider) -> User:
    if _OWNER in provider.group_roles.values():
        # Before the account's own row, as whoever changes roles does: two owners cannot both stop being one.
        # (The wall leaves one organization to be seen.)
        await session.execute(select(Organization.id).with_for_update(key_share=True))
    user = await session.scalar(select(User).where(User.id == user_id).with_for_update())
    if user is None or user.disabled_at is not None:
        raise NotAdmitted("This account is disabled. Ask an administrator.")
    return user


async def _joined(
    session: AsyncSession, person: ExternalPerson, *, organization_id: UUID, device: Device, now: datetime
) -> User:
    user = User(
        id=uuid7(),
        organization_id=organization_id,
        email=person.email or "",
        name=person.name or "",
        role=person.role,
        created_at=now,
    )
    await acceptance.added(session, user)
    await _recorded(session, user, action="user.joined", detail={"role": user.role}, device=device)
    return user


async def _linked(
    session: AsyncSession, user: User, person: ExternalPerson, *, provider: OpenIdProvider, device: Device
) -> None:
    session.add(
        OpenIdIdentity(
            issuer=person.issuer, subject=person.subject, organization_id=user.organization_id, user_id=user.id
        )
    )
    await session.flush()
    await _recorded(session, user, action="user.openid_linked", detail={"provider": provider.name}, device=device)


async def _with_role(
    session: AsyncSession, user: User, person: ExternalPerson, *, provider: OpenIdProvider, device: Device
) -> None:
    role = role_at_sign_in(user.role, mapped=person.role, provider=provider)
    if role == user.role:
        return
    if user.role == _OWNER and not await _another_owner(session, user):
        log.warning("sign_in.last_owner_kept", user_id=str(user.id), provider=provider.name)
        return
    detail: dict[str, object] = {"from": user.role, "to": role, "provider": provider.name}
    user.role = role
    await session.flush()
    await _recorded(session, user, action="user.role_changed", detail=detail, device=device)
    await session.execute(text(ADVANCE_EPOCH))


async def _another_owner(session: AsyncSession, user: User) -> bool:
    """Whether the organization keeps an owner."""
    others = await session.scalar(
        select(func.count()).where(
            User.organization_id == user.organization_id,
            User.role == _OWNER,
            User.disabled_at.is_(None),
            User.id != user.id,
        )
    )
    return bool(others)


async def _recorded(
    session: AsyncSession, user: User, *, action: str, detail: dict[str, object], device: Device
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=user.organization_id,
        target_kind="user",
        target_id=named(Kind.USER, user.id),
        detail=detail,
    )
    await record(session, event, actor=device.person(user.id))
