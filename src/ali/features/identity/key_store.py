"""The keys of access tokens in the database: the first one, rotation with overlap, destruction.

Whoever serves traffic may read them, and destroy one over HTTP; making and rotating them is the operator's.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity import queries
from ali.features.identity.models import Organization, SigningKeyRow
from ali.features.identity.signing_keys import OVERLAP, new_signing_key, wrap
from ali.kernel.epoch import ADVANCE_EPOCH
from ali.kernel.errors import NotFound, PermissionRefused

_LOCK: Final = "lock table ali.signing_key in share row exclusive mode"


class SigningKeyNotFound(NotFound):
    """404: no key of this name signs or has signed access tokens here."""

    code = "signing_key_not_found"


class OperatorRequired(PermissionRefused):
    """403: this concerns every organization of the installation, and is its operator's to do."""

    code = "operator_required"


async def listed(session: AsyncSession) -> Iterable[SigningKeyRow]:
    """All keys, the youngest first."""
    query = select(SigningKeyRow).order_by(SigningKeyRow.created_at.desc(), SigningKeyRow.kid)
    return (await session.scalars(query)).all()


async def rotate(session: AsyncSession, *, hmac_secret: bytes, now: datetime) -> str:
    """Make a new key, which signs from now on; those before stay published for `OVERLAP`. The new key's name.

    As the schema's owner.
    """
    await session.execute(text(_LOCK))
    await session.execute(
        update(SigningKeyRow)
        .where(SigningKeyRow.retired_at.is_(None))
        .values(retired_at=now)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        delete(SigningKeyRow)
        .where(SigningKeyRow.retired_at <= now - OVERLAP)
        .execution_options(synchronize_session=False)
    )
    kid = _added(session, hmac_secret=hmac_secret, now=now)
    await _recorded(session, action="sign_in_key.rotated", kid=kid)
    await session.execute(text(ADVANCE_EPOCH))
    return kid


async def destroy(session: AsyncSession, *, kid: str, hmac_secret: bytes, now: datetime) -> None:
    """End a key: what it signed is believed nowhere within a second. One that signs is replaced in the same act.

    As the schema's owner. Raises `SigningKeyNotFound`.
    """
    await session.execute(text(_LOCK))
    gone = await session.scalar(
        delete(SigningKeyRow)
        .where(SigningKeyRow.kid == kid)
        .returning(SigningKeyRow.kid)
        .execution_options(synchronize_session=False)
    )
    if gone is None:
        raise _unknown()
    if await session.scalar(select(SigningKeyRow.kid).where(SigningKeyRow.retired_at.is_(None)).limit(1)) is None:
        _added(session, hmac_secret=hmac_secret, now=now)
    await _recorded(session, action="sign_in_key.destroyed", kid=kid)
    await session.execute(text(ADVANCE_EPOCH))


async def destroy_as_service(
    session: AsyncSession, *, kid: str, hmac_secret: bytes, organization_id: UUID, actor: Actor
) -> None:
    """As `destroy`, with the service's rights, and for an installation of one organization alone.

    Raises `SigningKeyNotFound`, `OperatorRequired`.
    """
    new = new_signing_key(now=datetime.now(UTC))
    row = await session.execute(
        text(queries.DESTROY_SIGNING_KEY),
        {
            "doomed": kid,
            "new_kid": new.kid,
            "new_algorithm": new.algorithm,
            "new_wrapped": wrap(new, secret=hmac_secret),
        },
    )
    done: Any = row.one()
    if not done.allowed:
        raise OperatorRequired(
            "These keys sign for several organizations, so none of them may destroy one. Ask the operator: "
            "ali auth destroy-key."
        )
    if not done.destroyed:
        raise _unknown()
    event = AuditEvent(
        action="sign_in_key.destroyed", organization_id=organization_id, target_kind="sign_in_key", target_id=kid
    )
    await record(session, event, actor=actor)
    await session.execute(text(ADVANCE_EPOCH))


def _added(session: AsyncSession, *, hmac_secret: bytes, now: datetime) -> str:
    key = new_signing_key(now=now)
    session.add(
        SigningKeyRow(
            kid=key.kid, algorithm=key.algorithm, wrapped=wrap(key, secret=hmac_secret), created_at=key.created_at
        )
    )
    return key.kid


async def _recorded(session: AsyncSession, *, action: str, kid: str) -> None:
    """The keys are everybody's, so it stands in every organization's record."""
    for organization_id in (await session.scalars(select(Organization.id))).all():
        event = AuditEvent(action=action, organization_id=organization_id, target_kind="sign_in_key", target_id=kid)
        await record(session, event, actor=Actor(kind="operator"))


def _unknown() -> SigningKeyNotFound:
    return SigningKeyNotFound("There is no key of this name. /.well-known/jwks.json lists those that are published.")
