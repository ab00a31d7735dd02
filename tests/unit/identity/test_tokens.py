"""No token is believed but those that were issued here, for here, and just now."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from ali.features.identity.signing_keys import OVERLAP, KeySet, new_signing_key, signing_key
from ali.features.identity.tokens import (
    LARGEST_BYTES,
    LEEWAY,
    LIFETIME,
    AccessTokenExpired,
    AccessTokenRefused,
    TokenVerifier,
    issue,
)
from tests.unit.identity.hostile_tokens import hostile_tokens, signed

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
ISSUER: Final = "https://ali.example"
AUDIENCE: Final = "ali"
USER, SESSION, ORGANIZATION = UUID(int=1), UUID(int=2), UUID(int=3)
KEY: Final = new_signing_key(now=NOW)
P256: Final = signing_key(generate_private_key(SECP256R1()), created_at=NOW - timedelta(days=1))
STRANGER: Final = new_signing_key(now=NOW)
KEYS: Final = KeySet((P256, KEY))


def verifier(
    keys: KeySet = KEYS, *, issuer: str = ISSUER, audience: str = AUDIENCE, capacity: int = 100
) -> TokenVerifier:
    return TokenVerifier(keys, issuer=issuer, audience=audience, capacity=capacity)


def issued(keys: KeySet = KEYS, *, now: datetime = NOW) -> str:
    return issue(
        keys,
        issuer=ISSUER,
        audience=AUDIENCE,
        user_id=USER,
        session_id=SESSION,
        organization_id=ORGANIZATION,
        role="member",
        now=now,
    )


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims)


HOSTILE: Final = list(hostile_tokens(*parts(issued()), key=KEY, other=STRANGER, p256=P256))


def test_an_issued_token_says_who_is_signed_in() -> None:
    claims = verifier().verified(issued(), now=NOW)
    assert (claims.user_id, claims.session_id, claims.organization_id) == (USER, SESSION, ORGANIZATION)
    assert (claims.role, claims.issued_at, claims.expires_at) == ("member", NOW, NOW + LIFETIME)


def test_an_issued_token_is_an_access_token_by_rfc_9068() -> None:
    header, claims = parts(issued())
    assert header == {"typ": "at+jwt", "alg": "EdDSA", "kid": KEY.kid}
    assert set(claims) == {"iss", "aud", "sub", "sid", "org", "role", "jti", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 600
    assert parts(issued())[1]["jti"] != claims["jti"]


def test_a_key_on_p256_signs_as_well() -> None:
    only = KeySet((P256,))
    token = issued(only)
    assert parts(token)[0]["alg"] == "ES256"
    assert verifier().verified(token, now=NOW).user_id == USER


def test_none_of_the_hostile_tokens_is_accepted() -> None:
    accepted, reasons = [], set()
    for name, token in HOSTILE:
        fresh = verifier()
        for attempt in ("first", "second"):  # what was refused must not be remembered as good
            try:
                fresh.verified(token, now=NOW)
            except AccessTokenRefused as refusal:
                reasons.add(refusal.reason)
            except AccessTokenExpired:
                reasons.add("expired")
            else:
                accepted.append((name, attempt))
    assert accepted == []
    assert len({name for name, _ in HOSTILE}) == len(HOSTILE) == 274
    assert len(reasons) == 22  # each check refuses something that all others let pass


@pytest.mark.parametrize("name", ["header", "claims"])
def test_the_suite_of_hostile_tokens_starts_from_a_good_one(name: str) -> None:
    """Or all of them would be refused for one and the same reason."""
    header, claims = parts(issued())
    extra = {"header": ({**header, "x5t": "ignored"}, claims), "claims": (header, {**claims, "new": [1]})}[name]
    assert verifier().verified(signed(*extra, key=KEY), now=NOW).user_id == USER


@given(data=st.data())
def test_no_mutation_of_a_valid_token_is_accepted(data: st.DataObject) -> None:
    token = list(issued())
    place = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "swap", "cut"]))
    character = data.draw(st.one_of(st.sampled_from("ABCwxyz019-_.="), st.characters()))
    mutated = {
        "replace": [*token[:place], character, *token[place + 1 :]],
        "insert": [*token[:place], character, *token[place:]],
        "delete": token[:place] + token[place + 1 :],
        "swap": token[:place] + token[place : place + 2][::-1] + token[place + 2 :],
        "cut": token[:place],
    }[kind]
    if mutated != token:
        with pytest.raises(AccessTokenRefused):
            verifier().verified("".join(mutated), now=NOW)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_text_makes_the_verifier_fail_otherwise_than_by_refusing(text: str) -> None:
    with pytest.raises(AccessTokenRefused):
        verifier().verified(text, now=NOW)


def test_a_token_runs_out_after_ten_minutes_also_where_it_was_verified_before() -> None:
    checking, token = verifier(), issued()
    last = NOW + LIFETIME + LEEWAY
    for _ in range(2):
        assert checking.verified(token, now=last - timedelta(seconds=1)).user_id == USER
    with pytest.raises(AccessTokenExpired):
        checking.verified(token, now=last)
    with pytest.raises(AccessTokenExpired):
        verifier().verified(token, now=last)


def test_clocks_may_be_five_seconds_apart_and_no_more() -> None:
    assert verifier().verified(issued(now=NOW + LEEWAY), now=NOW).user_id == USER
    with pytest.raises(AccessTokenRefused) as refusal:
        verifier().verified(issued(now=NOW + LEEWAY + timedelta(seconds=1)), now=NOW)
    assert refusal.value.reason == "not valid yet"


def test_a_token_for_another_audience_or_of_another_issuer_is_refused() -> None:
    for elsewhere in (verifier(audience="other"), verifier(issuer="https://other.example")):
        with pytest.raises(AccessTokenRefused):
            elsewhere.verified(issued(), now=NOW)


def test_a_token_outlives_the_rotation_of_its_key_and_the_key_outlives_the_token() -> None:
    token = issued()
    rotated = KEYS.rotated(STRANGER, now=NOW)
    checking = verifier()
    checking.verified(token, now=NOW)
    checking.use_keys(rotated)
    assert checking.verified(token, now=NOW + LIFETIME).user_id == USER
    assert OVERLAP >= LIFETIME + LEEWAY
    with pytest.raises(AccessTokenRefused, match="not valid here") as refusal:
        verifier(rotated).verified(token, now=NOW + OVERLAP)
    assert refusal.value.reason == "unknown key"


def test_a_key_that_is_taken_out_takes_its_verified_tokens_with_it() -> None:
    checking, token = verifier(), issued()
    checking.verified(token, now=NOW)
    checking.use_keys(KeySet((P256,)))
    with pytest.raises(AccessTokenRefused):
        checking.verified(token, now=NOW)


def test_the_memory_of_verified_tokens_is_bounded() -> None:
    checking = verifier(capacity=2)
    tokens = [issued() for _ in range(3)]
    for token in tokens:
        checking.verified(token, now=NOW)
    assert len(checking._verified) == 2
    checking.forget()
    assert not checking._verified
    assert checking.verified(tokens[0], now=NOW).user_id == USER


def test_a_refusal_says_nothing_of_the_token_or_the_reason_to_the_caller() -> None:
    messages = set()
    for _, token in HOSTILE[:40]:
        with pytest.raises(AccessTokenRefused) as refusal:
            verifier().verified(token, now=NOW)
        messages.add(refusal.value.message)
    assert len(messages) == 1


def test_the_largest_token_is_far_above_what_is_issued() -> None:
    assert len(issued()) * 4 < LARGEST_BYTES
    assert len(str(uuid4())) == 36
