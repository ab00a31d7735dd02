"""Ordinary routes beside the hot path: which models are served, and the chat completions that are kept."""

from ali.features.chat.http import completions, served_models

ROUTERS = (served_models.router, completions.router)
"""What the composition root includes."""
