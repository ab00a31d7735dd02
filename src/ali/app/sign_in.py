"""What people's sign-in needs of the process."""

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from ali.features.identity.desk import Desk
from ali.features.identity.passwords import Passwords
from ali.features.identity.turnstile import Turnstile
from ali.kernel.db import Pool
from ali.kernel.settings import Settings
from ali.kernel.telemetry import Metrics


def sign_in_desk(
    settings: Settings,
    sessions: async_sessionmaker[AsyncSession],
    pool: Pool,
    *,
    hmac_secret: bytes,
    metrics: Metrics,
) -> Desk:
    """The desk. Mail (5 ms) and issuers (15 ms) are imported for installations that have them."""
    mailer = None
    if settings.smtp_url is not None:
        from ali.features.identity.mail import mailer_of  # noqa: PLC0415 - see the docstring

        mailer = mailer_of(settings)
    parties = {}
    if settings.openid_providers:
        from ali.features.identity.openid.outbound import parties_of  # noqa: PLC0415 - see the docstring

        parties = parties_of(settings)
    return Desk(
        sessions=sessions,
        pool=pool,
        hmac_secret=hmac_secret,
        address=settings.address,
        passwords=Passwords(),
        turnstile=Turnstile(sessions, secret=hmac_secret),
        mailer=mailer,
        parties=parties,
        metrics=metrics,
    )
