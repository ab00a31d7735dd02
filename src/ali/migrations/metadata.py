"""All tables of the product in one place, which knows every slice that has some."""

from sqlalchemy import MetaData

from ali.features.audit import models as audit
from ali.features.batches import models as batches
from ali.features.chat.stored import models as stored
from ali.features.conversations import models as conversations
from ali.features.files import models as files
from ali.features.idempotency import models as idempotency
from ali.features.identity import models as identity
from ali.features.keys import models as keys
from ali.features.knowledge import models as knowledge
from ali.features.knowledge.embedding import models as embedding
from ali.features.metering import models as metering
from ali.features.metering.budgets import models as budgets
from ali.features.responses import models as responses
from ali.kernel.db import Base

MODULES = (
    audit,
    batches,
    budgets,
    conversations,
    embedding,
    files,
    idempotency,
    identity,
    keys,
    knowledge,
    metering,
    responses,
    stored,
)
"""Imported for their tables; a test walks the slices and fails where one is missing here."""


def metadata() -> MetaData:
    """The metadata with every slice's tables registered."""
    return Base.metadata
