"""What an issuer says of itself is checked, and its keys are fetched as seldom as can be."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from ali.features.identity.jose import Header, TokenRefused
from ali.features.identity.openid import Fetch, IssuerFailed, SignerCache, SignInRefused
from ali.features.identity.openid.discovery import checked_metadata
from ali.features.identity.openid.fetch import QUIET_AFTER_FAILURE
from ali.features.identity.openid.signers import KEPT_FOR, REFETCHED_AFTER, signers_of
from tests.unit.identity.issuer import (
    CLIENT,
    NOW,
    RSA,
    Issuer,
    SignIn,
    issuing,
    provider_of,
    public_jwk,
)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"token_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://user:password@127.0.0.1/token"},
        {"token_endpoint": "http://[::1/token"},
        {"jwks_uri": ["http://127.0.0.1/keys"]},
        {"userinfo_endpoint": "/userinfo"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
)
async def test_a_discovery_document_that_is_not_in_order_stops_the_sign_in(
    issuer: Issuer, fetch: Fetch, change: dict[str, Any]
) -> None:
    issuer.document |= change
    with pytest.raises(IssuerFailed):
        await SignIn(issuer, fetch).begun()


async def test_the_issuer_must_be_written_as_it_writes_itself_to_the_last_slash(issuer: Issuer, fetch: Fetch) -> None:
    issuer.document["issuer"] = issuer.url + "/"
    with pytest.raises(IssuerFailed, match="final slash"):
        await SignIn(issuer, fetch).begun()


async def test_endpoints_without_tls_are_refused_unless_allowed(issuer: Issuer, fetch: Fetch) -> None:
    strict = provider_of("https://issuer.example", allow_http=False)
    document = {
        name: str(value).replace(issuer.url, "https://issuer.example") for name, value in issuer.document.items()
    }
    del document["code_challenge_methods_supported"]
    assert checked_metadata(document, provider=strict).issuer == "https://issuer.example"
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        with pytest.raises(IssuerFailed):
            checked_metadata({**document, name: "http://issuer.example/x"}, provider=strict)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token", "/userinfo"])
@pytest.mark.parametrize("fault", ["500", "302", "not JSON", "an array", "huge", "deep"])
async def test_an_issuer_that_fails_is_said_to_fail(issuer: Issuer, fetch: Fetch, path: str, fault: str) -> None:
    if fault.isdigit():
        issuer.status[path] = int(fault)
    else:
        issuer.raw[path] = {"not JSON": b"<html>", "an array": b"[]", "huge": b" " * 600_000, "deep": b"[" * 200_000}[
            fault
        ]
    issuer.claims["groups"] = None  # so that userinfo is asked
    sign_in = SignIn(issuer, fetch)

    async def whole_way() -> None:
        attempt, answer = await sign_in.begun()
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)

    with pytest.raises(IssuerFailed) as failure:
        await whole_way()
    assert failure.value.http_status == 502


async def test_an_issuer_that_is_not_there_is_said_to_fail(fetch: Fetch) -> None:
    with pytest.raises(IssuerFailed, match="does not answer"):
        await SignIn(Issuer("http://127.0.0.1:1"), fetch).begun()


async def test_keys_are_fetched_once_and_anew_for_an_unknown_one_at_most_every_half_minute(
    issuer: Issuer, fetch: Fetch
) -> None:
    cache = SignerCache(fetch)
    place = {"issuer": issuer.url, "audience": CLIENT, "jwks_uri": f"{issuer.url}/keys"}
    known, unknown = (Header(algorithm="RS256", kid=kid, typ=None) for kid in ("RS256", "new"))
    await asyncio.gather(*(cache.signer(known, **place, now=NOW) for _ in range(10)))
    assert issuer.asked["/keys"] == 1
    for _ in range(50):
        with pytest.raises(TokenRefused):
            await cache.signer(unknown, **place, now=NOW + REFETCHED_AFTER - timedelta(seconds=1))
    assert issuer.asked["/keys"] == 1
    issuer.keys.append(public_jwk("RS256", RSA, kid="new"))
    assert (await cache.signer(unknown, **place, now=NOW + REFETCHED_AFTER)).kid == "new"
    assert issuer.asked["/keys"] == 2
    issuer.keys.clear()
    await cache.signer(known, **place, now=NOW + REFETCHED_AFTER + KEPT_FOR - timedelta(seconds=1))
    with pytest.raises(TokenRefused):  # what the issuer has withdrawn is not believed for longer than an hour
        await cache.signer(known, **place, now=NOW + REFETCHED_AFTER + KEPT_FOR)


async def test_one_issuers_keys_never_verify_anothers_tokens(fetch: Fetch) -> None:
    """LiteLLM's CVE-2026-35030: a cache whose keys collided."""
    async with issuing() as good, issuing() as evil:
        evil.signing_key = generate_private_key(public_exponent=65537, key_size=2048)
        evil.keys = [public_jwk("RS256", evil.signing_key)]  # the same kid as the other's
        evil.claims["iss"] = good.url
        cache = SignerCache(fetch)
        for issuer in (evil, good):
            sign_in = SignIn(issuer, fetch, signers=cache)
            attempt, answer = await sign_in.begun()
            if issuer is good:
                assert (await sign_in.party.finish(answer, attempt=attempt, now=NOW)).issuer == good.url
                good.tokens = {"id_token": evil.id_token(attempt.nonce)}
                attempt, answer = await sign_in.begun()
            with pytest.raises(SignInRefused):
                await sign_in.party.finish(answer, attempt=attempt, now=NOW)


async def test_two_clients_of_one_issuer_do_not_share_remembered_keys(issuer: Issuer, fetch: Fetch) -> None:
    cache = SignerCache(fetch)
    header = Header(algorithm="RS256", kid="RS256", typ=None)
    for audience in ("one", "two"):
        await cache.signer(header, issuer=issuer.url, audience=audience, jwks_uri=f"{issuer.url}/keys", now=NOW)
    assert issuer.asked["/keys"] == 2


def test_keys_that_are_not_for_verifying_signatures_are_passed_over() -> None:
    good = public_jwk("RS256", RSA)
    short = public_jwk("RS256", generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505 - it is to be refused
    bad: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "RS256", "alg": "HS256"},
        {**good, "use": "enc"},
        {**good, "alg": "HS256"},
        {**good, "alg": "RS512"},
        {**good, "d": "AQAB"},
        {**good, "kid": 1},
        {**good, "n": "%%%"},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        short,
        None,
        "x",
    ]
    assert signers_of({"keys": bad}) == ()
    assert [signer.algorithms for signer in signers_of({"keys": [*bad, good]})] == [{"RS256"}]
    documents: tuple[dict[str, Any], ...] = ({}, {"keys": {}}, {"keys": [good] * 101})
    for document in documents:
        with pytest.raises(IssuerFailed):
            signers_of(document)


async def test_a_token_that_names_no_key_is_taken_only_where_one_fits(issuer: Issuer, fetch: Fetch) -> None:
    cache = SignerCache(fetch)
    nameless = Header(algorithm="RS256", kid=None, typ=None)
    place = {"issuer": issuer.url, "audience": CLIENT, "jwks_uri": f"{issuer.url}/keys"}
    assert (await cache.signer(nameless, **place, now=NOW)).kid == "RS256"
    issuer.keys.append(public_jwk("RS256", RSA, kid="second"))
    with pytest.raises(TokenRefused):
        await SignerCache(fetch).signer(nameless, **place, now=NOW)


async def test_after_a_failure_those_who_wait_are_told_so_without_asking_again(issuer: Issuer, fetch: Fetch) -> None:
    issuer.status["/.well-known/openid-configuration"] = 500
    sign_in = SignIn(issuer, fetch)
    outcomes = await asyncio.gather(*(sign_in.begun() for _ in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {IssuerFailed}
    assert issuer.asked["/.well-known/openid-configuration"] == 1
    issuer.status.clear()
    attempt, answer = await sign_in.begun(NOW + QUIET_AFTER_FAILURE)
    assert (await sign_in.party.finish(answer, attempt=attempt, now=NOW + QUIET_AFTER_FAILURE)).role == "member"
