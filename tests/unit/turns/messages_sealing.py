"""A relay for tests, whose seals can be read."""

from typing import Any

import orjson

from ali.providers.turns import OutputWriter
from ali.providers.turns.messages_turn import MessagesTurn

SEALED = "sealed:"


def seal(payload: dict[str, Any]) -> str:
    return SEALED + orjson.dumps(payload).decode()


def unseal(sealed: str) -> dict[str, Any] | None:
    if not sealed.startswith(SEALED):
        return None
    opened: dict[str, Any] = orjson.loads(sealed.removeprefix(SEALED))
    return opened


def turn(*custom: str) -> MessagesTurn:
    return MessagesTurn(OutputWriter(), provider="anthropic", seal=seal, custom_tools=frozenset(custom))
