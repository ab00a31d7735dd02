"""A sign-in from its first redirect to a known person: the two steps that a route calls."""

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from ali.features.identity.jose import TokenRefused
from ali.features.identity.openid.discovery import Metadata, checked_metadata, discovery_url
from ali.features.identity.openid.fetch import Fetch, IssuerFailed, Kept, asked, fetched_object, json_object
from ali.features.identity.openid.id_token import verify_id_token
from ali.features.identity.openid.person import ExternalPerson, SignInRefused, groups_of, person_of, verified_email
from ali.features.identity.openid.request import (
    ATTEMPT_LIFETIME,
    Attempt,
    authorization_url,
    new_attempt,
    token_request,
)
from ali.features.identity.openid.signers import SignerCache
from ali.kernel import log
from ali.kernel.openid_provider import OpenIdProvider

METADATA_KEPT_FOR: Final = timedelta(hours=1)
_LONGEST_CODE: Final = 4096
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,64}", re.ASCII)


class RelyingParty:
    """This service before one issuer. One for each entry of `ALI_OPENID_PROVIDERS`; they share one `SignerCache`."""

    def __init__(self, provider: OpenIdProvider, *, fetch: Fetch, signers: SignerCache) -> None:
        self.provider = provider
        self._fetch = fetch
        self._signers = signers
        self._metadata = Kept(self._read_metadata)

    async def begin(self, *, redirect_uri: str, now: datetime) -> tuple[Attempt, str]:
        """A new attempt, to be kept for this browser, and the URL to send it to. Raises `IssuerFailed`."""
        metadata = await self._metadata.no_older_than(METADATA_KEPT_FOR, now=now)
        attempt = new_attempt(provider=self.provider, redirect_uri=redirect_uri, now=now)
        return attempt, authorization_url(attempt, provider=self.provider, metadata=metadata)

    async def finish(self, answer: Mapping[str, str], *, attempt: Attempt, now: datetime) -> ExternalPerson:
        """Who has signed in, from the query with which the browser came back. The attempt is used up in any case.

        Raises `SignInRefused`, `NotAdmitted` or `IssuerFailed`. Costs one or two requests to the issuer, three where it
        keeps groups out of ID tokens.
        """
        metadata = await self._metadata.no_older_than(METADATA_KEPT_FOR, now=now)
        code = self._code_of(answer, attempt=attempt, metadata=metadata, now=now)
        headers, form = token_request(code, attempt=attempt, provider=self.provider, metadata=metadata)
        id_token, access_token = await self._exchanged(metadata.token_endpoint, headers=headers, form=form)
        try:
            claims = await verify_id_token(
                id_token,
                signers=self._signers,
                issuer=self.provider.issuer,
                client_id=self.provider.client_id,
                jwks_uri=metadata.jwks_uri,
                nonce=attempt.nonce,
                access_token=access_token,
                now=now,
            )
        except TokenRefused as refusal:
            raise self._refused(
                "The issuer's answer could not be verified. Sign in again.", refusal.reason
            ) from refusal
        return person_of(
            await self._completed(claims, metadata=metadata, access_token=access_token), provider=self.provider
        )

    async def _read_metadata(self) -> Metadata:
        document = await fetched_object(self._fetch, discovery_url(self.provider.issuer))
        return checked_metadata(document, provider=self.provider)

    def _code_of(self, answer: Mapping[str, str], *, attempt: Attempt, metadata: Metadata, now: datetime) -> str:
        """The code in an answer to `attempt` (RFC 6749, section 4.1.2; RFC 9207). Raises `SignInRefused`."""
        again = "This answer belongs to no sign-in that was begun here. Sign in again."
        if attempt.provider != self.provider.name:
            raise self._refused(again, "another provider's attempt")
        if not hmac.compare_digest(answer.get("state", "").encode("utf-8", "replace"), attempt.state.encode()):
            raise self._refused(again, "another state")
        if not timedelta(0) <= now - attempt.started_at < ATTEMPT_LIFETIME:
            raise self._refused("This sign-in took too long. Sign in again.", "attempt expired")
        if answer.get("iss", None if metadata.sends_iss else self.provider.issuer) != self.provider.issuer:
            raise self._refused(again, "another issuer's answer")
        if "error" in answer:
            raise self._refused(
                "The issuer did not sign you in. Sign in again, or ask an administrator.", _code(answer)
            )
        code = answer.get("code", "")
        if not 0 < len(code) <= _LONGEST_CODE:
            raise self._refused(again, "no code")
        return code

    async def _exchanged(self, url: str, *, headers: Mapping[str, str], form: bytes) -> tuple[str, str | None]:
        """The ID token, and the access token if there is one."""
        reply = await asked(self._fetch, "POST", url, headers=headers, body=form)
        if reply.status in {400, 401}:
            raise self._refused(
                "The issuer did not accept this sign-in. Sign in again; if it lasts, an administrator has to check "
                "the client's secret and redirect address.",
                _code(json_object(reply.body)),
            )
        if reply.status != 200:
            raise IssuerFailed(f"The issuer's token endpoint answered with status {reply.status}. Try again shortly.")
        tokens = json_object(reply.body)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise IssuerFailed("The issuer sent no ID token. Check that openid is among the scopes it allows.")
        return id_token, access_token if isinstance(access_token, str) else None

    async def _completed(
        self, claims: dict[str, Any], *, metadata: Metadata, access_token: str | None
    ) -> dict[str, Any]:
        """Claims with what only the userinfo endpoint tells, where something that decides is missing."""
        provider = self.provider
        needs_groups = bool(provider.group_roles) and not groups_of(claims, claim=provider.group_claim)
        if not needs_groups and verified_email(claims, provider=provider) is not None:
            return claims
        if metadata.userinfo_endpoint is None or access_token is None:
            return claims
        more = await fetched_object(
            self._fetch, metadata.userinfo_endpoint, headers={"authorization": f"Bearer {access_token}"}
        )
        if more.get("sub") != claims["sub"]:  # OpenID Connect Core, section 5.3.2: else it is another person's
            raise self._refused("The issuer's answer could not be verified. Sign in again.", "another subject")
        if verified_email(claims, provider=provider) is None and "email" in more:
            # The address and the word that it is verified are taken from one place together.
            claims = {name: value for name, value in claims.items() if name not in {"email", "email_verified"}}
        return {**more, **claims}

    def _refused(self, message: str, reason: str) -> SignInRefused:
        log.warning("openid.refused", provider=self.provider.name, reason=reason)
        return SignInRefused(message, reason=reason)


def _code(answer: Mapping[str, Any]) -> str:
    """The protocol's error code, if it is one: what an issuer writes is not ours to log."""
    code = answer.get("error")
    return code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else "unnamed error"
