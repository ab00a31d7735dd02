"""Vector stores: what they are made of, and which chores they have."""

from fastapi import FastAPI

from ali.features.knowledge.activity import Activity
from ali.features.knowledge.content import Contents
from ali.features.knowledge.state import Knowledge
from ali.kernel.db import Pool
from ali.kernel.settings import Settings


def assemble_knowledge(api: FastAPI, settings: Settings, *, pool: Pool) -> None:
    """Build what vector stores need, and start their chores where `ALI_BACKGROUND` says that they run here."""
    api.state.knowledge = Knowledge(
        contents=Contents(pool), activity=Activity(pool), most_files=settings.max_store_files
    )
