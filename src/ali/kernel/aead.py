"""Authenticated encryption of what lies at rest: AES-256-GCM under keys derived from the installation's secret.

What is encrypted is a version byte, a random nonce of 96 bits, and the ciphertext with its tag. OpenSSL's bindings are
imported when something is encrypted for the first time: they take 7 MB and 15 ms, which many processes never need.
"""

import hmac
import os
from typing import Final

VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


class Undecipherable(ValueError):
    """Not what was encrypted: another key, another thing's name, or other bytes."""


def derived_key(secret: bytes, *, info: bytes) -> bytes:
    """32 bytes for one purpose: HKDF-SHA256 (RFC 5869) without salt, whose one block these are."""
    pseudorandom = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(pseudorandom, info + b"\x01", "sha256")


def encrypt(plaintext: bytes, *, key: bytes, name: bytes) -> bytes:
    """`plaintext` for storing under `name`, which is authenticated with it. About 5 µs and 1 ns a byte."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see the module's text

    nonce = os.urandom(_NONCE_BYTES)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext, name)


def decrypt(stored: bytes, *, key: bytes, name: bytes) -> bytes:
    """What `encrypt` was given. Raises `Undecipherable`."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see the module's text
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above

    nonce, ciphertext = stored[1 : 1 + _NONCE_BYTES], stored[1 + _NONCE_BYTES :]
    if stored[:1] != VERSION or len(ciphertext) < _TAG_BYTES:
        raise Undecipherable
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, name)
    except InvalidTag as error:
        raise Undecipherable from error
