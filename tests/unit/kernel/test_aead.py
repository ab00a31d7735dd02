"""Encryption at rest: opened under the same key and name, and by nothing else."""

import hypothesis
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import strategies as st

from ali.kernel.aead import Undecipherable, decrypt, derived_key, encrypt

KEY = derived_key(b"secret", info=b"test")


@hypothesis.given(secret=st.binary(max_size=100), info=st.binary(max_size=100))
def test_derived_keys_are_those_of_rfc_5869(secret: bytes, info: bytes) -> None:
    assert derived_key(secret, info=info) == HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


@hypothesis.given(plaintext=st.binary(max_size=1000), name=st.binary(max_size=50))
def test_what_was_encrypted_is_read_back_and_looks_different_each_time(plaintext: bytes, name: bytes) -> None:
    stored = encrypt(plaintext, key=KEY, name=name)
    assert decrypt(stored, key=KEY, name=name) == plaintext
    assert encrypt(plaintext, key=KEY, name=name) != stored


@hypothesis.given(data=st.data())
def test_a_changed_byte_is_noticed_wherever_it_is(data: st.DataObject) -> None:
    stored = bytearray(encrypt(b"what somebody wrote", key=KEY, name=b"row 1"))
    position = data.draw(st.integers(0, len(stored) - 1))
    stored[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Undecipherable):
        decrypt(bytes(stored), key=KEY, name=b"row 1")


@pytest.mark.parametrize(
    ("stored", "key", "name"),
    [
        (encrypt(b"x", key=KEY, name=b"row 1"), KEY, b"row 2"),
        (encrypt(b"x", key=KEY, name=b"row 1"), derived_key(b"secret", info=b"other"), b"row 1"),
        (encrypt(b"x", key=KEY, name=b"row 1"), derived_key(b"other", info=b"test"), b"row 1"),
        (encrypt(b"x", key=KEY, name=b"row 1")[:-1], KEY, b"row 1"),
        (b"", KEY, b"row 1"),
        (b"\x01" + bytes(12), KEY, b"row 1"),
    ],
    ids=["name", "purpose", "secret", "cut", "empty", "no tag"],
)
def test_another_row_key_or_length_opens_nothing(stored: bytes, key: bytes, name: bytes) -> None:
    with pytest.raises(Undecipherable):
        decrypt(stored, key=key, name=name)
