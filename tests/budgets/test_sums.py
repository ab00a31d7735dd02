"""What the database itself holds: no overspending, sums that are true, in any order and at any time."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ali.kernel.ids import uuid7
from tests.budgets.ground import Stand, Till, add_budget, stand, stand_on, till
from tests.fixtures.database import Tenant, make_tenant

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.fixture
def counter(tenant: Tenant) -> Iterator[Till]:
    with till(tenant) as opened:
        yield opened


def test_what_is_reserved_and_spent_together_never_passes_the_limit(counter: Till, tenant: Tenant) -> None:
    budget = add_budget(tenant, limit=100)
    first, second = uuid7(), uuid7()
    assert counter.reserve([budget], 60, request=first) == []
    assert counter.reserve([budget], 41) == [(budget, "reserved")]
    assert counter.reserve([budget], 40, request=second) == []
    assert counter.reserve([budget], 101) == [(budget, "spent")]
    counter.settle(counter.row(first, 50), counter.row(second, 40))
    assert stand(tenant.dsn, budget) == Stand(spent=90, reserved=0, held=0, reservations=0)
    assert counter.reserve([budget], 11) == [(budget, "spent")]
    assert counter.reserve([budget], 10) == []


def test_several_budgets_hold_all_or_none(counter: Till, tenant: Tenant) -> None:
    wide, narrow = add_budget(tenant, limit=100, scope="organization"), add_budget(tenant, limit=30, scope="key")
    assert counter.reserve([narrow, wide], 40) == [(narrow, "spent")]
    assert stand(tenant.dsn, wide) == stand(tenant.dsn, narrow) == Stand(0, 0, 0, 0)
    request = uuid7()
    assert counter.reserve([wide, narrow], 25, request=request) == []
    assert counter.reserve([wide, narrow], 25) == [(narrow, "reserved")]
    assert stand(tenant.dsn, wide).reserved == 25
    counter.settle(counter.row(request, 20))
    assert stand(tenant.dsn, wide) == stand(tenant.dsn, narrow) == Stand(20, 0, 0, 0)


def test_a_record_is_charged_once_however_often_it_is_settled(counter: Till, tenant: Tenant) -> None:
    budget = add_budget(tenant, limit=100)
    request = uuid7()
    counter.reserve([budget], 30, request=request)
    counter.settle(counter.row(request, 0, outcome="open"))
    assert stand(tenant.dsn, budget).reserved == 30, "an open record lets nothing go"
    for _ in range(3):
        counter.settle(counter.row(request, 10))
    assert stand(tenant.dsn, budget) == Stand(10, 0, 0, 0)


def test_every_budget_of_the_record_is_charged_reserved_or_not_and_nobody_elses(counter: Till, tenant: Tenant) -> None:
    other, person = make_tenant(tenant.dsn), uuid7()
    charged = [
        add_budget(tenant, limit=9, scope="organization", mode="soft"),
        add_budget(tenant, limit=9, scope="project", period="day"),
        add_budget(tenant, limit=9, scope="key"),
        add_budget(tenant, limit=9, scope="user", of=person, mode="soft"),
    ]
    not_charged = [
        add_budget(other, limit=9, scope="organization"),
        add_budget(tenant, limit=9, scope="key", of=other.key_id),
        add_budget(tenant, limit=9, scope="user", of=uuid7()),
    ]
    counter.settle(counter.row(uuid7(), 50, user_id=person))
    assert [stand(tenant.dsn, budget).spent for budget in charged] == [50] * 4
    assert [stand(tenant.dsn, budget).spent for budget in not_charged] == [0] * 3


def test_a_lost_call_costs_nothing_until_it_turns_out_to_have_ended(counter: Till, tenant: Tenant) -> None:
    budget, request = add_budget(tenant, limit=100), uuid7()
    counter.reserve([budget], 30, request=request)
    counter.settle(counter.row(request, 0, outcome="open"))
    counter.call("select ali.close_orphans(interval '0')")
    counter.call("select ali.release_orphaned_reservations(interval '0')")
    assert stand(tenant.dsn, budget) == Stand(0, 0, 0, 0)
    counter.settle(counter.row(request, 12))
    assert stand(tenant.dsn, budget) == Stand(12, 0, 0, 0)


@pytest.mark.parametrize(("period", "step"), [("day", timedelta(hours=12)), ("month", timedelta(days=1))])
def test_a_new_period_starts_at_nothing_and_the_old_one_keeps_what_began_in_it(
    counter: Till, tenant: Tenant, period: str, step: timedelta
) -> None:
    budget = add_budget(tenant, limit=100, period=period, moment=NOON)
    before = uuid7()
    assert counter.reserve([budget], 100, request=before, moment=NOON) == []
    assert counter.reserve([budget], 1, moment=NOON + timedelta(hours=11, minutes=59)) == [(budget, "reserved")]
    assert counter.reserve([budget], 100, moment=NOON + step) == []
    counter.settle(counter.row(before, 70, moment=NOON))
    with psycopg.connect(tenant.dsn) as owner:
        periods = owner.execute(
            "select period_start::text, spent_microusd, reserved_microusd from ali.budget_period"
            " where budget_id = %s order by 1",
            (budget,),
        ).fetchall()
    old = "2026-03-31" if period == "day" else "2026-03-01"
    assert periods == [(old, 70, 0), ("2026-04-01", 0, 100)]


def test_a_new_budget_starts_from_what_its_period_has_seen(counter: Till, tenant: Tenant) -> None:
    for cost, moment in ((5, NOON), (7, NOON - timedelta(days=1)), (11, NOON - timedelta(days=31))):
        counter.settle(counter.row(uuid7(), cost, moment=moment))
    counter.settle(counter.row(uuid7(), 100, moment=NOON, project_id=uuid7(), organization_id=uuid7()))
    counter.settle(counter.row(uuid7(), 0, outcome="open", moment=NOON))
    expected = {"day": 5, "month": 12}
    for scope in ("organization", "project", "key"):
        for period, spent in expected.items():
            budget = add_budget(tenant, limit=100, scope=scope, period=period, moment=NOON)
            assert stand(tenant.dsn, budget).spent == spent, (scope, period)


def test_a_new_budget_waits_for_a_settlement_that_runs_and_counts_it_once(counter: Till, tenant: Tenant) -> None:
    add_budget(tenant, limit=1, scope="key")  # so that settlement looks at budgets at all
    with till(tenant) as slow, ThreadPoolExecutor(1) as apart:
        slow.connection.autocommit = False
        slow.settle(slow.row(uuid7(), 5))
        making = apart.submit(add_budget, tenant, limit=100)
        with pytest.raises(TimeoutError):
            making.result(0.3)
        slow.connection.commit()
        assert stand(tenant.dsn, making.result(5)).spent == 5


def test_what_a_living_process_holds_is_kept_and_what_a_dead_one_holds_is_not(counter: Till, tenant: Tenant) -> None:
    budget = add_budget(tenant, limit=100)
    counter.call("insert into ali.service_instance (id) values (%s) returning 1", counter.instance)
    counter.reserve([budget], 10)
    with till(tenant) as dead:
        dead.reserve([budget], 20)
        dead.call(
            "insert into ali.service_instance (id, heartbeat_at) values (%s, now() - interval '50 s') returning 1",
            dead.instance,
        )
        with psycopg.connect(tenant.dsn) as owner:
            owner.execute("update ali.budget_reservation set created_at = now() - interval '44 s'")
        counter.call("select ali.release_orphaned_reservations(interval '45 s')")
        assert stand(tenant.dsn, budget).reserved == 30, "what it reserved 44 s ago shows that it lived then"
        with psycopg.connect(tenant.dsn) as owner:
            owner.execute("update ali.budget_reservation set created_at = now() - interval '1 hour'")
        counter.call("select ali.release_orphaned_reservations(interval '45 s')")
    assert stand(tenant.dsn, budget) == Stand(spent=0, reserved=10, held=10, reservations=1)


def test_old_periods_are_forgotten_and_those_of_deleted_budgets(counter: Till, tenant: Tenant) -> None:
    budget = add_budget(tenant, limit=100, warn=(1,))
    old = datetime.now(UTC) - timedelta(days=500)
    counter.settle(counter.row(uuid7(), 5, moment=old), counter.row(uuid7(), 6))
    counter.call("select ali.forget_budget_periods(interval '400 days')")
    assert stand(tenant.dsn, budget).spent == 6
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute("delete from ali.budget where id = %s", (budget,))
    counter.call("select ali.forget_budget_periods(interval '400 days')")
    with psycopg.connect(tenant.dsn) as owner:
        left = owner.execute("select count(*) from ali.budget_notice where budget_id = %s", (budget,)).fetchone()
    assert (stand(tenant.dsn, budget).spent, left) == (0, (0,))


def test_the_door_that_clears_a_budget_leads_to_no_living_one(counter: Till, tenant: Tenant) -> None:
    budget = add_budget(tenant, limit=100)
    counter.reserve([budget], 10)
    counter.call("select ali.clear_budget(%s)", budget)
    assert stand(tenant.dsn, budget).reserved == 10


@pytest.mark.parametrize("table", ["budget_period", "budget_reservation", "budget_notice"])
def test_the_services_role_cannot_write_the_sums_itself(counter: Till, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        counter.connection.execute(psycopg.sql.SQL("delete from ali.{}").format(psycopg.sql.Identifier(table)))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        counter.connection.execute("select ali.charge_budgets(null)")


def test_any_interleaving_keeps_every_sum_true(worker_dsn: str) -> None:  # noqa: C901 - the machine's rules, each short
    """Against a model: what is reserved, settled, let go and given up, in any order, over two budgets and two days."""

    class Interleaving(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.tenant = make_tenant(worker_dsn)
            self.opened = till(self.tenant)
            self.till = self.opened.__enter__()
            self.owner = psycopg.connect(worker_dsn, autocommit=True)
            self.limits: dict[UUID, int] = {}
            self.spent: dict[tuple[UUID, int], int] = {}
            self.held: dict[UUID, tuple[int, int, list[UUID]]] = {}

        def teardown(self) -> None:
            self.opened.__exit__(None, None, None)
            self.owner.close()

        @initialize(limits=st.lists(st.integers(1, 100), min_size=2, max_size=2))
        def budgets(self, limits: list[int]) -> None:
            for scope, limit in zip(("project", "organization"), limits, strict=True):
                budget = add_budget(self.tenant, limit=limit, scope=scope, period="day", moment=NOON)
                self.limits[budget] = limit

        def free(self, budget: UUID, day: int) -> int:
            held = sum(amount for on, amount, of in self.held.values() if budget in of and on == day)
            return self.limits[budget] - self.spent.get((budget, day), 0) - held

        @rule(amount=st.integers(1, 60), day=st.integers(0, 1), both=st.booleans())
        def reserve(self, amount: int, day: int, both: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
            budgets, request = list(self.limits)[: 2 if both else 1], uuid7()
            hindrances = self.till.reserve(budgets, amount, request=request, moment=NOON + timedelta(days=day))
            refusing = {budget for budget in budgets if self.free(budget, day) < amount}
            assert {budget for budget, _ in hindrances} == refusing
            if not refusing:
                self.held[request] = (day, amount, budgets)

        @precondition(lambda self: self.held)
        @rule(data=st.data(), many=st.integers(1, 4))
        def settle(self, data: st.DataObject, many: int) -> None:
            rows = []
            for _ in range(min(many, len(self.held))):
                request = data.draw(st.sampled_from(sorted(self.held)))
                day, amount, _ = self.held.pop(request)
                cost = data.draw(st.integers(0, amount))
                rows.append(self.till.row(request, cost, moment=NOON + timedelta(days=day)))
                for budget in self.limits:  # each applies to the record, reserved in it or not
                    self.spent[budget, day] = self.spent.get((budget, day), 0) + cost
            self.till.settle(*rows)
            self.till.settle(*rows)

        @precondition(lambda self: self.held)
        @rule(data=st.data())
        def let_go(self, data: st.DataObject) -> None:
            request = data.draw(st.sampled_from(sorted(self.held)))
            del self.held[request]
            assert self.till.call("select ali.release_reservations(%s)", [request, uuid7()]) in (1, 2)

        @rule()
        def give_up(self) -> None:
            self.owner.execute(
                "update ali.budget_reservation set created_at = now() - interval '1 hour' where organization_id = %s",
                (self.tenant.organization_id,),
            )
            self.till.call("select ali.release_orphaned_reservations(interval '45 s')")
            self.held.clear()

        @invariant()
        def sums_are_true(self) -> None:
            for budget in self.limits:
                held = sum(amount for _, amount, of in self.held.values() if budget in of)
                spent = sum(spent for (of, _), spent in self.spent.items() if of == budget)
                reservations = sum(budget in of for _, _, of in self.held.values())
                assert stand_on(self.owner, budget) == Stand(spent, held, held, reservations)

    run_state_machine_as_test(
        Interleaving, settings=settings(max_examples=12, stateful_step_count=20, deadline=None, database=None)
    )


def test_many_at_once_neither_deadlock_nor_overspend(tenant: Tenant) -> None:
    """Eight sessions reserve, settle in batches, let go, give up and delete, in every order of budgets."""
    limit = 400
    budgets = [add_budget(tenant, limit=limit, scope=scope) for scope in ("organization", "project", "key")]
    doomed = add_budget(tenant, limit=limit, scope="project", period="day")

    def hammer(seed: int) -> int:
        rng, held, spent = random.Random(seed), [], 0  # noqa: S311 - a test's dice
        with till(tenant) as own:
            for _ in range(60):
                chosen = rng.sample([*budgets, doomed], rng.randint(3, 4))
                request, amount = uuid7(), rng.randint(1, 30)
                if not own.reserve(chosen, amount, request=request):
                    held.append((request, amount if set(budgets) <= set(chosen) else 0))
                if len(held) > 4:
                    rows = [own.row(request, rng.randint(0, amount)) for request, amount in held[:3]]
                    spent += sum(row["cost_microusd"] for row in rows)
                    rng.shuffle(rows)
                    own.settle(*rows)
                    own.call("select ali.release_reservations(%s)", [held[3][0]])
                    del held[:4]
                if rng.random() < 0.1:
                    own.call("select ali.release_orphaned_reservations(interval '45 s')")
            own.call("select ali.release_reservations(%s)", [request for request, _ in held])
        return spent

    with ThreadPoolExecutor(9) as pool:
        running = [pool.submit(hammer, seed) for seed in range(8)]
        with psycopg.connect(tenant.dsn) as owner:
            owner.execute("delete from ali.budget where id = %s", (doomed,))
            owner.execute("select ali.clear_budget(%s)", (doomed,))
        spent = sum(each.result(60) for each in running)
    for budget in budgets:
        assert stand(tenant.dsn, budget) == Stand(spent=spent, reserved=0, held=0, reservations=0)
    assert 0 < spent <= limit
    assert stand(tenant.dsn, doomed).held == 0
