"""What is said in one dialect, said in the other: requests, whole answers and streams, Chat Completions ⇄ Messages.

Pure: no I/O and no clock. What cannot be said raises `InvalidRequest` (the caller's) or `UpstreamMalformed` (the
provider's); what is left out is named. The rules stand in `docs/reference/dialects.md`.
"""

from ali.providers.anthropic.usage import usage_from_message
from ali.providers.openai.usage import usage_from_completion
from ali.providers.translate.answers import completion_from_message, message_from_completion
from ali.providers.translate.chat_request import messages_to_chat
from ali.providers.translate.chat_stream import ChatFromMessages
from ali.providers.translate.messages_request import anthropic_version_for, chat_to_messages
from ali.providers.translate.messages_stream import MessagesFromChat

__all__ = [
    "ChatFromMessages",
    "MessagesFromChat",
    "anthropic_version_for",
    "chat_to_messages",
    "completion_from_message",
    "message_from_completion",
    "messages_to_chat",
    "usage_from_completion",
    "usage_from_message",
]
