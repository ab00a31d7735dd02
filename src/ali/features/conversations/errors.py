"""What can be wrong with a conversation that is asked for.

NotFound
├── ConversationNotFound  404
└── ItemNotFound          404
ConversationLocked        409  a response runs in it
"""

from typing import ClassVar

from ali.kernel.errors import Conflict, NotFound


class ConversationNotFound(NotFound):
    """404: no such conversation in this project."""

    code = "conversation_not_found"


class ItemNotFound(NotFound):
    """404: no such item in the conversation."""

    code = "conversation_item_not_found"


class ConversationLocked(Conflict):
    """409: a response is running in the conversation. Callers' SDKs try again by themselves."""

    code = "conversation_locked"
    retry_after_s: ClassVar[float] = 1.0


def conversation_not_found(param: str | None = None) -> ConversationNotFound:
    """There is no such conversation, or it is another project's; the two have one answer, which repeats no id."""
    return ConversationNotFound(
        "Conversation not found in this project. Send the id of one that POST /v1/conversations answered here.",
        param=param,
    )


def conversation_locked(param: str | None = None) -> ConversationLocked:
    """The items of two never mix: whoever comes second waits."""
    return ConversationLocked(
        "A response is running in this conversation. Try again when it has ended.",
        param=param,
        headers=(("retry-after-ms", "500"),),
    )
