"""Sign-in with an issuer whose answers are in order, and with every way in which one is not."""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ali.features.identity.openid import Fetch, SignInRefused
from tests.unit.identity.hostile_tokens import encoded
from tests.unit.identity.issuer import CALLBACK, CLIENT, KEYS, NOW, RSA, Issuer, SignIn, s256


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_person_signs_in_under_each_algorithm(issuer: Issuer, fetch: Fetch, algorithm: str) -> None:
    issuer.algorithm = algorithm
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    person = await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    assert (person.issuer, person.subject, person.role) == (issuer.url, "subject-1", "member")
    assert (person.email, person.name) == ("ana@example.com", "Ana Souza")
    assert issuer.asked["/userinfo"] == 0


async def test_the_browser_is_sent_with_pkce_state_and_nonce_of_its_own(issuer: Issuer, fetch: Fetch) -> None:
    party = SignIn(issuer, fetch, scopes=("openid", "email", "groups")).party
    (attempt, url), (other, _) = [await party.begin(redirect_uri=CALLBACK, now=NOW) for _ in range(2)]
    query = dict(parse_qsl(urlsplit(url).query))
    assert query == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": CALLBACK,
        "scope": "openid email groups",
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": s256(attempt.verifier),
        "code_challenge_method": "S256",
    }
    secrets = [attempt.state, attempt.nonce, attempt.verifier, other.state, other.nonce, other.verifier]
    assert len(set(secrets)) == 6
    assert min(map(len, secrets)) >= 43
    assert not any(secret in repr(attempt) for secret in secrets)


async def test_the_client_shows_itself_as_the_issuer_takes_it(issuer: Issuer, fetch: Fetch) -> None:
    for methods, secret in ((["client_secret_basic"], "a:b c"), (["client_secret_post"], "a:b c"), (["none"], None)):
        issuer.document["token_endpoint_auth_methods_supported"] = methods
        sign_in = SignIn(issuer, fetch, client_secret=secret)
        attempt, answer = await sign_in.begun()
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    basic, post, public = issuer.forms
    expected = base64.b64encode(f"{CLIENT}:a%3Ab+c".encode()).decode()
    assert issuer.headers[0]["Authorization"] == f"Basic {expected}"
    assert "client_secret" not in basic
    assert (post["client_id"], post["client_secret"]) == (CLIENT, "a:b c")
    assert public["client_id"] == CLIENT
    assert "client_secret" not in public
    assert all("Authorization" not in headers for headers in issuer.headers[1:])
    assert all(form["redirect_uri"] == CALLBACK for form in issuer.forms)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "other"}, "another state"),
        ({"state": ""}, "another state"),
        ({"state": "é\ud800"}, "another state"),
        ({"iss": "https://other.example"}, "another issuer's answer"),
        ({"code": ""}, "no code"),
        ({"code": "x" * 5000}, "no code"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "<script>\n"}, "unnamed error"),
    ],
)
async def test_an_answer_that_is_not_of_this_sign_in_is_refused(
    issuer: Issuer, fetch: Fetch, change: dict[str, str], reason: str
) -> None:
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    with pytest.raises(SignInRefused) as refusal:
        await sign_in.party.finish({**answer, **change}, attempt=attempt, now=NOW)
    assert refusal.value.reason == reason


async def test_an_answer_without_state_or_after_ten_minutes_or_for_another_provider_is_refused(
    issuer: Issuer, fetch: Fetch
) -> None:
    sign_in, elsewhere = SignIn(issuer, fetch), SignIn(issuer, fetch, name="other")
    attempt, answer = await sign_in.begun()
    with pytest.raises(SignInRefused):
        await sign_in.party.finish({"code": answer["code"]}, attempt=attempt, now=NOW)
    for now in (NOW + timedelta(minutes=10), NOW - timedelta(seconds=1)):
        with pytest.raises(SignInRefused):
            await sign_in.party.finish(answer, attempt=attempt, now=now)
    with pytest.raises(SignInRefused):
        await elsewhere.party.finish(answer, attempt=attempt, now=NOW)
    assert not issuer.forms


async def test_an_issuer_that_names_itself_in_answers_must_do_so(issuer: Issuer, fetch: Fetch) -> None:
    """RFC 9207: what else would a mixed-up answer be known by."""
    issuer.document["authorization_response_iss_parameter_supported"] = True
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    with pytest.raises(SignInRefused):
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    assert (await sign_in.party.finish({**answer, "iss": issuer.url}, attempt=attempt, now=NOW)).role == "member"


NOW_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "other"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": {CLIENT: 1}}, "another audience"),
        ({"aud": [CLIENT, "other"]}, "another authorized party"),
        ({"aud": [CLIENT, "other"], "azp": "other"}, "another authorized party"),
        ({"azp": "other"}, "another authorized party"),
        ({"nonce": "other"}, "another sign-in's nonce"),
        ({"nonce": None}, "another sign-in's nonce"),
        ({"nonce": 1}, "another sign-in's nonce"),
        ({"sub": None}, "no subject"),
        ({"sub": ""}, "no subject"),
        ({"sub": "x" * 256}, "no subject"),
        ({"exp": NOW_S - 30}, "expired"),
        ({"exp": None}, "a time that is missing or no number"),
        ({"iat": NOW_S + 31}, "not valid yet"),
        ({"iat": None}, "a time that is missing or no number"),
        ({"nbf": NOW_S + 31}, "not valid yet"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "another access token's hash"),
        ({"at_hash": 1}, "another access token's hash"),
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    issuer: Issuer, fetch: Fetch, claims: dict[str, Any], reason: str
) -> None:
    issuer.claims |= claims
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    with pytest.raises(SignInRefused) as refusal:
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(("algorithm", "digest"), [("RS256", "sha256"), ("EdDSA", "sha512")])
async def test_the_hash_of_the_access_token_is_checked_where_it_is_sent(
    issuer: Issuer, fetch: Fetch, algorithm: str, digest: str
) -> None:
    whole = hashlib.new(digest, b"at").digest()
    issuer.algorithm = algorithm
    issuer.claims["at_hash"] = encoded(whole[: len(whole) // 2])
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    assert (await sign_in.party.finish(answer, attempt=attempt, now=NOW)).subject == "subject-1"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "RS384", "RS512", "ES384", "ES256K", "PS512"])
async def test_an_id_token_under_any_other_algorithm_is_refused(issuer: Issuer, fetch: Fetch, algorithm: str) -> None:
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    _, claims, signature = issuer.id_token(attempt.nonce).split(".")
    forged = encoded({"alg": algorithm, "kid": "RS256"})
    for token in (f"{forged}.{claims}.{signature}", f"{forged}.{claims}."):
        issuer.tokens = {"id_token": token}
        issuer.granted[answer["code"]] = {"code_challenge": s256(attempt.verifier), "nonce": attempt.nonce}
        with pytest.raises(SignInRefused):
            await sign_in.party.finish(answer, attempt=attempt, now=NOW)


async def test_a_public_key_is_no_shared_secret(issuer: Issuer, fetch: Fetch) -> None:
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    _, claims, _ = issuer.id_token(attempt.nonce).split(".")
    unsigned = f"{encoded({'alg': 'HS256', 'kid': 'RS256'})}.{claims}"
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    issuer.tokens = {"id_token": f"{unsigned}.{encoded(hmac.digest(pem, unsigned.encode(), 'sha256'))}"}
    with pytest.raises(SignInRefused) as refusal:
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    assert refusal.value.reason == "a key that the issuer does not publish"


@pytest.mark.parametrize(
    ("header", "by_stranger"),
    [
        ({"jku": "http://127.0.0.1:9/keys"}, False),
        ({"jwk": {"kty": "oct"}}, False),
        ({"x5u": "http://127.0.0.1:9/x"}, False),
        ({"crit": ["x"]}, False),
        ({"kid": "unknown"}, False),
        ({"kid": "ES256"}, False),
        ({"typ": "at+jwt"}, False),
        ({"typ": "logout+jwt"}, False),
        ({}, True),
    ],
)
async def test_an_id_token_with_a_header_or_signature_that_is_not_the_issuers_is_refused(
    issuer: Issuer, fetch: Fetch, header: dict[str, Any], *, by_stranger: bool
) -> None:
    issuer.header = header
    issuer.signing_key = generate_private_key(public_exponent=65537, key_size=2048) if by_stranger else None
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    with pytest.raises(SignInRefused):
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)


async def test_groups_that_only_userinfo_tells_are_asked_for(issuer: Issuer, fetch: Fetch) -> None:
    issuer.claims |= {"groups": None, "email": None, "email_verified": None}
    issuer.userinfo |= {"groups": ["assistants"], "email": "ana@example.com", "email_verified": True}
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    person = await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    assert (person.role, person.email) == ("member", "ana@example.com")


async def test_userinfo_of_another_person_is_refused(issuer: Issuer, fetch: Fetch) -> None:
    issuer.claims["groups"] = None
    issuer.userinfo = {"sub": "subject-2", "groups": ["assistants"]}
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    with pytest.raises(SignInRefused) as refusal:
        await sign_in.party.finish(answer, attempt=attempt, now=NOW)
    assert refusal.value.reason == "another subject"


async def test_the_word_that_an_address_is_verified_is_not_carried_over_to_another(
    issuer: Issuer, fetch: Fetch
) -> None:
    issuer.claims |= {"email": "boss@example.com", "email_verified": None}
    issuer.userinfo |= {"email": "ana@example.com", "email_verified": True}
    sign_in = SignIn(issuer, fetch)
    attempt, answer = await sign_in.begun()
    assert (await sign_in.party.finish(answer, attempt=attempt, now=NOW)).email == "ana@example.com"
