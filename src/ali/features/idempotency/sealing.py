"""How a kept request looks in the database: digests and ciphertext alone. Pure, but for the nonce.

Nothing here can be opened by who has the database: the installation's secret lies outside it, and the idempotency key,
of which every other key is derived, is never written down. The digest of the API key was rejected as a further
ingredient: it lies in the same database, and a person's access token changes between a request and its repetition.

Keys: HKDF-SHA-256 (RFC 5869). Cipher: AES-256-GCM with a random nonce of 96 bits; a key serves one request, or a few
where executions failed before.
"""

import hmac
from dataclasses import dataclass
from uuid import UUID

import orjson

from ali.features.idempotency.request import Asked
from ali.kernel.aead import Undecipherable, decrypt, derived_key, encrypt

RawHeaders = list[tuple[bytes, bytes]]


class AnswerUnreadable(Exception):
    """The kept bytes are not what this installation sealed for this request: another secret, or another row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response as the caller got it; a stream's chunks as one."""

    status: int
    headers: RawHeaders
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which row is meant, and what was asked under it."""

    organization_id: UUID
    subject_id: UUID
    """The API key or person who asks."""
    key_digest: bytes
    fingerprint: bytes

    @property
    def row(self) -> tuple[UUID, UUID, bytes]:
        """The primary key."""
        return self.organization_id, self.subject_id, self.key_digest


class Sealer:
    """Derives and seals under the installation's `secret`. A request costs three HMACs, and its answer one pass."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._lookup = derived_key(secret, info=b"ali idempotency: look-up")

    def identity(self, asked: Asked, *, organization_id: UUID, subject_id: UUID) -> Identity:
        """The row of a request. Both digests depend on who asks: nobody sees that two sent equal keys or bodies."""
        scope = organization_id.bytes + subject_id.bytes
        key_digest = hmac.digest(self._lookup, b"key" + scope + asked.key, "sha256")
        fingerprint = hmac.new(self._lookup, b"request" + key_digest, "sha256")
        for part in asked.parts:
            fingerprint.update(len(part).to_bytes(8, "big"))
            fingerprint.update(part)
        return Identity(
            organization_id=organization_id,
            subject_id=subject_id,
            key_digest=key_digest,
            fingerprint=fingerprint.digest(),
        )

    def seal(self, answer: Answer, *, identity: Identity, key: bytes) -> bytes:
        """`answer` as the row keeps it; the row's identity and the status are authenticated with it."""
        headers = orjson.dumps(
            [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.headers],
        )
        plain = b"".join([len(headers).to_bytes(4, "big"), headers, answer.body])
        return encrypt(plain, key=self._answer_key(key), name=_bound_to(identity, answer.status))

    def open(self, sealed: bytes, *, status: int, identity: Identity, key: bytes) -> Answer:
        """The answer that `seal` was given. Raises `AnswerUnreadable`."""
        try:
            plain = decrypt(sealed, key=self._answer_key(key), name=_bound_to(identity, status))
        except Undecipherable as error:
            raise AnswerUnreadable from error
        end = 4 + int.from_bytes(plain[:4], "big")
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(plain[4:end])]
        return Answer(status=status, headers=headers, body=plain[end:])

    def _answer_key(self, key: bytes) -> bytes:
        return derived_key(self._secret, info=b"ali idempotency: answer\0" + key)


def _bound_to(identity: Identity, status: int) -> bytes:
    """The associated data; each part but the last has a fixed length."""
    scope = identity.organization_id.bytes + identity.subject_id.bytes
    return scope + identity.key_digest + identity.fingerprint + str(status).encode()
