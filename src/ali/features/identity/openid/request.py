"""The two requests of a sign-in: where the person's browser is sent, and how the code is turned into tokens."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote_plus, urlencode, urlsplit

from ali.features.identity.jose import base64url
from ali.features.identity.openid.discovery import Metadata
from ali.kernel.openid_provider import OpenIdProvider

ATTEMPT_LIFETIME: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A sign-in that has begun: kept for the browser that began it until it comes back, and then used up.

    All but `started_at` and the provider's name are secrets of that browser.
    """

    provider: str
    redirect_uri: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    started_at: datetime


def new_attempt(*, provider: OpenIdProvider, redirect_uri: str, now: datetime) -> Attempt:
    """Fresh random values for one sign-in: 256 bits each."""
    return Attempt(
        provider=provider.name,
        redirect_uri=redirect_uri,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        started_at=now,
    )


def authorization_url(attempt: Attempt, *, provider: OpenIdProvider, metadata: Metadata) -> str:
    """Where the browser goes: authorization code with PKCE S256 (RFC 7636), state and nonce."""
    query = urlencode(
        {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": attempt.redirect_uri,
            "scope": " ".join(provider.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64url(hashlib.sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
    )
    separator = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
    return metadata.authorization_endpoint + separator + query


def token_request(
    code: str, *, attempt: Attempt, provider: OpenIdProvider, metadata: Metadata
) -> tuple[dict[str, str], bytes]:
    """Headers and form of the token request. The client shows itself by HTTP Basic, where the issuer takes no Basic by
    the form, and without a secret by PKCE alone (RFC 6749, section 2.3.1).
    """
    headers = {"content-type": "application/x-www-form-urlencoded"}
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": attempt.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    secret = provider.client_secret.get_secret_value() if provider.client_secret is not None else None
    if secret is None:
        form["client_id"] = provider.client_id
    elif (
        "client_secret_basic" in metadata.token_auth_methods or "client_secret_post" not in metadata.token_auth_methods
    ):
        pair = f"{quote_plus(provider.client_id)}:{quote_plus(secret)}"
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        form |= {"client_id": provider.client_id, "client_secret": secret}
    return headers, urlencode(form).encode()
