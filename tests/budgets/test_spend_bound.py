"""What a request can cost at most: never less than what it turns out to cost, and no more than it need be."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.chat.envelope import read_envelope
from ali.features.chat.operations import CHAT_COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, MODERATIONS, Operation
from ali.features.chat.routing import CONTEXT_TOKENS, AliasSpec, OwnPrice, Route, Router
from ali.features.chat.spend_bound import (
    DOCUMENT_TOKENS,
    IMAGE_TOKENS,
    TOOL_TOKENS,
    ModelUnpriced,
    most_microusd,
)
from ali.kernel.errors import InvalidRequest
from ali.providers.catalog import Prices, cost_microusd, load_catalog
from ali.providers.contract import Dialect, Usage
from ali.providers.http import HttpUpstream

CATALOG = load_catalog()
READ_ONLY = Prices(input=1000, cached_input=1000, cache_write=1000, output=0)
WRITE_ONLY = Prices(input=0, cached_input=0, cache_write=0, output=1000)


@pytest.fixture
def router() -> Router:
    """Models whose every token read, or written, costs one micro-dollar; and the catalog's."""

    def upstream(name: str, dialect: Dialect) -> HttpUpstream:
        return HttpUpstream(name=name, dialect=dialect, base_url="http://127.0.0.1:1", headers={})

    return Router(
        upstreams={
            "openai": upstream("openai", Dialect.OPENAI),
            "anthropic": upstream("anthropic", Dialect.ANTHROPIC),
            "local": upstream("local", Dialect.OPENAI),
            "claudes": upstream("claudes", Dialect.ANTHROPIC),
        },
        catalog=CATALOG,
        aliases={
            "either": AliasSpec(targets=("local/read", "local/write")),
            "doubtful": AliasSpec(targets=("local/read", "local/nobody-knows")),
        },
        compatible_models={},
        own_prices={
            "read": OwnPrice(prices=READ_ONLY, max_output_tokens=500),
            "local/write": OwnPrice(prices=WRITE_ONLY, max_output_tokens=500),
            "claudes/write": OwnPrice(prices=WRITE_ONLY, max_output_tokens=500),
            "gpt-4.1": OwnPrice(prices=READ_ONLY, max_output_tokens=1),
        },
    )


def bound(router: Router, body: dict[str, Any] | bytes, operation: Operation = CHAT_COMPLETIONS) -> int:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    envelope = read_envelope(operation, data)
    return most_microusd(router.resolve(envelope.model, operation), envelope)


def saying(model: str, content: object = "Hello", **more: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


def size(body: dict[str, Any]) -> int:
    return len(orjson.dumps(body))


@given(
    text=st.text(max_size=60),
    most=st.integers(1, 5000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
    model=st.sampled_from([card.id for card in CATALOG.cards if "chat" in card.operations]),
)
def test_no_usage_within_the_body_and_the_maximum_costs_more(
    text: str, most: int, shares: tuple[float, float, float, float], model: str
) -> None:
    """Whatever a provider counts, up to one token a byte and the caller's own maximum, however much of it cached."""
    card = CATALOG.find(model)
    assert card is not None
    upstreams = {
        card.provider: HttpUpstream(
            name=card.provider, dialect=Dialect.OPENAI, base_url="http://127.0.0.1:1", headers={}
        )
    }
    router = Router(upstreams=upstreams, catalog=CATALOG, aliases={}, compatible_models={})
    body = saying(model, text, max_tokens=most)
    read = int(shares[0] * size(body))
    usage = Usage(
        input_tokens=read,
        cached_input_tokens=int(shares[1] * read),
        cache_write_tokens=int(shares[2] * read),
        output_tokens=int(shares[3] * min(most, card.max_output_tokens)),
    )
    assert cost_microusd(card.prices, usage) <= bound(router, body)


def test_text_counts_its_bytes_and_the_answer_its_maximum(router: Router) -> None:
    body = saying("local/read", "Olá, João")
    assert bound(router, body) == size(body)
    assert bound(router, saying("local/write", max_tokens=70)) == 70
    assert bound(router, saying("local/write", max_completion_tokens=80, max_tokens=70)) == 80
    assert bound(router, saying("local/write", max_tokens=70, n=3)) == 210
    assert bound(router, saying("local/write", max_tokens=70), MESSAGES) == 70


@pytest.mark.parametrize("nothing", [{}, {"max_tokens": None}, {"max_tokens": "9"}, {"max_tokens": -1}, {"n": True}])
def test_without_a_maximum_the_answer_is_as_long_as_the_model_lets_it(
    router: Router, nothing: dict[str, object]
) -> None:
    assert bound(router, saying("local/write", **nothing)) == 500
    assert bound(router, saying("claudes/write", **nothing)) == 8192, "what the translation sets"
    card = CATALOG.find("gpt-4o")
    assert card is not None
    written = card.max_output_tokens * card.prices.output
    read = size(saying("gpt-4o", **nothing)) * max(card.prices.input, card.prices.cached_input, card.prices.cache_write)
    assert bound(router, saying("gpt-4o", **nothing)) == -(-(written + read) // 1000)
    assert bound(router, saying("gpt-4o", max_tokens=10**9)) < bound(router, saying("gpt-4o")) + 100


def test_the_dearest_target_counts_and_each_must_have_a_price(router: Router) -> None:
    body = saying("either", max_tokens=5000)
    assert bound(router, body) == 5000
    assert bound(router, saying("either", "x" * 9000, max_tokens=5)) > 9000
    with pytest.raises(ModelUnpriced, match="ALI_MODEL_PRICES"):
        bound(router, saying("doubtful"))
    assert bound(router, saying("local/nobody-knows"), COUNT_TOKENS) == 0


def test_the_operators_price_goes_before_the_catalogs(router: Router) -> None:
    body = saying("gpt-4.1", max_tokens=1)
    assert bound(router, body) == size(body)


def test_embeddings_cost_what_they_read_and_moderations_nothing(router: Router) -> None:
    body = {"model": "text-embedding-3-small", "input": "x" * 1000}
    card = CATALOG.find("text-embedding-3-small")
    assert card is not None
    assert bound(router, body, EMBEDDINGS) == -(-size(body) * card.prices.input // 1000)
    assert bound(router, {"input": "x"}, MODERATIONS) == 0


def test_many_texts_to_embed_are_not_held_to_the_window_of_one(router: Router) -> None:
    body = {"model": "text-embedding-3-small", "input": ["word " * 4000] * 100}
    tokens = 100 * 4001
    assert bound(router, body, EMBEDDINGS) >= cost_microusd(
        router.resolve("text-embedding-3-small", EMBEDDINGS).targets[0].prices,
        Usage(input_tokens=tokens, reported=True),
    )


def test_an_image_counts_as_one_however_many_bytes_it_has(router: Router) -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(90_000)).decode()
    for content in (
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": url},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": url[22:]}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": url[22:]}}]},
    ):
        assert IMAGE_TOKENS < bound(router, saying("local/read", [content])) < IMAGE_TOKENS + 300
    named = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    assert 2 * IMAGE_TOKENS < bound(router, saying("local/read", [named, named])) < 2 * IMAGE_TOKENS + 300


def test_a_document_counts_its_bytes_and_never_too_few_and_one_that_is_fetched_the_whole_context(
    router: Router,
) -> None:
    for length, expected in ((400, DOCUMENT_TOKENS), (80_000, 80_000)):
        data = "J" * length
        sent: list[dict[str, Any]] = [
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
            {"type": "file", "file": {"file_data": data, "filename": "x.pdf"}},
        ]
        for content in sent:
            assert expected < bound(router, saying("local/read", [content])) < expected + 300
    fetched: list[dict[str, Any]] = [
        {"type": "document", "source": {"type": "url", "url": "https://example.org/x.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "container_upload", "file_id": "file_1"},
    ]
    for content in fetched:
        assert bound(router, saying("local/read", [content])) == CONTEXT_TOKENS
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 400}}
    assert bound(router, saying("local/read", [text])) == size(saying("local/read", [text]))


def test_tools_count_their_instructions_and_those_of_the_provider_the_whole_context(router: Router) -> None:
    function = {"type": "function", "function": {"name": "f"}}
    body = saying("local/read", tools=[function])
    assert bound(router, body) == size(body) + TOOL_TOKENS
    brought: list[dict[str, Any]] = [
        {"tools": [function, {"type": "web_search_20250305", "name": "web_search"}]},
        {"mcp_servers": [{"url": "https://example.org"}]},
        {"web_search_options": {}},
    ]
    for more in brought:
        assert bound(router, saying("local/read", **more)) == CONTEXT_TOKENS


def test_no_input_counts_more_than_the_context_window(router: Router) -> None:
    card = CATALOG.find("gpt-4o")
    assert card is not None
    most = -(-(card.context_window * card.prices.input + 10 * card.prices.output) // 1000)
    assert bound(router, saying("gpt-4o", "x" * (card.context_window * 2), max_tokens=10)) == most


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"local/write","messages":[{"role":"user","content":"x"}],"max_tokens":1,"max_tokens":400}',
        b'{"model":"local/write","messages":[{"role":"user","content":"x"}],"max_tokens":1,"max\\u005ftokens":400}',
        b'{"model":"local/write","messages":[{"role":"user","content":"x"}],"max_tokens":1,"n":1,"n":9}',
    ],
)
def test_a_maximum_that_is_said_twice_is_refused(router: Router, body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        bound(router, body)


def test_letters_that_are_escaped_hide_nothing(router: Router) -> None:
    hidden = b'{"model":"local/read","messages":[{"role":"user","content":[{"type":"\\u0066ile","file":{}}]}]}'
    assert bound(router, hidden) == CONTEXT_TOKENS
    escaped = b'{"model":"local/write","messages":[{"role":"user","content":"x"}],"max\\u005ftokens":400}'
    assert bound(router, escaped) == 400


def test_a_route_is_priced_as_its_targets_are(router: Router) -> None:
    route: Route = router.resolve("doubtful", CHAT_COMPLETIONS)
    assert [target.priced for target in route.targets] == [True, False]
    assert route.targets[1].prices.output == 0
