"""The second signature for what cannot be undone: one person asks, another decides, and it is spent once.

An organization chooses it (`four_eyes`). Code that does something irreversible calls `spend` first; with the choice off
that costs one look-up and asks nothing.
"""

from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity.authority import Authority
from ali.features.identity.models import Approval, Organization
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.errors import Conflict, InvalidRequest, NotFound, PermissionRefused
from ali.kernel.ids import uuid7

GOOD_FOR: Final = timedelta(hours=24)

DANGEROUS: Final[dict[str, str]] = {
    "organization.four_eyes_off": "Stop asking for second signatures.",
    "sign_in_key.destroy": "End a key that signs access tokens at once, and with it every session's token.",
    "subject.erase": "Erase a person's data for good.",
    "retention.change": "Change how long data is kept.",
    "encryption_key.destroy": "Destroy a data key, and with it all that it encrypts.",
}
"""What a second signature can be asked for, and what it does."""


class ApprovalRequired(PermissionRefused):
    """403: the organization asks for a second person's signature, and none was named that fits."""

    code = "approval_required"


class OwnRequest(PermissionRefused):
    """403: nobody signs their own request, nor does a program sign anybody's."""

    code = "approval_needs_another_person"


async def request(
    session: AsyncSession, authority: Authority, *, verb: str, target: str, reason: str, now: datetime
) -> Approval:
    """Ask for a second signature. Raises `InvalidRequest` for a verb that needs none."""
    if verb not in DANGEROUS:
        raise InvalidRequest(
            f"Nothing called that needs a second signature. It is one of: {', '.join(DANGEROUS)}.", param="verb"
        )
    approval = Approval(
        id=uuid7(),
        organization_id=authority.organization_id,
        verb=verb,
        target=target,
        reason=reason,
        requested_by=_subject(authority),
        created_at=now,
        expires_at=now + GOOD_FOR,
    )
    session.add(approval)
    await session.flush()
    await _record(session, "approval.requested", approval, actor=authority.actor)
    return approval


async def decide(
    session: AsyncSession,
    authority: Authority,
    *,
    approval_id: UUID | None,
    decision: Literal["approved", "refused"],
    now: datetime,
) -> Approval:
    """Give or refuse the second signature, once.

    Raises `NotFound`; `OwnRequest` for the one who asked and for programs; `Conflict` where it was decided or expired.
    """
    approval = await found(session, authority, approval_id=approval_id)
    if authority.user_id is None or authority.user_id == approval.requested_by:
        raise OwnRequest(
            "A second signature is another person's: neither of the one who asked, nor of a program's key. "
            "Have somebody else with the permission approvals.decide sign in and decide."
        )
    decided = await session.scalar(
        update(Approval)
        .where(Approval.id == approval.id, Approval.decided_at.is_(None), Approval.expires_at > now)
        .values(decided_by=authority.user_id, decided_at=now, decision=decision)
        .returning(Approval)
        .execution_options(populate_existing=True)
    )
    if decided is None:
        raise Conflict("This request was decided already, or has expired. Ask again if it is still wanted.")
    await _record(session, f"approval.{decision}", decided, actor=authority.actor)
    return decided


async def spend(
    session: AsyncSession,
    authority: Authority,
    *,
    approval_id: UUID | None,
    verb: str,
    target: str,
    now: datetime,
) -> None:
    """Go on only with a second signature, where the organization asks for one; it is then used up.

    Raises `ApprovalRequired`. In the transaction of the act itself: an act that fails spends nothing.
    """
    asks = await session.scalar(
        select(Organization.four_eyes).where(Organization.id == authority.organization_id).with_for_update(read=True)
    )
    if not asks:
        return
    spent = None
    if approval_id is not None:
        spent = await session.scalar(
            update(Approval)
            .where(
                Approval.id == approval_id,
                Approval.verb == verb,
                Approval.target == target,
                Approval.requested_by == _subject(authority),
                Approval.decision == "approved",
                Approval.spent_at.is_(None),
                Approval.expires_at > now,
            )
            .values(spent_at=now)
            .returning(Approval)
        )
    if spent is None:
        raise ApprovalRequired(
            f"This organization asks for a second person's signature for {verb}. Ask with POST /v1/ali/approvals, have "
            "another person approve it, and send the request again with its id in the header Ali-Approval.",
            param="Ali-Approval",
        )
    await _record(session, "approval.spent", spent, actor=authority.actor)


async def found(session: AsyncSession, authority: Authority, *, approval_id: UUID | None) -> Approval:
    """One request for a signature. Raises `NotFound`, also for None, which is no identifier."""
    owned = Approval.organization_id == authority.organization_id
    approval = await session.scalar(select(Approval).where(owned, Approval.id == approval_id))
    if approval is None:
        raise NotFound("There is no such approval. GET /v1/ali/approvals lists them.", param="approval_id")
    return approval


async def listed(session: AsyncSession, authority: Authority, *, place: Place) -> Page[Approval]:
    """A page of what was asked for in the organization."""
    statement = select(Approval).where(Approval.organization_id == authority.organization_id)
    return await page_of(session, statement, key=Approval.id, place=place)


async def set_four_eyes(
    session: AsyncSession, authority: Authority, *, wanted: bool, approval_id: UUID | None, now: datetime
) -> None:
    """Choose whether second signatures are asked for. Turning it off needs one. Raises `ApprovalRequired`."""
    if not wanted:
        await spend(
            session,
            authority,
            approval_id=approval_id,
            verb="organization.four_eyes_off",
            target="organization",
            now=now,
        )
    changed = await session.scalar(
        update(Organization)
        .where(Organization.id == authority.organization_id, Organization.four_eyes.is_not(wanted))
        .values(four_eyes=wanted)
        .returning(Organization.id)
    )
    if changed is not None:
        event = AuditEvent(
            action="organization.four_eyes_on" if wanted else "organization.four_eyes_off",
            organization_id=authority.organization_id,
            target_kind="organization",
            target_id=named(Kind.ORGANIZATION, authority.organization_id),
        )
        await record(session, event, actor=authority.actor)


def state_of(approval: Approval, *, now: datetime) -> str:
    """`pending`, `approved`, `refused`, `spent` or `expired`."""
    if approval.spent_at is not None:
        return "spent"
    if approval.decision == "refused":
        return "refused"
    if approval.expires_at <= now:
        return "expired"
    return approval.decision or "pending"


def _subject(authority: Authority) -> UUID:
    """The person who acts; where none stands behind it, the service account or the key."""
    subject = authority.user_id or authority.service_account_id or authority.actor.id
    if subject is None:
        raise OwnRequest("The operator's command line needs no second signature, and gives none.")
    return subject


async def _record(session: AsyncSession, action: str, approval: Approval, *, actor: Actor) -> None:
    event = AuditEvent(
        action=action,
        organization_id=approval.organization_id,
        target_kind="approval",
        target_id=named(Kind.APPROVAL, approval.id),
        detail={"verb": approval.verb},
    )
    await record(session, event, actor=actor)
