"""The models that are known: who serves them, what they can do, how much they take, what they cost.

The data stand in `catalog.toml` beside this module, with the page that each entry was read from and the day. A model's
abilities are data, never an `isinstance` or a test of its name: what a translation may send depends on `capabilities`.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from ali.providers.contract import Usage

OPERATIONS = frozenset({"chat", "embeddings", "moderations"})
"""`chat` is Chat Completions and Messages both: one is translated to the other where the provider lacks it."""

CAPABILITIES: Mapping[str, str] = {
    "vision": "takes images",
    "pdf": "takes PDF documents",
    "tools": "calls tools",
    "parallel_tools": "several tool calls in one answer",
    "tools_with_reasoning": "calls tools and thinks in one request; without it, tools want `reasoning_effort` `none`",
    "forced_tools": "may be told to call a tool (`required`, `any`, a named one)",
    "structured_outputs": "answers in a given JSON schema",
    "streaming": "answers token by token",
    "citations": "cites the documents in the request",
    "reasoning": "can think before it answers",
    "reasoning_default": "thinks unless told not to",
    "reasoning_always": "thinks, and cannot be told not to",
    "thinking_adaptive": "takes Anthropic's `thinking` of type `adaptive`",
    "thinking_budget": "takes Anthropic's `thinking` of type `enabled` with `budget_tokens`",
    "thinking_disabled": "takes Anthropic's `thinking` of type `disabled`",
    "thinking_between_tools": "takes Anthropic's `thinking` of type `between_tools`, its least",
    "prefill": "continues a last message in the assistant's name",
    "sampling_parameters": "takes `temperature`, `top_p` and their like",
}
"""What a card's `capabilities` may hold, and what each word means."""

_DATA = Path(__file__).with_name("catalog.toml")
_VERSION = re.compile(r"-(?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|latest|0)\Z")
_NAME_MAX = 256
"""Longer names are nobody's model; they are not searched for a version."""

# Thinking counts towards `max_tokens`: a model that thinks unasked could spend 8,192 on it and break off its answer.
_ANSWER_TOKENS = 8_192
_THINKING_TOKENS = 24_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Nano-dollars a token: US dollars a million tokens times 1000, which makes the printed prices whole numbers."""

    input: int
    cached_input: int
    cache_write: int
    output: int

    def __post_init__(self) -> None:
        if min(self.input, self.cached_input, self.cache_write, self.output) < 0:
            raise ValueError("A price cannot be negative.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """One model at one provider.

    `provider` is `openai`, `anthropic`, `extractive` or the operator's name for a compatible server; `operations` are
    among `OPERATIONS`, `capabilities` among `CAPABILITIES`. `context_window` counts the prompt and, at most providers,
    the answer with it; `max_output_tokens` is 0 where nothing is generated. `created` is the release in Unix seconds.
    `default_max_tokens` is what a request translated for Anthropic, which demands a bound, gets when the caller named
    none: 8,192, and 24,576 more where the model thinks without being asked, within the model's own maximum.
    """

    id: str
    provider: str
    operations: frozenset[str]
    context_window: int
    max_output_tokens: int
    prices: Prices
    capabilities: frozenset[str]
    created: int
    default_max_tokens: int


class Catalog:
    """The model cards by name, in the order given. Immutable; raises `ValueError` for two cards of one name."""

    __slots__ = ("_by_id", "cards")

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        self.cards: tuple[ModelCard, ...] = tuple(cards)
        self._by_id = {card.id: card for card in self.cards}
        if len(self._by_id) != len(self.cards):
            raise ValueError("Two model cards have the same id.")

    def find(self, model: str) -> ModelCard | None:
        """The card of a model's name, or None.

        The exact name first, so that a version with prices of its own can have a card of its own; then the name without
        its version (`-2026-04-23`, `-20251001`, `-latest`, `-0`), then with `-latest` in the version's place.
        """
        card = self._by_id.get(model)
        if card is not None or len(model) > _NAME_MAX:
            return card
        family, versions = _VERSION.subn("", model)
        if not versions:
            return None
        return self._by_id.get(family) or self._by_id.get(f"{family}-latest")

    def with_cards(self, more: Iterable[ModelCard]) -> "Catalog":
        """A catalog with `more` as well; a card of a known name takes that card's place."""
        merged = dict(self._by_id)
        merged.update((card.id, card) for card in more)
        return Catalog(merged.values())


def load_catalog() -> Catalog:
    """The catalog that is packed with the program. Reads and parses 26 kB once a process, in about 3.5 ms."""
    return Catalog(_card(entry) for entry in read_data()["models"])


def load_defaults() -> tuple[str, str]:
    """The models that `ali-default` takes: OpenAI's first, Anthropic's second."""
    defaults = read_data()["defaults"]
    return str(defaults["openai"]), str(defaults["anthropic"])


@cache
def read_data() -> dict[str, Any]:  # Any: what TOML holds; `_card` gives it types
    """`catalog.toml` as it stands, numbers with a point as exact decimals. Shared by all who ask: not to be changed."""
    with _DATA.open("rb") as file:
        return tomllib.load(file, parse_float=Decimal)


def cost_microusd(prices: Prices, usage: Usage) -> int:
    """What a call costs in micro-dollars: whole numbers only, rounded up once at the end.

    Cached and cache-write tokens are part of `input_tokens` and priced apart. Providers' numbers are not believed
    beyond reason: negative counts are zero, and the two parts together are never more than the whole.
    """
    whole = max(usage.input_tokens, 0)
    cached = min(max(usage.cached_input_tokens, 0), whole)
    written = min(max(usage.cache_write_tokens, 0), whole - cached)
    nanousd = (
        (whole - cached - written) * prices.input
        + cached * prices.cached_input
        + written * prices.cache_write
        + max(usage.output_tokens, 0) * prices.output
    )
    return -(-nanousd // 1000)


def _card(entry: Mapping[str, Any]) -> ModelCard:  # Any: as in `read_data`
    paid, cached, written, answered = (_nanousd(price) for price in entry["usd_per_mtok"])
    capabilities = frozenset(entry["capabilities"].split())
    max_output_tokens = entry["max_output_tokens"]
    wanted = _ANSWER_TOKENS + (_THINKING_TOKENS if "reasoning_default" in capabilities else 0)
    return ModelCard(
        id=entry["id"],
        provider=entry["provider"],
        operations=frozenset(entry["operations"].split()),
        context_window=entry["context_window"],
        max_output_tokens=max_output_tokens,
        prices=Prices(input=paid, cached_input=cached, cache_write=written, output=answered),
        capabilities=capabilities,
        created=_unix_s(entry["released"]),
        default_max_tokens=min(wanted, max_output_tokens),
    )


def _nanousd(usd_per_mtok: Decimal) -> int:
    nanousd = usd_per_mtok * 1000
    if nanousd != int(nanousd):
        raise ValueError(f"The price {usd_per_mtok} is finer than a nano-dollar a token.")
    return int(nanousd)


def _unix_s(released: date) -> int:
    return int(datetime(released.year, released.month, released.day, tzinfo=UTC).timestamp())
