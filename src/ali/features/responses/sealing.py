"""What only the model that made it may read, sealed for callers to carry: `encrypted_content`.

A seal names its project and model as associated data, so that nobody makes or changes one, and none is opened for
another tenant or another model: thinking never reaches a model that did not think it.
AES-256-GCM with a random 96-bit nonce; the key is derived from the installation's secret (HKDF-SHA256, RFC 5869).
"""

import base64
import binascii
import os
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Seal = Callable[[dict[str, Any]], str]
Unseal = Callable[[str], dict[str, Any] | None]

SEALED: Final = "ali1."
"""How our seals begin, and no provider's."""
_NONCE_BYTES: Final = 12


class Seals:
    """Makes and opens seals. One a process; `secret` is the installation's."""

    def __init__(self, secret: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ali responses encrypted_content").derive(secret)
        self._cipher = AESGCM(key)

    def sealing(self, *, project_id: UUID, model: str) -> Seal:
        """What seals for one project and one model, named as `provider/model`."""
        bound = _bound(project_id, model)

        def seal(payload: dict[str, Any]) -> str:
            nonce = os.urandom(_NONCE_BYTES)
            sealed = nonce + self._cipher.encrypt(nonce, orjson.dumps(payload), bound)
            return SEALED + base64.urlsafe_b64encode(sealed).decode()

        return seal

    def unsealing(self, *, project_id: UUID, model: str) -> Unseal:
        """What opens the seals of one project and one model; None for any other text."""
        bound = _bound(project_id, model)

        def unseal(text: str) -> dict[str, Any] | None:
            if not text.startswith(SEALED):
                return None
            try:
                sealed = base64.urlsafe_b64decode(text[len(SEALED) :])
                opened = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
            except (binascii.Error, ValueError, InvalidTag):
                return None
            payload: dict[str, Any] = orjson.loads(opened)
            return payload

        return unseal

    def close(self, data: bytes, *, of: UUID) -> bytes:
        """`data` sealed for this installation's own processes, bound to the thing `of`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, of.bytes)

    def open(self, sealed: bytes, *, of: UUID) -> bytes:
        """What `close` sealed. Raises `InvalidTag` for anything else."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.bytes)


def _bound(project_id: UUID, model: str) -> bytes:
    return project_id.bytes + model.encode()
