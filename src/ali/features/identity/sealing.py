"""Secrets of our own at rest: AES-256-GCM under a key derived from the installation's secret.

The derived key is HKDF-SHA256 (RFC 5869) with an info label of its own for each purpose, so that what was sealed for
one purpose opens for no other; the thing's name is associated data, so that a row cannot be passed off as another one.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ali.kernel.errors import Unavailable

_VERSION = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealBroken(Unavailable):
    """503: a stored secret does not open: the installation's secret was changed, or the row was."""

    code = "stored_secret_unreadable"


def seal(plaintext: bytes, *, secret: bytes, purpose: str, name: str) -> bytes:
    """`plaintext` encrypted for storing: a version byte, the nonce, the ciphertext with its tag. Costs about 10 µs.

    `secret` is the installation's; `purpose` says what kind of thing it is, `name` which one.
    """
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + _cipher(secret, purpose).encrypt(nonce, plaintext, _VERSION + name.encode())


def unseal(sealed: bytes, *, secret: bytes, purpose: str, name: str) -> bytes:
    """What `seal` was given. Raises `SealBroken`."""
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    if sealed[:1] != _VERSION or len(ciphertext) < _TAG_BYTES:
        raise SealBroken(_unreadable(purpose))
    try:
        return _cipher(secret, purpose).decrypt(nonce, ciphertext, _VERSION + name.encode())
    except InvalidTag as error:
        raise SealBroken(_unreadable(purpose)) from error


def _cipher(secret: bytes, purpose: str) -> AESGCM:
    info = b"ali identity v1: " + purpose.encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret))


def _unreadable(purpose: str) -> str:
    return (
        f"The stored {purpose} cannot be read. ALI_API_KEY_HMAC_SECRET must be the one under which it was stored: "
        "an operator has to set that one again."
    )
