"""`ali auth`: what an operator does about people's sign-in, over the database: keys and links."""

from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor
from ali.features.identity import key_store, password_reset
from ali.features.identity.account import email_key
from ali.features.identity.cli.terminal import in_transaction
from ali.features.identity.models import User
from ali.kernel.errors import Conflict, NotFound
from ali.kernel.settings import Settings
from ali.ops import bootstrap

app = typer.Typer(no_args_is_help=True, help="Look after people's sign-in and its keys.")

_OPERATOR: Final = Actor(kind="operator")


@app.command("keys")
def list_keys() -> None:
    """List the keys that sign access tokens, or have signed some that may still be believed."""

    async def act(session: AsyncSession, _settings: Settings) -> list[str]:
        return [
            f"{key.kid}  {key.algorithm}  {'retired' if key.retired_at else 'signs':<8} {key.created_at:%Y-%m-%d}"
            for key in await key_store.listed(session)
        ]

    for line in in_transaction(act):
        print(line)


@app.command("rotate-keys")
def rotate_keys() -> None:
    """Make a new key for access tokens. The one before stays good for what it signed, for 20 minutes."""

    async def act(session: AsyncSession, settings: Settings) -> str:
        secret = bootstrap.api_key_hmac_secret(settings)
        return await key_store.rotate(session, hmac_secret=secret, now=datetime.now(UTC))

    print(f"{in_transaction(act)} signs from now on.")


@app.command("destroy-key")
def destroy_key(kid: Annotated[str, typer.Argument(help="The key's name, as `ali auth keys` shows it.")]) -> None:
    """Destroy a key of access tokens at once, as when it was stolen: what it signed is good nowhere within a second."""

    async def act(session: AsyncSession, settings: Settings) -> None:
        secret = bootstrap.api_key_hmac_secret(settings)
        await key_store.destroy(session, kid=kid, hmac_secret=secret, now=datetime.now(UTC))

    in_transaction(act)
    print("Destroyed.")


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

    print(in_transaction(act))
