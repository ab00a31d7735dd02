"""`ali auth`: what an operator does about people's sign-in, over the database: keys, invitations, links."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar
from uuid import UUID

import typer
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, AuditEvent, record
from ali.features.identity import acceptance, key_store, opaque, password_reset
from ali.features.identity.account import email_key
from ali.features.identity.mail import checked_address
from ali.features.identity.models import Invite, Organization, User
from ali.features.identity.roles import ROLES
from ali.kernel.db import make_engine
from ali.kernel.errors import Conflict, InvalidRequest, NotFound
from ali.kernel.ids import shown_id, uuid7
from ali.kernel.settings import Settings
from ali.ops import bootstrap

app = typer.Typer(no_args_is_help=True, help="Look after people's sign-in and its keys.")

INVITATION_VALID_FOR: Final = timedelta(days=7)
_OPERATOR: Final = Actor(kind="operator")
Result = TypeVar("Result")


@app.command("keys")
def list_keys() -> None:
    """List the keys that sign access tokens, or have signed some that may still be believed."""

    async def act(session: AsyncSession, _settings: Settings) -> list[str]:
        return [
            f"{key.kid}  {key.algorithm}  {'retired' if key.retired_at else 'signs':<8} {key.created_at:%Y-%m-%d}"
            for key in await key_store.listed(session)
        ]

    for line in _in_transaction(act):
        print(line)


@app.command("rotate-keys")
def rotate_keys() -> None:
    """Make a new key for access tokens. The one before stays good for what it signed, for 20 minutes."""

    async def act(session: AsyncSession, settings: Settings) -> str:
        secret = bootstrap.api_key_hmac_secret(settings)
        return await key_store.rotate(session, hmac_secret=secret, now=datetime.now(UTC))

    print(f"{_in_transaction(act)} signs from now on.")


@app.command("destroy-key")
def destroy_key(kid: Annotated[str, typer.Argument(help="The key's name, as `ali auth keys` shows it.")]) -> None:
    """Destroy a key of access tokens at once, as when it was stolen: what it signed is good nowhere within a second."""

    async def act(session: AsyncSession, settings: Settings) -> None:
        secret = bootstrap.api_key_hmac_secret(settings)
        await key_store.destroy(session, kid=kid, hmac_secret=secret, now=datetime.now(UTC))

    _in_transaction(act)
    print("Destroyed.")


@app.command("invite")
def invite(
    email: Annotated[str, typer.Argument(help="The person's e-mail address.")],
    role: Annotated[str, typer.Option(help=f"One of: {', '.join(ROLES)}.")] = "member",
    organization: Annotated[
        UUID | None, typer.Option(help="The organization's id; unset: the only one there is.")
    ] = None,
) -> None:
    """Invite a person and print the link, which works once, for seven days. An earlier link of theirs becomes void."""

    async def act(session: AsyncSession, settings: Settings) -> str:
        return await _invited(
            session,
            email=email_key(checked_address(email)),
            role=role,
            organization_id=await _organization(session, organization),
            settings=settings,
        )

    print(_in_transaction(act))


@app.command("reset-link")
def reset_link(email: Annotated[str, typer.Argument(help="The account's e-mail address.")]) -> None:
    """Print a link to a new password, which works once, for an hour: where no mail is sent, or it does not arrive."""

    async def act(session: AsyncSession, settings: Settings) -> str:
        user_id = await session.scalar(
            select(User.id).where(User.email == email_key(email), User.disabled_at.is_(None))
        )
        if user_id is None:
            raise NotFound("No account has this e-mail address, or it is disabled.", param="email")
        token = await password_reset.issue(
            session,
            user_id=user_id,
            hmac_secret=bootstrap.api_key_hmac_secret(settings),
            actor=_OPERATOR,
            now=datetime.now(UTC),
        )
        if token is None:
            raise Conflict("This account has three links already that are good. Use one of them, or wait an hour.")
        return password_reset.link(settings.address, token)

    print(_in_transaction(act))


async def _invited(session: AsyncSession, *, email: str, role: str, organization_id: UUID, settings: Settings) -> str:
    """The link of a new invitation."""
    if role not in ROLES:
        raise InvalidRequest(f"There is no role {role!r}. The roles are: {', '.join(ROLES)}.", param="role")
    if await session.scalar(select(User.id).where(User.email == email)) is not None:
        raise Conflict("This e-mail address has an account already. `ali auth reset-link` gives it a new password.")
    await session.execute(
        delete(Invite).where(
            Invite.organization_id == organization_id, Invite.email == email, Invite.accepted_at.is_(None)
        )
    )
    token = opaque.mint(opaque.INVITATION)
    invited = Invite(
        id=uuid7(),
        organization_id=organization_id,
        email=email,
        role=role,
        digest=opaque.digest(token, hmac_secret=bootstrap.api_key_hmac_secret(settings)),
        expires_at=datetime.now(UTC) + INVITATION_VALID_FOR,
    )
    session.add(invited)
    await session.flush()
    event = AuditEvent(
        action="invite.sent",
        organization_id=organization_id,
        target_kind="invite",
        target_id=shown_id("invite", invited.id, separator="-"),
        detail={"role": role},
    )
    await record(session, event, actor=_OPERATOR)
    return acceptance.link(settings.address, token)


async def _organization(session: AsyncSession, organization: UUID | None) -> UUID:
    """The organization named, or the only one."""
    if organization is not None:
        return organization
    found = (await session.scalars(select(Organization.id).limit(2))).all()
    if len(found) != 1:
        raise InvalidRequest(
            "There is more than one organization, or none. Name it with --organization.", param="organization"
        )
    return found[0]


def _in_transaction(act: Callable[[AsyncSession, Settings], Awaitable[Result]]) -> Result:
    """One verb, one transaction, as the schema's owner, whom no wall of tenancy holds."""

    async def run() -> Result:
        settings = Settings()
        try:
            engine = make_engine(settings.database_dsn(), size=1)
        except FileNotFoundError as error:
            raise NotFound("There is no installation here yet. Start it once with `./run`.") from error
        try:
            async with AsyncSession(engine) as session, session.begin():
                return await act(session, settings)
        finally:
            await engine.dispose()

    return asyncio.run(run())
