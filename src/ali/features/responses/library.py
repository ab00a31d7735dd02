"""Responses that are kept, as people and routes look after them: found, listed, deleted."""

from uuid import UUID

from sqlalchemy import Select, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from ali.features.audit import Actor, record_deletion
from ali.features.conversations.lifecycle import Home
from ali.features.conversations.models import Conversation
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.features.responses.errors import ResponseNotFound
from ali.features.responses.models import StoredResponse


def visible_to(home: Home) -> Select[StoredResponse]:
    """The responses of a project."""
    return select(StoredResponse).where(
        StoredResponse.organization_id == home.organization_id, StoredResponse.project_id == home.project_id
    )


async def found(session: AsyncSession, response_id: UUID | None, *, home: Home) -> StoredResponse:
    """One response, as it stands now. Raises `ResponseNotFound`."""
    row = None
    if response_id is not None:
        one = visible_to(home).where(StoredResponse.id == response_id)
        row = await session.scalar(one, execution_options={"populate_existing": True})
    if row is None:
        raise ResponseNotFound(
            "Response not found in this project. It may have been deleted, or made with store: false."
        )
    return row


async def listed(session: AsyncSession, *, home: Home, place: Place) -> Page[StoredResponse]:
    """A page of a project's responses by when they were made, without what was said. One statement."""
    facts = load_only(
        *(StoredResponse.id, StoredResponse.created_at, StoredResponse.status, StoredResponse.background),
        raiseload=True,
    )
    return await page_of(session, visible_to(home).options(facts), key=StoredResponse.id, place=place)


async def remove(session: AsyncSession, response_id: UUID | None, *, home: Home, actor: Actor) -> None:
    """Delete a response with what it was asked and what came out; one that runs is stopped. Audited.

    Raises `ResponseNotFound`.
    """
    row = await found(session, response_id, home=home)
    await session.execute(delete(StoredResponse).where(StoredResponse.id == row.id))
    if row.background and row.conversation_id is not None:  # nobody may be running it who would end its claim
        await session.execute(
            update(Conversation)
            .where(Conversation.id == row.conversation_id, Conversation.claimed_by == row.id)
            .values(claimed_by=None, claim_instance_id=None, claimed_at=None)
        )
    tenant = {"organization_id": home.organization_id, "project_id": home.project_id}
    await record_deletion(session, "response", named(Kind.RESPONSE, row.id), **tenant, actor=actor)
