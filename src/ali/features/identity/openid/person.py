"""From verified claims to a person and their role, or to a refusal that says what the administrator can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ali.kernel.errors import AuthenticationFailed, PermissionRefused
from ali.kernel.openid_provider import OpenIdProvider


class SignInRefused(AuthenticationFailed):
    """401: the issuer's answer does not prove who is signing in."""

    code = "openid_sign_in_refused"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        """Why, for the log."""


class NotAdmitted(PermissionRefused):
    """403: the person is who they say, and this installation does not admit them."""

    code = "openid_not_admitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalPerson:
    """Who signed in. An account is linked by `issuer` and `subject`, never by an address: addresses are given anew.

    `email` is set only where it is verified, in lower case.
    """

    issuer: str
    subject: str
    email: str | None
    name: str | None
    role: str


def person_of(claims: Mapping[str, Any], *, provider: OpenIdProvider) -> ExternalPerson:
    """The person that verified claims describe. Raises `NotAdmitted`."""
    email = verified_email(claims, provider=provider)
    if provider.allowed_email_domains:
        domain = email.rpartition("@")[2] if email else None
        if domain not in {allowed.lower() for allowed in provider.allowed_email_domains}:
            raise NotAdmitted(
                "Only people with a verified e-mail address of this organization may sign in. Use that account, "
                "or ask an administrator."
            )
    role = role_for(groups_of(claims, claim=provider.group_claim), provider=provider)
    if role is None:
        raise NotAdmitted("You are in none of the groups that may sign in here. Ask an administrator for one of them.")
    name = claims.get("name")
    return ExternalPerson(
        issuer=provider.issuer,
        subject=claims["sub"],
        email=email,
        name=name[:200] if isinstance(name, str) and name else None,
        role=role,
    )


def verified_email(claims: Mapping[str, Any], *, provider: OpenIdProvider) -> str | None:
    """The address, if the issuer says that it is verified or is trusted to have seen to it.

    ASCII alone: some letters of other scripts become ASCII in lower case, and one address another's.
    """
    email, verified = claims.get("email"), claims.get("email_verified")
    if (
        not isinstance(email, str)
        or email.count("@") != 1
        or len(email) > 320
        or not (email.isascii() and email.isprintable())
    ):
        return None
    if verified is True or (verified is None and provider.trusts_email):
        return email.lower()
    return None


def groups_of(claims: Mapping[str, Any], *, claim: str) -> frozenset[str]:
    """The groups that `claim` lists: the claim of that very name, else the path through objects that its dots spell."""
    value: object = claims.get(claim)
    if value is None and "." in claim:
        value = claims
        for step in claim.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset({value})
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()


def role_for(groups: frozenset[str], *, provider: OpenIdProvider) -> str | None:
    """The role of the first entry of `group_roles` whose group is among `groups`, else the default one."""
    for group, role in provider.group_roles.items():
        if group in groups:
            return role
    return provider.default_role
