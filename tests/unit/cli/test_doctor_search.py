"""`ali doctor` on searches in vector stores: the extension, and the models that they ask."""

import pytest

from ali.cli.doctor_search import pgvector, search_models
from ali.kernel.checks import CheckResult, CheckStatus
from ali.kernel.settings import Settings


def settings(**values: object) -> Settings:
    return Settings.model_validate({"openai_api_key": "sk-simulated", **values})


def models(**values: object) -> list[CheckResult]:
    return list(search_models(settings(**values)))


def test_the_extension_is_told_by_its_version_and_where_it_lacks_how_it_comes(database_dsn: str) -> None:
    (found,) = pgvector(settings(database_url=database_dsn))
    assert found.status is CheckStatus.OK
    assert found.detail.startswith("0.")


def test_a_database_that_cannot_be_asked_is_left_to_its_own_check(database_dsn: str) -> None:
    other = database_dsn.replace("/ali_test", "/no_such_ali_test", 1)
    assert list(pgvector(settings(database_url=other))) == []


def test_without_models_words_decide() -> None:
    (found,) = models()
    assert (found.status, found.detail) == (CheckStatus.OK, "none: vector stores are searched by words")


def test_models_that_are_served_and_priced_are_fine() -> None:
    found = models(embedding_model="text-embedding-3-small", rerank_model="gpt-4.1", rewrite_model="openai/gpt-4.1")
    assert [each.status for each in found] == [CheckStatus.OK] * 3


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"embedding_model": "no-such-model"}, CheckStatus.FAIL),
        ({"embedding_model": "gpt-4.1"}, CheckStatus.FAIL),
        ({"rerank_model": "text-embedding-3-small"}, CheckStatus.FAIL),
        ({"rewrite_model": "claude-sonnet-5-5"}, CheckStatus.FAIL),
        ({"embedding_model": "openai/a-new-one"}, CheckStatus.WARN),
    ],
)
def test_a_model_that_cannot_be_asked_fails_and_one_without_a_price_warns(
    values: dict[str, str], status: CheckStatus
) -> None:
    (found,) = models(**values)
    assert found.status is status
    (name,) = values
    assert found.detail.startswith(f"ALI_{name.upper()}: ")
    assert found.hint
