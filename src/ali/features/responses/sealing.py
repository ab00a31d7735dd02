"""What only the model that made it may read, sealed for callers to carry: `encrypted_content`.

A seal names its project and model as associated data, so that nobody makes or changes one, and none is opened for
another tenant or another model: thinking never reaches a model that did not think it. The cipher is `ali.kernel.aead`.
"""

import base64
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import orjson

from ali.kernel.aead import decrypt, derived_key, encrypt

Seal = Callable[[dict[str, Any]], str]
Unseal = Callable[[str], dict[str, Any] | None]

SEALED: Final = "ali1."
"""How our seals begin, and no provider's."""


class Seals:
    """Makes and opens seals. One a process; `secret` is the installation's."""

    def __init__(self, secret: bytes) -> None:
        self._key = derived_key(secret, info=b"ali responses encrypted_content")

    def sealing(self, *, project_id: UUID, model: str) -> Seal:
        """What seals for one project and one model, named as `provider/model`."""
        bound = _bound(project_id, model)

        def seal(payload: dict[str, Any]) -> str:
            sealed = encrypt(orjson.dumps(payload), key=self._key, name=bound)
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
                opened = decrypt(sealed, key=self._key, name=bound)
            except ValueError:  # no base64, or `Undecipherable`
                return None
            payload: dict[str, Any] = orjson.loads(opened)
            return payload

        return unseal

    def close(self, data: bytes, *, of: UUID) -> bytes:
        """`data` sealed for this installation's own processes, bound to the thing `of`."""
        return encrypt(data, key=self._key, name=of.bytes)

    def open(self, sealed: bytes, *, of: UUID) -> bytes:
        """What `close` sealed. Raises `Undecipherable` for anything else."""
        return decrypt(sealed, key=self._key, name=of.bytes)


def _bound(project_id: UUID, model: str) -> bytes:
    return project_id.bytes + model.encode()
