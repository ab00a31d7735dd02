"""Sign-in with any issuer of OpenID Connect: authorization code with PKCE, verified ID tokens, groups to roles."""

from ali.features.identity.openid.fetch import Fetch, IssuerFailed, Reply
from ali.features.identity.openid.person import ExternalPerson, SignInRefused
from ali.features.identity.openid.relying_party import RelyingParty
from ali.features.identity.openid.request import Attempt
from ali.features.identity.openid.signers import SignerCache

__all__ = [
    "Attempt",
    "ExternalPerson",
    "Fetch",
    "IssuerFailed",
    "RelyingParty",
    "Reply",
    "SignInRefused",
    "SignerCache",
]
