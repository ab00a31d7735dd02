"""The doors through the wall of tenancy (ADR 9) that sign-in needs, for what is asked before a tenant is known.

Each is a function of the database that answers one question; what follows happens in the tenant's own transaction.
"""

from typing import Final

ACCOUNT_OF_EMAIL: Final = (
    "select id, organization_id, password_hash, has_second_factor from ali.account_of_email(:email)"
)
ACCOUNT_OF_ISSUER: Final = "select id, organization_id, enabled from ali.account_of_issuer(:issuer, :subject)"
ACCOUNT_OF_RESET: Final = "select id, organization_id, email from ali.account_of_reset(:digest)"
INVITE_OF_DIGEST: Final = "select id, organization_id, email from ali.invite_of_digest(:digest)"
ORGANIZATION_OF_SESSION: Final = "select ali.organization_of_session(:session_id)"
ONLY_ORGANIZATION: Final = "select ali.only_organization()"
DESTROY_SIGNING_KEY: Final = (
    "select allowed, destroyed from ali.destroy_signing_key(:doomed, :new_kid, :new_algorithm, :new_wrapped)"
)
TIDY: Final = "select ali.tidy_sign_in(%s)"

RECOGNISE_SESSION: Final = (
    "select organization_id, role, project_id, member_role, epoch from ali.recognise_session(%s, %s, %s)"
)
"""One row always: the session and what its person may be, or NULLs; and the epoch at which that was true."""

RECOGNISE_PERSON: Final = (
    "select organization_id, role, project_id, member_role, epoch from ali.recognise_person(%s, %s)"
)
"""As `RECOGNISE_SESSION`, in whichever session; no row where there is no such person."""

SIGNING_KEYS: Final = "select kid, wrapped, created_at, retired_at from ali.signing_key"
