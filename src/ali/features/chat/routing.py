"""From a model's name to the targets that can serve it: provider, upstream model, prices."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ali.features.chat.envelope import ModelUnknown
from ali.features.chat.operations import Operation
from ali.features.chat.resilience import CircuitBreaker
from ali.kernel.errors import InvalidRequest
from ali.providers.catalog import Catalog, ModelCard, Prices
from ali.providers.contract import Upstream

FREE = Prices(input=0, cached_input=0, cache_write=0, output=0)
CONTEXT_TOKENS: Final = 200_000
"""Of a model whose context window nobody has said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrice:
    """What the operator says that a model costs, and the most that one answer of it has."""

    prices: Prices
    max_output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model at one provider, with its health."""

    upstream: Upstream
    model: str
    card: ModelCard | None
    """None: an operator's model that the catalog does not know; it is served, and costs what the operator says."""
    breaker: CircuitBreaker
    own: OwnPrice | None = None
    """The operator's word, which goes before the catalog's."""

    @property
    def prices(self) -> Prices:
        """What it costs; nothing where nobody has said."""
        if self.own is not None:
            return self.own.prices
        return self.card.prices if self.card else FREE

    @property
    def priced(self) -> bool:
        """Whether anybody has said what it costs."""
        return self.own is not None or self.card is not None

    @property
    def max_output_tokens(self) -> int:
        """The most that one answer has; 0 where nothing is generated."""
        if self.card is not None:
            return self.card.max_output_tokens
        return self.own.max_output_tokens if self.own is not None else 0

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which it may be asked for, but for aliases: its own, its family's, each with the provider.

        `gpt-5-2025-08-07`, `openai/gpt-5-2025-08-07`, `gpt-5`, `openai/gpt-5`.
        """
        known = dict.fromkeys((self.model, self.card.id if self.card else self.model))
        return tuple(name for model in known for name in (model, f"{self.upstream.name}/{model}"))

    def has(self, capability: str) -> bool:
        """Whether the catalog says so; unknown models are given the benefit of the doubt."""
        return self.card is None or capability in self.card.capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The targets of a model name, in order of preference."""

    targets: tuple[Target, ...]
    names: tuple[str, ...]
    """The name that was asked for, and every name of each target: no limit on a model is evaded by another name."""
    weights: tuple[int, ...] | None = None
    cache_ttl_s: int | None = None

    @property
    def window_tokens(self) -> int:
        """The largest context that every target reads; `CONTEXT_TOKENS` for a model that nobody has said it of."""
        return min((target.card.context_window if target.card else 0) or CONTEXT_TOKENS for target in self.targets)

    def order(self, rng: random.Random) -> tuple[Target, ...]:
        """The targets in the order to be tried: as listed, or the first drawn by weight and the others after it."""
        if self.weights is None:
            return self.targets
        first = rng.choices(range(len(self.targets)), weights=self.weights)[0]
        return (self.targets[first], *(t for i, t in enumerate(self.targets) if i != first))


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasSpec:
    """An alias as configured; targets are model names, or `provider/model`."""

    targets: tuple[str, ...]
    weights: tuple[int, ...] | None = None
    cache_ttl_s: int | None = None


class Router:
    """Knows the configured providers, the catalog and the aliases. Immutable but for the targets' health."""

    def __init__(
        self,
        *,
        upstreams: Mapping[str, Upstream],
        catalog: Catalog,
        aliases: Mapping[str, AliasSpec],
        compatible_models: Mapping[str, str],
        own_prices: Mapping[str, OwnPrice] | None = None,
    ) -> None:
        self._upstreams = upstreams
        self._catalog = catalog
        self._compatible = compatible_models
        self._aliases = aliases
        self._own_prices = own_prices or {}
        self._targets: dict[tuple[str, str], Target] = {}
        self._routes: dict[tuple[str, str], Route] = {}

    def resolve(self, model: str, operation: Operation) -> Route:
        """The route of a model's name. Raises `ModelUnknown`, or `InvalidRequest` where it cannot do the operation."""
        route = self._routes.get((model, operation.needs))
        if route is None:
            route = self._resolve(model, operation)
            if len(self._routes) < 4096:
                self._routes[model, operation.needs] = route
        return route

    def _resolve(self, model: str, operation: Operation) -> Route:
        alias = self._aliases.get(model) or AliasSpec(targets=(model,))
        targets = tuple(self._target(name, operation) for name in alias.targets)
        return Route(
            targets=targets,
            names=tuple(dict.fromkeys((model, *(name for target in targets for name in target.names)))),
            weights=alias.weights,
            cache_ttl_s=alias.cache_ttl_s,
        )

    def _target(self, model: str, operation: Operation) -> Target:
        provider, upstream_model, card = self._locate(model)
        upstream = self._upstreams.get(provider)
        if upstream is None:
            raise ModelUnknown(
                f"The model {model} is served by {provider}, and this service has no key for that provider. "
                f"The operator sets {provider.upper()}_API_KEY; GET /v1/models lists what is served now.",
                param="model",
            )
        if card is not None and operation.needs not in card.operations:
            raise InvalidRequest(
                f"The model {model} does not do {operation.name}. GET /v1/models lists the models served here.",
                param="model",
                code="operation_not_supported",
            )
        key = (provider, upstream_model)
        target = self._targets.get(key)
        if target is None:
            own = self._own_prices.get(f"{provider}/{upstream_model}") or self._own_prices.get(upstream_model)
            target = Target(upstream=upstream, model=upstream_model, card=card, breaker=CircuitBreaker(), own=own)
            if len(self._targets) < 4096:
                self._targets[key] = target
        return target

    def _locate(self, model: str) -> tuple[str, str, ModelCard | None]:
        """Provider, the name there, and the card: by the operator's list, `provider/model`, or the catalog."""
        if provider := self._compatible.get(model):
            return provider, model, None
        prefix, slash, rest = model.partition("/")
        if slash and rest and prefix in self._upstreams:
            return prefix, rest, self._catalog.find(rest)
        card = self._catalog.find(model)
        if card is None:
            raise ModelUnknown(
                f"There is no model {model} here. GET /v1/models lists the models served; "
                "the operator adds others with ALI_ALIASES or ALI_COMPATIBLE_PROVIDERS.",
                param="model",
            )
        return card.provider, model, card

    def served(self) -> Iterator[tuple[str, str, int, ModelCard | None]]:
        """Every model that can be asked for now: name, owner, Unix time it was made, card."""
        for name in self._aliases:
            yield name, "ali", 0, None
        for name, provider in self._compatible.items():
            yield name, provider, 0, None
        for card in self._catalog.cards:
            if card.provider in self._upstreams:
                yield card.id, card.provider, card.created, card

    def card_of(self, model: str) -> ModelCard | None:
        """The catalog's card of a name, dated forms included."""
        return self._catalog.find(model)

    def health(self) -> dict[str, bool]:
        """Each target that was used, and whether its circuit is closed."""
        return {f"{name}/{model}": not target.breaker.is_open() for (name, model), target in self._targets.items()}
