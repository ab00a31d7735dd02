"""The model catalog: finding a model, what a call costs, and that data, page and SDKs agree.

Run as a program, this file writes `docs/reference/models.md` from the data.
"""

import importlib.util
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.providers.catalog import (
    CAPABILITIES,
    OPERATIONS,
    Catalog,
    ModelCard,
    Prices,
    cost_microusd,
    load_catalog,
    load_defaults,
    read_data,
)
from ali.providers.contract import Usage

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "models.md"

_SHUT_DOWN = "the provider has shut it down"
_LEFT_OUT = {
    r"gpt-3\.5-.*|gpt-4(-.*)?|gpt-4\.1-nano.*|o1(-.*)?|o3-mini.*|o4-mini.*": _SHUT_DOWN,
    r"chatgpt-4o-latest|.*-chat-latest": _SHUT_DOWN,
    r"gpt-4o(-mini)?-search-preview.*|codex-mini-latest|gpt-5\.1-codex|claude-mythos-preview": _SHUT_DOWN,
    r"text-moderation-(latest|stable)": _SHUT_DOWN,
    r"gpt-audio.*|gpt-4o(-mini)?-audio-preview.*": "audio",
    r"gpt-5\.2-pro.*": "Responses only",
    r"gpt-5\.1-mini": "never was a model; the SDK keeps the name for compatibility",
    r"claude-mythos-5.*": "by invitation only",
}
"""Models that the official SDKs name and the catalog does not, and why."""


def card(model: str, *, prices: Prices | None = None) -> ModelCard:
    return ModelCard(
        id=model,
        provider="house",
        operations=frozenset({"chat"}),
        context_window=1000,
        max_output_tokens=100,
        prices=prices or Prices(input=0, cached_input=0, cache_write=0, output=0),
        capabilities=frozenset(),
        created=0,
        default_max_tokens=100,
    )


# Finding


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gpt-5.4-mini", "gpt-5.4-mini"),
        ("gpt-5.4-mini-2026-03-17", "gpt-5.4-mini"),
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-opus-4-5-latest", "claude-opus-4-5"),
        ("claude-opus-5-0", "claude-opus-5"),
        ("omni-moderation-2024-09-26", "omni-moderation-latest"),
    ],
)
def test_a_model_is_found_by_its_name_and_by_its_versions(asked: str, found: str) -> None:
    assert load_catalog().find(asked) == load_catalog().find(found)
    assert load_catalog().find(asked) is not None


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "gpt",
        "GPT-5.4",
        "gpt-5.4 ",
        "gpt-5.4\n",
        "gpt-5.4-2026-03-17-2026-03-17",
        "gpt-5.4-turbo",
        "gpt-5.4-9999-99-99",
        "ft:gpt-4o-mini:house::abc",
        "-latest",
        "-0" * 100_000,
    ],
)
def test_an_unknown_model_is_not_found(asked: str) -> None:
    assert load_catalog().find(asked) is None


def test_a_version_with_a_card_of_its_own_is_not_its_family() -> None:
    catalog = Catalog([card("m"), card("m-2026-01-02")])
    found = catalog.find("m-2026-01-02")
    assert found is not None
    assert found.id == "m-2026-01-02"


def test_added_cards_come_last_and_replace_their_namesakes() -> None:
    free, dear = card("a"), card("a", prices=Prices(input=1, cached_input=1, cache_write=1, output=1))
    first = Catalog([free, card("b")])
    second = first.with_cards([card("c"), dear])
    assert [c.id for c in second.cards] == ["a", "b", "c"]
    assert second.find("a") == dear
    assert first.find("a") == free


def test_two_cards_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        Catalog([card("a"), card("a")])


def test_a_negative_price_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Prices(input=0, cached_input=0, cache_write=-1, output=0)


# Cost

_nanousd = st.integers(min_value=0, max_value=10**6)
_prices = st.builds(Prices, input=_nanousd, cached_input=_nanousd, cache_write=_nanousd, output=_nanousd)
_absurd = st.integers(min_value=-(10**30), max_value=10**30)
_fields = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_absurd_usage = st.builds(Usage, **dict.fromkeys(_fields, _absurd))


@st.composite
def _sane_usage(draw: st.DrawFn) -> Usage:
    count = st.integers(min_value=0, max_value=10**7)
    plain, cached, written = draw(count), draw(count), draw(count)
    return Usage(
        input_tokens=plain + cached + written,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=draw(count),
    )


def test_a_call_costs_what_the_price_list_says() -> None:
    prices = Prices(input=2_000, cached_input=100, cache_write=2_500, output=10_000)
    usage = Usage(input_tokens=1_000, cached_input_tokens=600, cache_write_tokens=100, output_tokens=50)
    # 300 x $2.00 + 600 x $0.10 + 100 x $2.50 + 50 x $10.00 a million
    assert cost_microusd(prices, usage) == 600 + 60 + 250 + 500


def test_a_fraction_of_a_microdollar_is_rounded_up_once() -> None:
    prices = Prices(input=20, cached_input=20, cache_write=20, output=0)
    assert cost_microusd(prices, Usage(input_tokens=1)) == 1
    assert cost_microusd(prices, Usage(input_tokens=50)) == 1
    assert cost_microusd(prices, Usage(input_tokens=51)) == 2
    assert cost_microusd(prices, Usage()) == 0


def test_reasoning_is_part_of_the_output_and_not_paid_twice() -> None:
    prices = Prices(input=0, cached_input=0, cache_write=0, output=1_000)
    assert cost_microusd(prices, Usage(output_tokens=10, reasoning_tokens=9)) == 10


@given(_prices, _absurd_usage)
def test_a_cost_is_a_whole_number_and_never_negative(prices: Prices, usage: Usage) -> None:
    cost = cost_microusd(prices, usage)
    assert isinstance(cost, int)
    assert cost >= 0


@given(_prices, _absurd_usage)
def test_no_claim_about_the_cache_moves_the_cost_out_of_its_bounds(prices: Prices, usage: Usage) -> None:
    rates = (prices.input, prices.cached_input, prices.cache_write)
    whole, answer = max(usage.input_tokens, 0), max(usage.output_tokens, 0) * prices.output
    assert min(rates) * whole + answer <= cost_microusd(prices, usage) * 1000
    assert cost_microusd(prices, usage) * 1000 < max(rates) * whole + answer + 1000


@given(_prices, _absurd_usage, st.integers(min_value=0, max_value=10**30), st.sampled_from(["input", "output"]))
def test_more_tokens_never_cost_less(prices: Prices, usage: Usage, more: int, kind: str) -> None:
    before = cost_microusd(prices, usage)
    if kind == "input":
        usage.input_tokens += more
    else:
        usage.output_tokens += more
    assert cost_microusd(prices, usage) >= before


@given(_prices, _sane_usage(), _sane_usage())
def test_two_calls_cost_what_one_of_both_sizes_costs_within_rounding(prices: Prices, one: Usage, two: Usage) -> None:
    both = Usage(**{name: getattr(one, name) + getattr(two, name) for name in _fields})
    apart = cost_microusd(prices, one) + cost_microusd(prices, two)
    assert apart - 1 <= cost_microusd(prices, both) <= apart


# Data


def _entries() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = read_data()["models"]
    return entries


@pytest.mark.parametrize("entry", _entries(), ids=lambda entry: str(entry["id"]))
def test_an_entry_is_whole_and_its_words_are_known(entry: dict[str, Any]) -> None:
    found = load_catalog().find(entry["id"])
    assert found is not None
    assert found.id == entry["id"]
    assert found.provider in {"openai", "anthropic", "extractive"}
    assert found.operations
    assert found.operations <= OPERATIONS
    assert found.capabilities <= CAPABILITIES.keys()
    assert entry["source"]
    assert entry["released"] <= entry["as_of"]
    assert "retires" not in entry or entry["retires"] > entry["as_of"]
    assert all(isinstance(price, Decimal) for price in entry["usd_per_mtok"])
    assert 0 <= found.default_max_tokens <= found.max_output_tokens < found.context_window
    assert ("chat" in found.operations) == (found.max_output_tokens > 0)
    assert found.prices.cached_input <= found.prices.input <= found.prices.cache_write


@pytest.mark.parametrize("found", load_catalog().cards, ids=lambda found: str(found.id))
def test_abilities_that_imply_others_come_with_them(found: ModelCard) -> None:
    for ability, implied in (
        ("parallel_tools", "tools"),
        ("forced_tools", "tools"),
        ("tools_with_reasoning", "tools"),
        ("tools_with_reasoning", "reasoning"),
        ("reasoning_default", "reasoning"),
        ("reasoning_always", "reasoning_default"),
    ):
        assert ability not in found.capabilities or implied in found.capabilities
    thinking = {ability for ability in found.capabilities if ability.startswith("thinking_")}
    assert not thinking or found.provider == "anthropic"
    # Thinking that is on by default can be turned off somehow, unless it is always on.
    if found.provider == "anthropic" and "reasoning_always" not in found.capabilities:
        assert thinking & {"thinking_disabled", "thinking_between_tools"}


def test_a_model_that_thinks_unasked_gets_room_for_it() -> None:
    catalog = load_catalog()
    bounds = {
        name: found.default_max_tokens
        for name in ("claude-haiku-4-5", "claude-sonnet-5-5", "text-embedding-3-small")
        if (found := catalog.find(name))
    }
    assert bounds == {"claude-haiku-4-5": 8_192, "claude-sonnet-5-5": 32_768, "text-embedding-3-small": 0}


def test_the_default_models_chat_at_one_provider_each_and_take_plain_tool_calls() -> None:
    catalog = load_catalog()
    found = [catalog.find(name) for name in load_defaults()]
    assert [c.provider for c in found if c] == ["openai", "anthropic"]
    assert all("chat" in c.operations and "tools" in c.capabilities for c in found if c)
    retiring = {entry["id"] for entry in _entries() if "retires" in entry}
    assert not retiring & set(load_defaults())


def test_the_model_that_needs_no_provider_is_free() -> None:
    found = load_catalog().find("ali-extractive")
    assert found is not None
    assert (found.provider, found.context_window) == ("extractive", 1_000_000)
    assert found.capabilities == {"pdf", "citations", "streaming"}
    assert cost_microusd(found.prices, Usage(input_tokens=10**9, output_tokens=10**9)) == 0


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("openai", "types/shared/chat_model.py"),
        ("openai", "types/embedding_model.py"),
        ("openai", "types/moderation_model.py"),
        ("anthropic", "types/model.py"),
    ],
)
def test_each_model_that_the_sdk_names_is_known_or_left_out_for_a_reason(package: str, module: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0], module).read_text(encoding="utf-8").partition("Literal[")[2]
    named = re.findall(r'"([^"\s]+)"', source.partition("]")[0])
    assert named
    unknown = [name for name in named if load_catalog().find(name) is None]
    assert [name for name in unknown if not any(re.fullmatch(pattern, name) for pattern in _LEFT_OUT)] == []


def test_loading_takes_under_5_ms_of_cpu() -> None:
    taken_s = []
    for _ in range(15):
        read_data.cache_clear()
        started_s = time.process_time()
        load_catalog()
        taken_s.append(time.process_time() - started_s)
    assert min(taken_s) < 0.005


def test_importing_reads_nothing() -> None:
    program = "from ali.providers import catalog; assert catalog.read_data.cache_info().currsize == 0"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)  # noqa: S603 - our own interpreter, constant arguments


# The reference page


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


_HEAD = """\
# Models

Made from `src/ali/providers/catalog.toml` by `tests/unit/providers/test_catalog.py`: change the data, not this page.

A name with a version (`-2026-03-17`, `-20251001`, `-latest`, `-0`) is served as its family. Prices are US dollars a
million tokens of the provider's standard tier and shortest context band; notes say where a provider charges more, which
is not charged here. Cache writes at Anthropic are priced for five minutes. "Default max" is the `max_tokens` of a
request that is translated for Anthropic and named no bound. `ali-default` asks `{first}`, then `{second}`.
"""


def reference_page() -> str:
    """`docs/reference/models.md`, from the catalog's data."""
    catalog, defaults = load_catalog(), load_defaults()
    lines = _HEAD.format(first=defaults[0], second=defaults[1]).splitlines()
    for provider, title in (("openai", "OpenAI"), ("anthropic", "Anthropic"), ("extractive", "Ali")):
        entries = [entry for entry in _entries() if entry["provider"] == provider]
        heads = ["model", "for", "input", "cached", "cache write", "output", "context", "max output", "default max"]
        lines += ["", f"## {title}", "", _row([*heads, "retires"]), _row(["---"] * (len(heads) + 1))]
        for entry in entries:
            found = catalog.find(entry["id"])
            assert found is not None
            cells = [f"`{found.id}`", entry["operations"], *map(str, entry["usd_per_mtok"])]
            cells += [f"{found.context_window:,}", f"{found.max_output_tokens:,}", f"{found.default_max_tokens:,}"]
            lines.append(_row([*cells, str(entry.get("retires", ""))]))
        lines += ["", _row(["model", "capabilities", "note", "source", "as of"]), _row(["---"] * 5)]
        for entry in entries:
            words = ", ".join(entry["capabilities"].split())
            cells = [f"`{entry['id']}`", words, entry.get("note", ""), entry["source"], str(entry["as_of"])]
            lines.append(_row(cells))
    lines += ["", "## Capabilities", "", _row(["word", "meaning"]), _row(["---"] * 2)]
    lines += [_row([f"`{word}`", meaning]) for word, meaning in CAPABILITIES.items()]
    return "\n".join(lines) + "\n"


def test_the_reference_page_is_what_the_data_say() -> None:
    assert _PAGE.read_text(encoding="utf-8") == reference_page(), (
        "Write it anew: uv run python tests/unit/providers/test_catalog.py"
    )


if __name__ == "__main__":
    _PAGE.write_text(reference_page(), encoding="utf-8")
