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
from ali.features.identity.models import Approval, Organization
from ali.features.identity.principal import Principal
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
    session: AsyncSession, *, principal: Principal, actor: Actor, verb: str, target: str, reason: str, now: datetime
) -> Approval:
    """Ask for a second signature. Raises `InvalidRequest` for a verb that needs none."""
    if verb not in DANGEROUS:
        raise InvalidRequest(
            f"Nothing called that needs a second signature. It is one of: {', '.join(DANGEROUS)}.", param="verb"
        )
    approval = Approval(
        id=uuid7(),
        organization_id=principal.organization_id,
        verb=verb,
        target=target,
        reason=reason,
        requested_by=_subject(principal),
        created_at=now,
        expires_at=now + GOOD_FOR,
    )
    session.add(approval)
    await session.flush()
    await _record(session, "approval.requested", approval, actor=actor)
    return approval


async def decide(
    session: AsyncSession,
    *,
    approval_id: UUID,
    principal: Principal,
    actor: Actor,
    decision: Literal["approved", "refused"],
    now: datetime,
) -> Approval:
    """Give or refuse the second signature, once.

    Raises `NotFound`; `OwnRequest` for the one who asked and for programs; `Conflict` where it was decided or expired.
    """
    approval = await find(session, approval_id=approval_id)
    if principal.user_id is None or principal.user_id == approval.requested_by:
        raise OwnRequest(
            "A second signature is another person's: neither of the one who asked, nor of a program's key. "
            "Have somebody else with the permission approvals.decide sign in and decide."
        )
    decided = await session.scalar(
        update(Approval)
        .where(Approval.id == approval_id, Approval.decided_at.is_(None), Approval.expires_at > now)
        .values(decided_by=principal.user_id, decided_at=now, decision=decision)
        .returning(Approval)
        .execution_options(populate_existing=True)
    )
    if decided is None:
        raise Conflict("This request was decided already, or has expired. Ask again if it is still wanted.")
    await _record(session, f"approval.{decision}", decided, actor=actor)
    return decided


async def spend(
    session: AsyncSession,
    *,
    approval_id: UUID | None,
    principal: Principal,
    actor: Actor,
    verb: str,
    target: str,
    now: datetime,
) -> None:
    """Go on only with a second signature, where the organization asks for one; it is then used up.

    Raises `ApprovalRequired`. In the transaction of the act itself: an act that fails spends nothing.
    """
    asks = await session.scalar(
        select(Organization.four_eyes).where(Organization.id == principal.organization_id).with_for_update(read=True)
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
                Approval.requested_by == _subject(principal),
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
    await _record(session, "approval.spent", spent, actor=actor)


async def find(session: AsyncSession, *, approval_id: UUID) -> Approval:
    """One request for a signature. Raises `NotFound`."""
    approval = await session.get(Approval, approval_id)
    if approval is None:
        raise NotFound("There is no such approval.", param="approval_id")
    return approval


async def set_four_eyes(
    session: AsyncSession, *, principal: Principal, actor: Actor, wanted: bool, approval_id: UUID | None, now: datetime
) -> None:
    """Choose whether second signatures are asked for. Turning it off needs one. Raises `ApprovalRequired`."""
    if not wanted:
        await spend(
            session,
            approval_id=approval_id,
            principal=principal,
            actor=actor,
            verb="organization.four_eyes_off",
            target="organization",
            now=now,
        )
    changed = await session.scalar(
        update(Organization)
        .where(Organization.id == principal.organization_id, Organization.four_eyes.is_not(wanted))
        .values(four_eyes=wanted)
        .returning(Organization.id)
    )
    if changed is not None:
        event = AuditEvent(
            action="organization.four_eyes_on" if wanted else "organization.four_eyes_off",
            organization_id=principal.organization_id,
            target_kind="organization",
            target_id=str(principal.organization_id),
        )
        await record(session, event, actor=actor)


def state_of(approval: Approval, *, now: datetime) -> str:
    """`pending`, `approved`, `refused`, `spent` or `expired`."""
    if approval.spent_at is not None:
        return "spent"
    if approval.decision == "refused":
        return "refused"
    if approval.expires_at <= now:
        return "expired"
    return approval.decision or "pending"


def _subject(principal: Principal) -> UUID:
    subject = principal.user_id or principal.service_account_id or principal.key_id
    if subject is None:
        raise AssertionError("a principal is a person's or a key's")
    return subject


async def _record(session: AsyncSession, action: str, approval: Approval, *, actor: Actor) -> None:
    event = AuditEvent(
        action=action,
        organization_id=approval.organization_id,
        target_kind="approval",
        target_id=str(approval.id),
        detail={"verb": approval.verb},
    )
    await record(session, event, actor=actor)
