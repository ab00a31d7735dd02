"""Which limits a request is under: all that match, the named ones before those for each, the operator's last."""

from uuid import UUID, uuid4

import psycopg
import pytest

from ali.features.metering.limiting import Rule, RuleBook, counting
from ali.features.metering.limiting.claims import Scope
from ali.kernel.db import make_pool
from ali.kernel.ids import uuid7
from tests.fixtures.database import Tenant

ORGANIZATION, PROJECT, KEY, USER = uuid4(), uuid4(), uuid4(), uuid4()


def told(
    book: RuleBook, *, models: tuple[str, ...] = ("gpt-4.1",), key: UUID | None = KEY, user: UUID | None = USER
) -> dict[tuple[str, str, str | None], int]:
    claims = book.rules_for(organization_id=ORGANIZATION, project_id=PROJECT, key_id=key, user_id=user, models=models)
    found: dict[tuple[str, str, str | None], int] = {
        (claim.scope, claim.kind, claim.model): claim.limit for claim in claims
    }
    assert len(found) == len(claims) == len({claim.key for claim in claims}), "no claim is made twice"
    return found


def book_of(*rules: Rule, requests_per_key: int | None = None) -> RuleBook:
    book = RuleBook(requests_per_key=requests_per_key)
    book.replace(rules)
    return book


def test_without_rules_only_the_operators_setting_holds() -> None:
    assert told(book_of()) == {}
    assert told(book_of(requests_per_key=7)) == {("key", "requests", None): 7}
    assert told(book_of(requests_per_key=7), key=None) == {}


def test_every_rule_that_matches_is_claimed() -> None:
    book = book_of(
        Rule(ORGANIZATION, "organization", ORGANIZATION, requests_per_minute=100, tokens_per_minute=1000),
        Rule(ORGANIZATION, "project", PROJECT, requests_per_minute=50),
        Rule(ORGANIZATION, "project", uuid4(), requests_per_minute=1),
        Rule(ORGANIZATION, "key", KEY, concurrent_streams=3),
        Rule(ORGANIZATION, "user", USER, requests_per_minute=5),
        Rule(uuid4(), "organization", None, requests_per_minute=1),
    )
    assert told(book) == {
        ("organization", "requests", None): 100,
        ("organization", "tokens", None): 1000,
        ("project", "requests", None): 50,
        ("key", "streams", None): 3,
        ("user", "requests", None): 5,
    }
    assert ("user", "requests", None) not in told(book, user=None)


def test_a_rule_with_a_model_limits_that_model_alone() -> None:
    book = book_of(
        Rule(ORGANIZATION, "project", PROJECT, "gpt-4*", requests_per_minute=9),
        Rule(ORGANIZATION, "project", PROJECT, "gpt-4.1", requests_per_minute=5),
        Rule(ORGANIZATION, "project", PROJECT, requests_per_minute=100),
    )
    everywhere = {("project", "requests", None): 100}
    family = everywhere | {("project", "requests", "gpt-4*"): 9}
    assert told(book) == family | {("project", "requests", "gpt-4.1"): 5}
    assert told(book, models=("gpt-4o",)) == family
    assert told(book, models=("claude-sonnet-5-5",)) == everywhere
    assert told(book, models=()) == everywhere


def test_a_request_of_several_names_is_under_the_rules_of_each_and_under_a_pattern_once() -> None:
    book = book_of(
        Rule(ORGANIZATION, "project", PROJECT, "fast", requests_per_minute=9),
        Rule(ORGANIZATION, "project", PROJECT, "gpt-*", requests_per_minute=8),
        Rule(ORGANIZATION, "project", PROJECT, "openai/*", requests_per_minute=7),
        Rule(ORGANIZATION, "project", PROJECT, "claude*", requests_per_minute=6),
    )
    names = ("fast", "gpt-4.1", "openai/gpt-4.1", "gpt-4.1-mini", "openai/gpt-4.1-mini")
    assert told(book, models=names) == {
        ("project", "requests", "fast"): 9,
        ("project", "requests", "gpt-*"): 8,
        ("project", "requests", "openai/*"): 7,
    }


def test_a_pattern_is_one_limit_for_all_its_models() -> None:
    book = book_of(Rule(ORGANIZATION, "project", PROJECT, "gpt*", requests_per_minute=9))
    keys = {
        claim.key
        for model in ("gpt-4.1", "gpt-4o")
        for claim in book.rules_for(
            organization_id=ORGANIZATION, project_id=PROJECT, key_id=KEY, user_id=None, models=(model,)
        )
    }
    assert len(keys) == 1


@pytest.mark.parametrize("scope", ["project", "key", "user"])
def test_the_named_one_has_its_own_numbers_and_each_other_those_for_each(scope: Scope) -> None:
    named = {"project": PROJECT, "key": KEY, "user": USER}[scope]
    each = Rule(ORGANIZATION, scope, None, requests_per_minute=5, tokens_per_minute=100)
    book = book_of(each, Rule(ORGANIZATION, scope, named, requests_per_minute=50), requests_per_key=None)
    assert told(book) == {(scope, "requests", None): 50, (scope, "tokens", None): 100}
    other = book_of(each, Rule(ORGANIZATION, scope, uuid4(), requests_per_minute=50))
    assert told(other) == {(scope, "requests", None): 5, (scope, "tokens", None): 100}


def test_a_keys_own_rule_goes_before_the_operators_setting() -> None:
    book = book_of(Rule(ORGANIZATION, "key", KEY, requests_per_minute=50), requests_per_key=7)
    assert told(book) == {("key", "requests", None): 50}


def test_new_rules_hold_at_once_and_counters_stay_the_same() -> None:
    book = book_of(Rule(ORGANIZATION, "key", KEY, requests_per_minute=50))
    ids = {"organization_id": ORGANIZATION, "project_id": PROJECT, "key_id": KEY}
    [before] = book.rules_for(**ids, user_id=None, models=())
    assert book.rules_for(**ids, user_id=None, models=())[0] is before, "remembered"
    book.replace([Rule(ORGANIZATION, "key", KEY, requests_per_minute=60)])
    [after] = book.rules_for(**ids, user_id=None, models=())
    assert (after.limit, after.key) == (60, before.key)


def test_tokens_are_claimed_as_estimated_and_streams_only_by_streams() -> None:
    rule = Rule(ORGANIZATION, "key", KEY, requests_per_minute=5, tokens_per_minute=100, concurrent_streams=2)
    claims = book_of(rule).rules_for(
        organization_id=ORGANIZATION, project_id=PROJECT, key_id=KEY, user_id=None, models=()
    )
    streamed = counting(claims, tokens=42, stream=True)
    assert [(claim.kind, claim.amount) for claim in streamed] == [("requests", 1), ("tokens", 42), ("streams", 1)]
    assert [claim.kind for claim in counting(claims, tokens=42, stream=False)] == ["requests", "tokens"]


async def test_rules_are_read_from_the_database(tenant: Tenant) -> None:
    with psycopg.connect(tenant.dsn) as connection:
        connection.execute(
            "insert into ali.rate_limit (id, organization_id, scope, scope_id, model, tokens_per_minute)"
            " values (%s, %s, 'project', %s, 'gpt-4*', 1000)",
            (uuid7(), tenant.organization_id, tenant.project_id),
        )
    book = RuleBook(requests_per_key=None)
    pool = make_pool(tenant.dsn, size=1)
    await pool.open()
    await book.reload(pool)
    await pool.close()
    [claim] = book.rules_for(
        organization_id=tenant.organization_id,
        project_id=tenant.project_id,
        key_id=tenant.key_id,
        user_id=None,
        models=("gpt-4.1",),
    )
    assert (claim.scope, claim.kind, claim.limit, claim.model) == ("project", "tokens", 1000, "gpt-4*")


@pytest.mark.parametrize(
    ("column", "value"), [("scope", "planet"), ("model", "gpt*4"), ("model", ""), ("requests_per_minute", -1)]
)
def test_the_database_refuses_rules_that_make_no_sense(tenant: Tenant, column: str, value: object) -> None:
    row = {
        "id": uuid7(),
        "organization_id": tenant.organization_id,
        "scope": "organization",
        "model": None,
        "requests_per_minute": 5,
    } | {column: value}
    with psycopg.connect(tenant.dsn) as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "insert into ali.rate_limit (id, organization_id, scope, model, requests_per_minute)"
            " values (%(id)s, %(organization_id)s, %(scope)s, %(model)s, %(requests_per_minute)s)",
            row,
        )
