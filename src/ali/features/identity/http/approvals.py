"""Second signatures and the choice to ask for them: `/v1/ali/approvals`, `/v1/ali/organization`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from ali.features.identity import approvals
from ali.features.identity.http.access import Acting, Transaction, requires
from ali.features.identity.models import Approval, Organization
from ali.features.identity.principal import Principal
from ali.features.identity.roles import Permission
from ali.kernel.errors import NotFound
from ali.kernel.ids import read_id, shown_id

router = APIRouter(prefix="/v1/ali", tags=["approvals"])

Reader = Annotated[Principal, requires(Permission.APPROVALS_READ)]
Requester = Annotated[Principal, requires(Permission.APPROVALS_REQUEST)]
Decider = Annotated[Principal, requires(Permission.APPROVALS_DECIDE)]
OrganizationReader = Annotated[Principal, requires(Permission.ORGANIZATION_READ)]
OrganizationWriter = Annotated[Principal, requires(Permission.ORGANIZATION_WRITE)]
ApprovalId = Annotated[str, Path(max_length=64)]


class NewApproval(BaseModel):
    """What is to be signed."""

    model_config = ConfigDict(extra="forbid")

    verb: Annotated[str, Field(max_length=64)]
    target: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class OrganizationChange(BaseModel):
    """What of the organization is to change."""

    model_config = ConfigDict(extra="forbid")

    four_eyes: bool


@router.post("/approvals", summary="Ask for a second signature")
async def request_approval(
    wanted: NewApproval, requester: Requester, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """Ask another person to sign what cannot be undone. Good for 24 hours, and for one act of the one who asked."""
    now = datetime.now(UTC)
    approval = await approvals.request(
        transaction,
        principal=requester,
        actor=acting,
        verb=wanted.verb,
        target=wanted.target,
        reason=wanted.reason,
        now=now,
    )
    return _shown(approval, now=now)


@router.get("/approvals", summary="List requests for a second signature")
async def list_approvals(
    _reader: Reader,
    transaction: Transaction,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Newest first."""
    query = select(Approval).order_by(Approval.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(Approval.id < _id(after))
    found = (await transaction.scalars(query)).all()
    now = datetime.now(UTC)
    data = [_shown(approval, now=now) for approval in found[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }


@router.get("/approvals/{approval_id}", summary="Retrieve a request for a second signature")
async def retrieve_approval(approval_id: ApprovalId, _reader: Reader, transaction: Transaction) -> dict[str, Any]:
    """One request and how it stands."""
    return _shown(await approvals.find(transaction, approval_id=_id(approval_id)), now=datetime.now(UTC))


@router.post("/approvals/{approval_id}/approve", summary="Give the second signature")
async def approve(
    approval_id: ApprovalId, decider: Decider, transaction: Transaction, acting: Acting
) -> dict[str, Any]:
    """Sign what another person asked for."""
    return await _decide(approval_id, decider, transaction, acting, "approved")


@router.post("/approvals/{approval_id}/refuse", summary="Refuse the second signature")
async def refuse(approval_id: ApprovalId, decider: Decider, transaction: Transaction, acting: Acting) -> dict[str, Any]:
    """Refuse what another person asked for."""
    return await _decide(approval_id, decider, transaction, acting, "refused")


@router.get("/organization", summary="Retrieve the organization")
async def retrieve_organization(reader: OrganizationReader, transaction: Transaction) -> dict[str, Any]:
    """The caller's organization and its settings."""
    return _organization(await transaction.get_one(Organization, reader.organization_id))


@router.post("/organization", summary="Change the organization's settings")
async def change_organization(
    wanted: OrganizationChange,
    writer: OrganizationWriter,
    transaction: Transaction,
    acting: Acting,
    approval: Annotated[str | None, Header(alias="ali-approval", max_length=64)] = None,
) -> dict[str, Any]:
    """Choose whether what cannot be undone needs a second signature. Turning that off needs one itself."""
    await approvals.set_four_eyes(
        transaction,
        principal=writer,
        actor=acting,
        wanted=wanted.four_eyes,
        approval_id=read_id(approval, prefix="appr") if approval else None,
        now=datetime.now(UTC),
    )
    return _organization(await transaction.get_one(Organization, writer.organization_id, populate_existing=True))


async def _decide(
    approval_id: str,
    decider: Principal,
    transaction: Transaction,
    acting: Acting,
    decision: Literal["approved", "refused"],
) -> dict[str, Any]:
    now = datetime.now(UTC)
    decided = await approvals.decide(
        transaction, approval_id=_id(approval_id), principal=decider, actor=acting, decision=decision, now=now
    )
    return _shown(decided, now=now)


def _id(text: str) -> UUID:
    found = read_id(text, prefix="appr")
    if found is None:
        raise NotFound("There is no such approval.", param="approval_id")
    return found


def _shown(approval: Approval, *, now: datetime) -> dict[str, Any]:
    return {
        "id": shown_id("appr", approval.id),
        "object": "ali.approval",
        "verb": approval.verb,
        "target": approval.target,
        "reason": approval.reason,
        "state": approvals.state_of(approval, now=now),
        "requested_by": str(approval.requested_by),
        "created_at": int(approval.created_at.timestamp()),
        "expires_at": int(approval.expires_at.timestamp()),
        "decided_by": str(approval.decided_by) if approval.decided_by else None,
        "decided_at": int(approval.decided_at.timestamp()) if approval.decided_at else None,
    }


def _organization(organization: Organization) -> dict[str, Any]:
    return {
        "id": shown_id("org", organization.id, separator="-"),
        "object": "organization",
        "name": organization.name,
        "four_eyes": organization.four_eyes,
        "created_at": int(organization.created_at.timestamp()),
    }
