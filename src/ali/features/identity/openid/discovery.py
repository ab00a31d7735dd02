"""The issuer's own description (OpenID Connect Discovery 1.0), believed only as far as it names the issuer exactly."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ali.features.identity.openid.fetch import IssuerFailed
from ali.kernel.openid_provider import OpenIdProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Where an issuer does what."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    token_auth_methods: frozenset[str]
    sends_iss: bool
    """It names itself in each answer of the authorization endpoint (RFC 9207)."""


def discovery_url(issuer: str) -> str:
    """Where the document is: below the issuer, a final slash of which is not doubled."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def checked_metadata(document: dict[str, Any], *, provider: OpenIdProvider) -> Metadata:
    """What of `document` is used. Raises `IssuerFailed` where it names another issuer or lacks something."""
    if document.get("issuer") != provider.issuer:
        raise IssuerFailed(
            f"The discovery document of {provider.name} is of another issuer. "
            "Write the issuer in ALI_OPENID_PROVIDERS exactly as the document does, a final slash too."
        )
    challenges = document.get("code_challenge_methods_supported")
    if isinstance(challenges, list) and "S256" not in challenges:
        raise IssuerFailed(f"{provider.name} does not support PKCE with S256, without which nobody signs in here.")
    methods = document.get("token_endpoint_auth_methods_supported")
    return Metadata(
        issuer=provider.issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", provider=provider),
        token_endpoint=_endpoint(document, "token_endpoint", provider=provider),
        jwks_uri=_endpoint(document, "jwks_uri", provider=provider),
        userinfo_endpoint=(
            _endpoint(document, "userinfo_endpoint", provider=provider) if "userinfo_endpoint" in document else None
        ),
        token_auth_methods=frozenset(
            method for method in (methods if isinstance(methods, list) else ["client_secret_basic"]) if method
        ),
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: dict[str, Any], name: str, *, provider: OpenIdProvider) -> str:
    value = document.get(name)
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        parts = None
    schemes = {"https", "http"} if provider.allow_http else {"https"}
    if (
        not isinstance(value, str)
        or parts is None
        or parts.scheme not in schemes
        or not parts.hostname
        or parts.username is not None
        or parts.fragment
    ):
        raise IssuerFailed(f"The discovery document of {provider.name} has no usable {name}.")
    return value
