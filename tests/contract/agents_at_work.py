"""Agents of OpenAI's Agents SDK that talk to this service, and to nobody else."""

from typing import Any, Final

import openai
import pytest
from agents import Agent, OpenAIResponsesModel, RunConfig

from tests.contract.judges import CLAUDE, GPT

EVERY_MODEL: Final = pytest.mark.parametrize("model", [GPT, CLAUDE])
UNTRACED: Final = RunConfig(tracing_disabled=True)
"""The SDK would send its traces to OpenAI."""


def agent(client: openai.AsyncOpenAI, model: str, **options: Any) -> Agent[Any]:  # noqa: ANN401 - the SDK's own options
    """An agent that talks to the service."""
    return Agent(
        **{
            "name": "assistant",
            "instructions": "Help.",
            "model": OpenAIResponsesModel(model=model, openai_client=client),
            **options,
        }
    )
