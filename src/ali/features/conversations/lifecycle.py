"""Making, changing, deleting and reading conversations. The caller's transaction."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ali.features.audit import Actor, record_deletion
from ali.features.conversations.errors import conversation_not_found
from ali.features.conversations.models import Conversation, ConversationItem
from ali.features.identity.naming import Kind, named
from ali.features.identity.paging import Page, Place, page_of
from ali.kernel.ids import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The project whose conversations are meant."""

    organization_id: UUID
    project_id: UUID


async def create(session: AsyncSession, *, home: Home, metadata: dict[str, str]) -> Conversation:
    """A new conversation, without items. One statement."""
    conversation = Conversation(
        id=uuid7(), organization_id=home.organization_id, project_id=home.project_id, tags=metadata
    )
    session.add(conversation)
    await session.flush()
    await session.refresh(conversation, ["created_at"])
    return conversation


async def found(session: AsyncSession, conversation_id: UUID | None, *, home: Home) -> Conversation:
    """One conversation. One statement. Raises `ConversationNotFound`; None is an identifier of nothing."""
    return _there(await session.scalar(_one(conversation_id, home)))


async def describe(
    session: AsyncSession, conversation_id: UUID | None, *, home: Home, metadata: dict[str, str]
) -> Conversation:
    """Put `metadata` in place of what a conversation has. Raises `ConversationNotFound`."""
    conversation = _there(await session.scalar(_one(conversation_id, home).with_for_update()))
    conversation.tags = metadata
    await session.flush()
    return conversation


async def remove(session: AsyncSession, conversation_id: UUID | None, *, home: Home, actor: Actor) -> None:
    """Delete a conversation with its items, and record it. Responses that were made in it stay.

    Raises `ConversationNotFound`.
    """
    conversation = _there(await session.scalar(_one(conversation_id, home).with_for_update()))
    await session.execute(delete(Conversation).where(Conversation.id == conversation.id))
    tenant = {"organization_id": home.organization_id, "project_id": home.project_id}
    await record_deletion(session, "conversation", named(Kind.CONVERSATION, conversation.id), **tenant, actor=actor)


async def listed(session: AsyncSession, *, home: Home, place: Place) -> Page[Conversation]:
    """A page of a project's conversations, by when they were made. One statement."""
    return await page_of(session, _within(home), key=Conversation.id, place=place)


async def count_items(session: AsyncSession, conversation: Conversation) -> int:
    """How many items it has. One statement, whose cost grows with them."""
    counted = select(func.count()).select_from(ConversationItem)
    return await session.scalar(counted.where(ConversationItem.conversation_id == conversation.id)) or 0


def _within(home: Home) -> Select[Conversation]:
    return select(Conversation).where(
        Conversation.organization_id == home.organization_id, Conversation.project_id == home.project_id
    )


def _one(conversation_id: UUID | None, home: Home) -> Select[Conversation]:
    return _within(home).where(Conversation.id == conversation_id)


def _there(conversation: Conversation | None) -> Conversation:
    if conversation is None:
        raise conversation_not_found()
    return conversation
