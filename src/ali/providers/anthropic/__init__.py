"""Anthropic's wire: Messages and token counting."""

from ali.providers.anthropic import wire

__all__ = ["wire"]
