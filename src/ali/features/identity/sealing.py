"""Secrets of our own at rest: AES-256-GCM under a key derived from the installation's secret.

The derived key is HKDF-SHA256 (RFC 5869) with an info label of its own for each purpose, so that what was sealed for
one purpose opens for no other; the thing's name is associated data, so that a row cannot be passed off as another one.
"""

from ali.kernel.aead import Undecipherable, decrypt, derived_key, encrypt
from ali.kernel.errors import Unavailable

_VERSION = b"\x01"


class SealBroken(Unavailable):
    """503: a stored secret does not open: the installation's secret was changed, or the row was."""

    code = "stored_secret_unreadable"


def seal(plaintext: bytes, *, secret: bytes, purpose: str, name: str) -> bytes:
    """`plaintext` encrypted for storing: a version byte, the nonce, the ciphertext with its tag. Costs about 10 µs.

    `secret` is the installation's; `purpose` says what kind of thing it is, `name` which one.
    """
    return encrypt(plaintext, key=_key(secret, purpose), name=_VERSION + name.encode())


def unseal(sealed: bytes, *, secret: bytes, purpose: str, name: str) -> bytes:
    """What `seal` was given. Raises `SealBroken`."""
    try:
        return decrypt(sealed, key=_key(secret, purpose), name=_VERSION + name.encode())
    except Undecipherable as error:
        raise SealBroken(_unreadable(purpose)) from error


def _key(secret: bytes, purpose: str) -> bytes:
    return derived_key(secret, info=b"ali identity v1: " + purpose.encode())


def _unreadable(purpose: str) -> str:
    return (
        f"The stored {purpose} cannot be read. ALI_API_KEY_HMAC_SECRET must be the one under which it was stored: "
        "an operator has to set that one again."
    )
