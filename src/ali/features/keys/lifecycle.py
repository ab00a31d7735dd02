"""Issuing, changing and revoking API keys."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import AuditEvent, record
from ali.features.identity.authority import Authority
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of_rows
from ali.features.keys import queries
from ali.features.keys.models import ApiKey
from ali.features.keys.queries import Owned
from ali.features.keys.restrictions import NONE, Restrictions, read_permissions, require_within
from ali.features.keys.secret import digest, hint, mint
from ali.kernel.errors import Conflict, InvalidRequest, NotFound
from ali.kernel.ids import uuid7


class KeyNotFound(NotFound):
    """404: no such API key, or it is revoked already."""

    code = "key_not_found"


class KeyExpired(Conflict):
    """409: the API key has expired, and stays so."""

    code = "key_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key. `secret` exists here and nowhere else: show it once."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """Whose key it is: a person's, a service account's, or nobody's in particular."""

    user_id: UUID | None = None
    service_account_id: UUID | None = None

    @classmethod
    def of(cls, authority: Authority) -> "Belonging":
        """What somebody makes is theirs, and ends with them."""
        return cls(user_id=authority.user_id, service_account_id=authority.service_account_id)


async def issue(
    session: AsyncSession,
    authority: Authority,
    *,
    project_id: UUID | None,
    name: str,
    role: str,
    hmac_secret: bytes,
    restrictions: Restrictions = NONE,
    belonging: Belonging | None = None,
) -> IssuedKey:
    """A new key, of a project or (None) of the whole organization. The caller has checked that the project is there.

    Raises `InvalidRequest` for an unknown role, `PermissionRefused` for what is beyond `authority`.
    """
    authority.require_may_give(role)
    require_within(authority, restrictions)
    _require_future(restrictions.expires_at)
    owner = belonging or Belonging.of(authority)
    secret = mint()
    key = ApiKey(
        id=uuid7(),
        organization_id=authority.organization_id,
        project_id=project_id,
        user_id=owner.user_id,
        service_account_id=owner.service_account_id,
        name=name,
        role=role,
        digest=digest(secret, hmac_secret=hmac_secret),
        hint=hint(secret),
        **_columns(restrictions),
    )
    session.add(key)
    try:
        await session.flush()
    except IntegrityError as error:
        raise NotFound("Whoever the key was to belong to has just been removed.") from error
    await session.refresh(key)
    await _recorded(session, authority, key, action="api_key.created", detail=_described(key))
    return IssuedKey(key=key, secret=secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to be another way; what is not named stays. `fields` are those of `Restrictions` that are set anew."""

    name: str | None = None
    role: str | None = None
    restrictions: Restrictions = NONE
    fields: frozenset[str] = frozenset()


async def change(
    session: AsyncSession, authority: Authority, *, scope: queries.Scope, key_id: UUID | None, wanted: Change
) -> Owned:
    """A key, changed; in force in every process within a second. Its secret stays.

    Raises `KeyNotFound`, `KeyExpired`, and `PermissionRefused` where the key is, or would be, beyond `authority`.
    """
    key = await _locked(session, authority, scope=scope, key_id=key_id)
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise KeyExpired("This API key has expired. Issue another.")
    role = wanted.role or key.role
    before = queries.restrictions_of(key)
    after = replace(before, **{field: getattr(wanted.restrictions, field) for field in wanted.fields})
    authority.require_may_give(role)
    require_within(authority, after)
    if "expires_at" in wanted.fields:
        _require_future(after.expires_at)
    permissions = None if after.permissions is None else [permission.value for permission in after.permissions]
    read_permissions(permissions, role=role)
    changed = sorted(field for field in wanted.fields if getattr(before, field) != getattr(after, field))
    changed += ["role"] if role != key.role else []
    changed += ["name"] if wanted.name is not None and wanted.name != key.name else []
    if changed:
        key.name, key.role = wanted.name or key.name, role
        for column, value in _columns(after).items():
            setattr(key, column, value)
        await _recorded(session, authority, key, action="api_key.updated", detail={"fields": changed} | _described(key))
        await session.execute(text(queries.ADVANCE_EPOCH))
    return await found(session, scope=scope, key_id=key.id)


async def revoke(session: AsyncSession, authority: Authority, *, scope: queries.Scope, key_id: UUID | None) -> ApiKey:
    """End a key, in every process within a second. Raises `KeyNotFound`, `PermissionRefused`."""
    key = await _locked(session, authority, scope=scope, key_id=key_id)
    await session.execute(update(ApiKey).where(ApiKey.id == key.id).values(revoked_at=func.now()))
    await _recorded(session, authority, key, action="api_key.deleted", detail={})
    await session.execute(text(queries.ADVANCE_EPOCH))
    return key


async def found(session: AsyncSession, *, scope: queries.Scope, key_id: UUID | None) -> Owned:
    """A key that is not revoked, and whose it is. Raises `KeyNotFound`, also for None, which is no identifier."""
    row = (await session.execute(queries.owned(scope).where(ApiKey.id == key_id))).one_or_none()
    if row is None:
        raise _nothing()
    return Owned(*row)


async def listed(session: AsyncSession, *, scope: queries.Scope, place: Place) -> Page[Owned]:
    """A page of the keys in `scope`, without their secrets."""
    page = await page_of_rows(session, queries.owned(scope), key=ApiKey.id, place=place)
    return Page(rows=[Owned(*row) for row in page.rows], has_more=page.has_more)


async def _locked(session: AsyncSession, authority: Authority, *, scope: queries.Scope, key_id: UUID | None) -> ApiKey:
    """A key that nobody else changes until the transaction ends, and which may do no more than the caller."""
    statement = select(ApiKey).where(queries.within(scope), ApiKey.id == key_id).with_for_update(key_share=True)
    key = await session.scalar(statement)
    if key is None:
        raise _nothing()
    authority.require_above(key.role)
    return key


def _nothing() -> KeyNotFound:
    return KeyNotFound("There is no such API key here, or it is revoked already.")


_FUTURE: Final = "An expiry lies in the future. Revoke a key that is to end now."


def _require_future(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidRequest(_FUTURE, param="expires_at")


def _columns(restrictions: Restrictions) -> dict[str, object]:
    permissions, models, networks = (
        None if values is None else list(values)
        for values in (restrictions.permissions, restrictions.allowed_models, restrictions.allowed_networks)
    )
    return {
        "permissions": permissions,
        "allowed_models": models,
        "allowed_networks": networks,
        "expires_at": restrictions.expires_at,
    }


def _described(key: ApiKey) -> dict[str, object]:
    """A key's reach, for the audit record; its name is a text that people wrote, and stays out."""
    expires = None if key.expires_at is None else int(key.expires_at.timestamp())
    return {"role": key.role, "permissions": key.permissions, "expires_at": expires}


async def _recorded(
    session: AsyncSession, authority: Authority, key: ApiKey, *, action: str, detail: dict[str, object]
) -> None:
    event = AuditEvent(
        action=action,
        organization_id=key.organization_id,
        project_id=key.project_id,
        target_kind="api_key",
        target_id=named(Kind.API_KEY, key.id),
        detail=detail,
    )
    await record(session, event, actor=authority.actor)
