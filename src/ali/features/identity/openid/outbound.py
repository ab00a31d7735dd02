"""The issuers that the settings name, asked through the one guard for outbound addresses."""

from collections.abc import Mapping

from ali.features.identity.openid.fetch import DEADLINE_S, LARGEST_BYTES, Fetch, Reply
from ali.features.identity.openid.relying_party import RelyingParty
from ali.features.identity.openid.signers import SignerCache
from ali.kernel.outbound import read_allowed
from ali.kernel.outbound.client import OutboundClient
from ali.kernel.settings import Settings


def parties_of(settings: Settings) -> dict[str, RelyingParty]:
    """This service before each issuer, by its name. One that is private, or plain http, must be in
    ALI_OUTBOUND_ALLOWED_HOSTS.
    """
    fetch = guarded(OutboundClient(allowed=read_allowed(settings.outbound_allowed_hosts)))
    signers = SignerCache(fetch)
    return {
        provider.name: RelyingParty(provider, fetch=fetch, signers=signers) for provider in settings.openid_providers
    }


def guarded(client: OutboundClient) -> Fetch:
    """`client` as issuers are asked through."""

    async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        reply = await client.request(
            method, url, headers=headers, body=body, deadline_s=DEADLINE_S, limit_bytes=LARGEST_BYTES
        )
        return Reply(status=reply.status, headers=reply.headers, body=reply.body)

    return fetch
