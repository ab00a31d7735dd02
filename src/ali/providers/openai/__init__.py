"""OpenAI's wire: Chat Completions, embeddings and moderations, as OpenAI and compatible servers speak it."""

from ali.providers.openai import wire

__all__ = ["wire"]
