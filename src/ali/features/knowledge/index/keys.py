"""The key of a project's index."""

import hmac
from uuid import UUID


def index_key(hmac_secret: bytes, *, project_id: UUID) -> bytes:
    """The key under which a project's terms are hashed: 32 bytes, from the installation's secret."""
    return hmac.digest(hmac_secret, b"search-index:" + project_id.bytes, "sha256")
