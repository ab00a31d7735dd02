"""What `ali doctor` finds about people's sign-in: addresses that lead nowhere, doors too wide, keys too old."""

from collections.abc import Iterator
from datetime import timedelta

from psycopg import errors

from ali.kernel.checks import CheckResult, failed, passed, warned
from ali.kernel.settings import Settings
from ali.ops import database
from ali.ops.sign_in import problems

ROTATE_AFTER = timedelta(days=90)


def sign_in(settings: Settings) -> Iterator[CheckResult]:
    """The settings of sign-in, one finding for each kind; and the age of the key that signs access tokens."""
    wrong = list(problems(settings))
    for problem in wrong:
        yield failed("sign-in", problem, hint="`ali serve` does not start before this is mended.")
    yield _address(settings)
    if not wrong:
        yield _mail(settings)
        yield from _providers(settings)
    yield from _keys(settings)


def _address(settings: Settings) -> CheckResult:
    name, address = "public address", settings.address
    if settings.public_url is None and settings.openid_providers:
        hint = "Set ALI_PUBLIC_URL to the https address that people use: issuers send browsers back to it."
        return (warned if settings.embedded else failed)(name, f"none set, {address} is taken", hint=hint)
    if settings.public_url is None and not settings.embedded:
        hint = "Set ALI_PUBLIC_URL to the address that people use: it stands in links and in access tokens."
        return warned(name, f"none set, {address} is taken", hint=hint)
    if address.startswith("http://") and not settings.embedded:
        hint = "Set ALI_PUBLIC_URL with https: over http, passwords and tokens can be read on the way."
        return warned(name, f"{address} is not https", hint=hint)
    return passed(name, address)


def _mail(settings: Settings) -> CheckResult:
    if settings.smtp_url is not None:
        return passed("mail", "a server is set")
    hint = "Set ALI_SMTP_URL and ALI_MAIL_FROM; `ali users invite` and `ali auth reset-link` print links meanwhile."
    if settings.embedded:
        return passed("mail", "no server: links are printed by `ali users invite` and `ali auth reset-link`")
    return warned("mail", "no server is set, so nobody gets a link to a new password", hint=hint)


def _providers(settings: Settings) -> Iterator[CheckResult]:
    for provider in settings.openid_providers:
        name = f"issuer {provider.name}"
        if provider.default_role and not provider.allowed_email_domains:
            hint = "Right where the issuer is your organization's alone. Otherwise set allowed_email_domains."
            yield warned(name, f"admits everybody it knows, as {provider.default_role}", hint=hint)
        elif "owner" in provider.group_roles.values():
            hint = "Whoever manages that group at the issuer can make owners here. Map it to admin, unless it is meant."
            yield warned(name, "a group makes its members owners", hint=hint)
        else:
            yield passed(name, provider.issuer)


def _keys(settings: Settings) -> Iterator[CheckResult]:
    name = "keys of access tokens"
    try:
        with database.connect(settings.database_dsn()) as connection:
            row = connection.execute(
                "select now() - created_at from ali.signing_key where retired_at is null"
                " order by created_at desc limit 1"
            ).fetchone()
    except (FileNotFoundError, database.DatabaseUnreachable, errors.UndefinedTable, errors.InvalidSchemaName):
        return  # the check of the database says it
    if row is None:
        yield warned(name, "none yet", hint="`ali serve` makes the first one; `ali auth rotate-keys` makes another.")
    elif row[0] > ROTATE_AFTER:
        yield warned(name, f"{row[0].days} days old", hint="Rotate them every 90 days: `ali auth rotate-keys`.")
    else:
        yield passed(name, f"{row[0].days} days old")
