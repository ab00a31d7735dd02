"""Signing keys are named by their thumbprint, published for as long as needed, and useless to who reads the disk."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt import PyJWKSet

from ali.features.identity.sealing import SealBroken, seal, unseal
from ali.features.identity.signing_keys import (
    OVERLAP,
    KeySet,
    NoSigningKey,
    new_signing_key,
    signing_key,
    unwrap,
    wrap,
)

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET: Final = b"the installation's"
MINUTE: Final = timedelta(minutes=1)


def test_a_key_is_named_by_its_thumbprint_as_in_rfc_8037() -> None:
    """Appendix A.1 and A.3."""
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = signing_key(Ed25519PrivateKey.from_private_bytes(private), created_at=NOW)
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    (jwk,) = KeySet((key,)).jwks(now=NOW)["keys"]
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_the_published_document_is_read_by_others_and_holds_no_private_half() -> None:
    keys = KeySet((new_signing_key(now=NOW), signing_key(generate_private_key(SECP256R1()), created_at=NOW)))
    document = keys.jwks(now=NOW)
    assert {jwk.key_id for jwk in PyJWKSet.from_dict(document).keys} == {key.kid for key in keys.keys}
    for jwk in document["keys"]:
        assert set(jwk) <= {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_another_curve_than_p256_is_refused() -> None:
    with pytest.raises(ValueError, match="P-256"):
        signing_key(generate_private_key(SECP384R1()), created_at=NOW)


def test_the_youngest_key_signs_and_the_older_ones_stay_published_for_the_overlap() -> None:
    first, second = new_signing_key(now=NOW), new_signing_key(now=NOW + MINUTE)
    keys = KeySet((first,)).rotated(second, now=NOW + MINUTE)
    assert keys.active(now=NOW + MINUTE).kid == second.kid
    within, after = NOW + MINUTE + OVERLAP - timedelta(seconds=1), NOW + MINUTE + OVERLAP
    assert [jwk["kid"] for jwk in keys.jwks(now=within)["keys"]] == [second.kid, first.kid]
    assert [jwk["kid"] for jwk in keys.jwks(now=after)["keys"]] == [second.kid]
    assert keys.find(first.kid, now=within) is not None
    assert keys.find(first.kid, now=after) is None
    third = new_signing_key(now=after)
    assert [key.kid for key in keys.rotated(third, now=after).keys] == [second.kid, third.kid]


def test_rotating_twice_does_not_prolong_the_first_key() -> None:
    first, second, third = (new_signing_key(now=NOW) for _ in range(3))
    keys = KeySet((first,)).rotated(second, now=NOW).rotated(third, now=NOW + 10 * MINUTE)
    assert keys.find(first.kid, now=NOW + OVERLAP) is None
    assert keys.find(second.kid, now=NOW + OVERLAP) is not None


def test_without_a_key_in_force_nothing_is_signed() -> None:
    with pytest.raises(NoSigningKey):
        KeySet(()).active(now=NOW)
    with pytest.raises(NoSigningKey):
        KeySet((signing_key(Ed25519PrivateKey.generate(), created_at=NOW, retired_at=NOW),)).active(now=NOW)


def test_a_wrapped_key_opens_again_and_only_under_its_own_name_and_secret() -> None:
    key = new_signing_key(now=NOW)
    wrapped = wrap(key, secret=SECRET)
    opened = unwrap(wrapped, kid=key.kid, secret=SECRET, created_at=NOW)
    assert opened.private_key.public_key() == key.private_key.public_key()
    assert opened.kid == key.kid
    other = new_signing_key(now=NOW)
    for kid, secret in ((other.kid, SECRET), (key.kid, b"another"), (key.kid, b"")):
        with pytest.raises(SealBroken, match="ALI_API_KEY_HMAC_SECRET"):
            unwrap(wrapped, kid=kid, secret=secret, created_at=NOW)


def test_a_sealed_secret_shows_nothing_and_any_changed_byte_is_noticed() -> None:
    key = new_signing_key(now=NOW)
    wrapped = wrap(key, secret=SECRET)
    raw = key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert raw[-32:] not in wrapped
    assert wrap(key, secret=SECRET) != wrapped
    for place in range(len(wrapped)):
        changed = wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :]
        with pytest.raises(SealBroken):
            unwrap(changed, kid=key.kid, secret=SECRET, created_at=NOW)
        with pytest.raises(SealBroken):
            unwrap(wrapped[:place], kid=key.kid, secret=SECRET, created_at=NOW)


def test_what_is_sealed_for_one_purpose_opens_for_no_other() -> None:
    sealed = seal(b"x", secret=SECRET, purpose="authenticator secret", name="a")
    assert unseal(sealed, secret=SECRET, purpose="authenticator secret", name="a") == b"x"
    with pytest.raises(SealBroken):
        unseal(sealed, secret=SECRET, purpose="signing key", name="a")


def test_a_keys_text_form_holds_no_private_half() -> None:
    key = new_signing_key(now=NOW)
    assert "private_key" not in repr(key)
    assert key.kid in repr(KeySet((key,)))
    assert "d" not in json.loads(json.dumps(KeySet((key,)).jwks(now=NOW)))["keys"][0]
