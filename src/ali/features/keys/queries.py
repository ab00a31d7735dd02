"""The statements that recognise, list and change API keys."""

from typing import Final
from uuid import UUID

from sqlalchemy import Select, select

from ali.features.keys.models import ApiKey

RECOGNISE: Final = """
select k.id, k.organization_id, k.project_id, k.role, k.expires_at, e.value
from ali.key_epoch e left join ali.api_key k on k.digest = %s and k.revoked_at is null
"""
"""One row always: the key that has this digest, or NULLs; and the epoch at which that was true."""

EPOCH: Final = "select value from ali.key_epoch"

ADVANCE_EPOCH: Final = "update ali.key_epoch set value = value + 1"


def keys_of(project_id: UUID) -> Select[ApiKey]:
    """All keys of a project, newest first."""
    return select(ApiKey).where(ApiKey.project_id == project_id).order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
