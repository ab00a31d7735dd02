"""Service accounts: programs of a project, and the keys that end with them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity.models import ServiceAccount
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.features.identity.reach import Reached
from ali.features.keys import lifecycle, queries
from ali.features.keys.restrictions import NONE, Restrictions
from ali.kernel.errors import NotFound
from ali.kernel.ids import uuid7


class ServiceAccountNotFound(NotFound):
    """404: no such service account in the project."""

    code = "service_account_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedAccount:
    """A new service account and its first key, if one was wanted."""

    account: ServiceAccount
    issued: lifecycle.IssuedKey | None


async def create(
    session: AsyncSession,
    reached: Reached,
    *,
    name: str,
    role: str,
    hmac_secret: bytes,
    restrictions: Restrictions = NONE,
    with_key: bool = True,
) -> CreatedAccount:
    """A new service account. Raises `ProjectArchived`, and `PermissionRefused` for a role beyond the caller's."""
    reached.require_active()
    reached.authority.require_may_give(role)
    account = ServiceAccount(
        id=uuid7(),
        organization_id=reached.project.organization_id,
        project_id=reached.project.id,
        name=name,
        role=role,
    )
    session.add(account)
    await session.flush()
    await session.refresh(account)
    await _recorded(session, reached, account.id, action="service_account.created", detail={"role": role})
    issued = None
    if with_key:
        issued = await issue_key(
            session, reached, account, name=name, hmac_secret=hmac_secret, restrictions=restrictions
        )
    return CreatedAccount(account=account, issued=issued)


async def issue_key(
    session: AsyncSession,
    reached: Reached,
    account: ServiceAccount,
    *,
    name: str,
    hmac_secret: bytes,
    restrictions: Restrictions = NONE,
) -> lifecycle.IssuedKey:
    """A further key of `account`, with its role. Raises as `lifecycle.issue`."""
    reached.require_active()
    return await lifecycle.issue(
        session,
        reached.authority,
        project_id=reached.project.id,
        name=name,
        role=account.role,
        hmac_secret=hmac_secret,
        restrictions=restrictions,
        belonging=lifecycle.Belonging(service_account_id=account.id),
    )


async def found(session: AsyncSession, reached: Reached, *, account_id: UUID | None) -> ServiceAccount:
    """A service account of the project. Raises `ServiceAccountNotFound`, also for None, which is no identifier."""
    own = ServiceAccount.project_id == reached.project.id
    account = await session.scalar(select(ServiceAccount).where(own, ServiceAccount.id == account_id))
    if account is None:
        raise _nothing()
    return account


async def change(
    session: AsyncSession, reached: Reached, *, account_id: UUID | None, name: str | None, role: str | None
) -> ServiceAccount:
    """A service account under another name or with another role, which bounds its keys at once.

    Raises `ServiceAccountNotFound`, `ProjectArchived`, `PermissionRefused`.
    """
    reached.require_active()
    account = await _locked(session, reached, account_id)
    fields = []
    if role is not None and role != account.role:
        reached.authority.require_may_give(role)
        account.role = role
        fields.append("role")
    if name is not None and name != account.name:
        account.name = name
        fields.append("name")
    if fields:
        detail: dict[str, object] = {"fields": fields, "role": account.role}
        await _recorded(session, reached, account.id, action="service_account.updated", detail=detail)
        await session.execute(text(queries.ADVANCE_EPOCH))
    return account


async def remove(session: AsyncSession, reached: Reached, *, account_id: UUID | None) -> UUID:
    """End a service account and its keys. Raises `ServiceAccountNotFound`, `PermissionRefused`."""
    account = await _locked(session, reached, account_id)
    await session.execute(
        delete(ServiceAccount).where(ServiceAccount.id == account.id).execution_options(synchronize_session=False)
    )
    await _recorded(session, reached, account.id, action="service_account.deleted", detail={})
    await session.execute(text(queries.ADVANCE_EPOCH))
    return account.id


async def listed(session: AsyncSession, reached: Reached, *, place: Place) -> Page[ServiceAccount]:
    """A page of the project's service accounts."""
    statement = select(ServiceAccount).where(ServiceAccount.project_id == reached.project.id)
    return await page_of(session, statement, key=ServiceAccount.id, place=place)


async def _locked(session: AsyncSession, reached: Reached, account_id: UUID | None) -> ServiceAccount:
    """A service account that nobody else changes until the transaction ends; it may do no more than the caller."""
    account = await session.scalar(
        select(ServiceAccount)
        .where(ServiceAccount.project_id == reached.project.id, ServiceAccount.id == account_id)
        .with_for_update(key_share=True)
    )
    if account is None:
        raise _nothing()
    reached.authority.require_above(account.role)
    return account


def _nothing() -> ServiceAccountNotFound:
    return ServiceAccountNotFound("There is no such service account in this project.")


async def _recorded(
    session: AsyncSession, reached: Reached, account_id: UUID, *, action: str, detail: dict[str, object]
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=reached.project.organization_id,
        project_id=reached.project.id,
        target_kind="service_account",
        target_id=named(Kind.SERVICE_ACCOUNT, account_id),
        detail=detail,
    )
    await record(session, event, actor=reached.authority.actor)
