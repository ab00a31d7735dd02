"""Second signatures and the choice to ask for them: `/v1/ali/approvals`, `/v1/ali/organization`."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header
from pydantic import Field

from ali.features.identity import approvals
from ali.features.identity.authority import Authority
from ali.features.identity.http.access import Transaction
from ali.features.identity.http.answers import Json, listing, maybe_unix, unix
from ali.features.identity.http.authority import Id, over_organization
from ali.features.identity.http.inputs import Body, Word, place_of
from ali.features.identity.models import Approval, Organization
from ali.features.identity.naming import Kind, named, read
from ali.features.identity.paging import Place
from ali.features.identity.roles import Permission

router = APIRouter(prefix="/v1/ali", tags=["approvals"])

Reader = Annotated[Authority, over_organization(Permission.APPROVALS_READ)]
Requester = Annotated[Authority, over_organization(Permission.APPROVALS_REQUEST)]
Decider = Annotated[Authority, over_organization(Permission.APPROVALS_DECIDE)]
OrganizationReader = Annotated[Authority, over_organization(Permission.ORGANIZATION_READ)]
OrganizationWriter = Annotated[Authority, over_organization(Permission.ORGANIZATION_WRITE)]


class NewApproval(Body):
    """What is to be signed."""

    verb: Word
    target: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class OrganizationChange(Body):
    """What of the organization is to change."""

    four_eyes: Annotated[bool, Field(strict=True)]


@router.post("/approvals", summary="Ask for a second signature")
async def request_approval(requester: Requester, transaction: Transaction, body: NewApproval) -> Json:
    """Ask another person to sign what cannot be undone. Good for 24 hours, and for one act of the one who asked."""
    now = datetime.now(UTC)
    approval = await approvals.request(
        transaction, requester, verb=body.verb, target=body.target, reason=body.reason, now=now
    )
    return _shown(approval, now=now)


@router.get("/approvals", summary="List requests for a second signature")
async def list_approvals(
    reader: Reader, transaction: Transaction, place: Annotated[Place, place_of(Kind.APPROVAL, descending=True)]
) -> Json:
    """Newest first."""
    now = datetime.now(UTC)
    return listing(await approvals.listed(transaction, reader, place=place), lambda row: _shown(row, now=now))


@router.get("/approvals/{approval_id}", summary="Retrieve a request for a second signature")
async def retrieve_approval(approval_id: Id, reader: Reader, transaction: Transaction) -> Json:
    """One request and how it stands."""
    approval = await approvals.found(transaction, reader, approval_id=read(Kind.APPROVAL, approval_id))
    return _shown(approval, now=datetime.now(UTC))


@router.post("/approvals/{approval_id}/approve", summary="Give the second signature")
async def approve(approval_id: Id, decider: Decider, transaction: Transaction) -> Json:
    """Sign what another person asked for."""
    return await _decide(approval_id, decider, transaction, "approved")


@router.post("/approvals/{approval_id}/refuse", summary="Refuse the second signature")
async def refuse(approval_id: Id, decider: Decider, transaction: Transaction) -> Json:
    """Refuse what another person asked for."""
    return await _decide(approval_id, decider, transaction, "refused")


@router.get("/organization", summary="Retrieve the organization")
async def retrieve_organization(reader: OrganizationReader, transaction: Transaction) -> Json:
    """The caller's organization and its settings."""
    return _organization(await transaction.get_one(Organization, reader.organization_id))


@router.post("/organization", summary="Change the organization's settings")
async def change_organization(
    writer: OrganizationWriter,
    transaction: Transaction,
    body: OrganizationChange,
    approval: Annotated[str | None, Header(alias="ali-approval", max_length=64)] = None,
) -> Json:
    """Choose whether what cannot be undone needs a second signature. Turning that off needs one itself."""
    await approvals.set_four_eyes(
        transaction,
        writer,
        wanted=body.four_eyes,
        approval_id=read(Kind.APPROVAL, approval or ""),
        now=datetime.now(UTC),
    )
    return _organization(await transaction.get_one(Organization, writer.organization_id, populate_existing=True))


async def _decide(
    approval_id: str, decider: Authority, transaction: Transaction, decision: Literal["approved", "refused"]
) -> Json:
    now = datetime.now(UTC)
    decided = await approvals.decide(
        transaction, decider, approval_id=read(Kind.APPROVAL, approval_id), decision=decision, now=now
    )
    return _shown(decided, now=now)


def _shown(approval: Approval, *, now: datetime) -> Json:
    return {
        "id": named(Kind.APPROVAL, approval.id),
        "object": "ali.approval",
        "verb": approval.verb,
        "target": approval.target,
        "reason": approval.reason,
        "state": approvals.state_of(approval, now=now),
        "requested_by": str(approval.requested_by),
        "created_at": unix(approval.created_at),
        "expires_at": unix(approval.expires_at),
        "decided_by": str(approval.decided_by) if approval.decided_by else None,
        "decided_at": maybe_unix(approval.decided_at),
    }


def _organization(organization: Organization) -> Json:
    return {
        "id": named(Kind.ORGANIZATION, organization.id),
        "object": "organization",
        "name": organization.name,
        "four_eyes": organization.four_eyes,
        "created_at": unix(organization.created_at),
    }
