"""The statements that recognise, list and change API keys."""

from typing import Final
from uuid import UUID

from sqlalchemy import Select, select

from ali.features.keys.models import ApiKey

RECOGNISE: Final = "select * from ali.recognise_key(%s, %s)"
"""One row always: the key that has this digest, or NULLs; and the epoch at which that was true."""

EPOCH: Final = "select value from ali.access_epoch"

MARK_USED: Final = "select ali.mark_keys_used(%s)"

ADVANCE_EPOCH: Final = "select ali.advance_access_epoch()"


def keys_of(project_id: UUID) -> Select[ApiKey]:
    """All keys of a project, newest first."""
    return select(ApiKey).where(ApiKey.project_id == project_id).order_by(ApiKey.created_at.desc(), ApiKey.id.desc())
