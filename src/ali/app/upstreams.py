"""The providers that the settings name, what their models are called, and what they cost."""

from ali.features.chat.routing import AliasSpec, OwnPrice, Router
from ali.kernel.settings import Settings
from ali.providers.catalog import Prices, load_catalog, load_defaults
from ali.providers.contract import Deadlines, Dialect, Upstream
from ali.providers.extractive import ExtractiveUpstream
from ali.providers.http import HttpUpstream


def reachable(settings: Settings) -> dict[str, Upstream]:
    """The providers that this installation has the means to reach."""
    upstreams: dict[str, Upstream] = {"extractive": ExtractiveUpstream()}
    if settings.openai_api_key:
        upstreams["openai"] = HttpUpstream(
            name="openai",
            dialect=Dialect.OPENAI,
            base_url=settings.openai_base_url,
            headers={"authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"},
            speaks_responses=True,
        )
    if settings.anthropic_api_key:
        upstreams["anthropic"] = HttpUpstream(
            name="anthropic",
            dialect=Dialect.ANTHROPIC,
            base_url=settings.anthropic_base_url,
            headers={"x-api-key": settings.anthropic_api_key.get_secret_value()},
        )
    for server in settings.compatible_providers:
        headers = {"authorization": f"Bearer {server.api_key.get_secret_value()}"} if server.api_key else {}
        upstreams[server.name] = HttpUpstream(
            name=server.name,
            dialect=Dialect.OPENAI,
            base_url=server.base_url,
            headers=headers,
            speaks_responses=server.responses,
        )
    return upstreams


def aliases(settings: Settings, upstreams: dict[str, Upstream]) -> dict[str, AliasSpec]:
    """The operator's aliases, and `ali-default`: OpenAI, then Anthropic, then the model that needs neither."""
    at_openai, at_anthropic = load_defaults()
    configured = [
        model for provider, model in (("openai", at_openai), ("anthropic", at_anthropic)) if provider in upstreams
    ]
    named = {"ali-default": AliasSpec(targets=tuple(configured) or ("ali-extractive",))}
    for name, alias in settings.aliases.items():
        named[name] = AliasSpec(targets=alias.targets, weights=alias.weights, cache_ttl_s=alias.cache_ttl_s)
    return named


def own_prices(settings: Settings) -> dict[str, OwnPrice]:
    """The operator's prices, in nano-dollars a token."""
    return {
        name: OwnPrice(
            prices=Prices(
                input=int(price.input * 1000),
                cached_input=int((price.input if price.cached_input is None else price.cached_input) * 1000),
                cache_write=int((price.input if price.cache_write is None else price.cache_write) * 1000),
                output=int(price.output * 1000),
            ),
            max_output_tokens=price.max_output_tokens,
        )
        for name, price in settings.model_prices.items()
    }


def router_over(upstreams: dict[str, Upstream], settings: Settings) -> Router:
    """From names of models to these providers."""
    return Router(
        upstreams=upstreams,
        catalog=load_catalog(),
        aliases=aliases(settings, upstreams),
        compatible_models={model: server.name for server in settings.compatible_providers for model in server.models},
        own_prices=own_prices(settings),
    )


def deadlines(settings: Settings) -> Deadlines:
    """How long a provider may take."""
    return Deadlines(
        connect_s=settings.upstream_connect_s,
        first_byte_s=settings.upstream_first_byte_s,
        silence_s=settings.upstream_silence_s,
        total_s=settings.upstream_total_s,
    )
