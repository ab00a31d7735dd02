"""Budgets in a test's database, as the service finds them there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg

from ali.features.metering.record import OpenRecord
from ali.kernel.ids import uuid7
from ali.kernel.service_role import with_role
from tests.fixtures.database import Tenant

MODEL: Final = "gpt-priced"
PRICES: Final = {MODEL: {"input": 0, "output": 1000, "max_output_tokens": 64}}
"""A thousandth of a dollar a token of the answer, nothing for the question: what is reserved is what is spent."""
TOKENS: Final = 16
COST: Final = TOKENS * 1000
ASKING: Final = {
    "model": MODEL,
    "max_tokens": TOKENS,
    "messages": [{"role": "user", "content": f"[[tokens:{TOKENS}]] Say it in so many words, and then again."}],
}


def add_budget(
    tenant: Tenant,
    *,
    limit: int,
    scope: str = "project",
    of: UUID | None = None,
    period: str = "month",
    mode: str = "hard",
    warn: tuple[int, ...] = (),
    url: str | None = None,
    moment: datetime | None = None,
) -> UUID:
    """A budget of the tenant's project, unless another scope is named, made as the service makes it."""
    ids = {"organization": tenant.organization_id, "project": tenant.project_id, "key": tenant.key_id}
    budget = uuid7()
    with psycopg.connect(tenant.dsn) as owner:
        owner.execute(
            "insert into ali.budget (id, organization_id, project_id, scope_kind, scope_id, period, mode,"
            " limit_microusd, warn_percents, webhook_url) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(budget, tenant.organization_id, tenant.project_id if scope in ("project", "key") else None),
                *(scope, of or ids[scope], period, mode, limit, list(warn), url),
            ),
        )
        owner.execute("select ali.open_budget(%s, %s)", (budget, moment or datetime.now(UTC)))
        owner.execute("select ali.advance_access_epoch()")
    return budget


@dataclass(frozen=True, slots=True)
class Stand:
    """A budget's sums and its reservations, over all periods."""

    spent: int
    reserved: int
    held: int
    reservations: int


def stand(dsn: str, budget: UUID) -> Stand:
    """How a budget stands; 0 everywhere where it never counted."""
    with psycopg.connect(dsn) as owner:
        return stand_on(owner, budget)


def stand_on(owner: psycopg.Connection, budget: UUID) -> Stand:
    """As `stand`, by a session that is open."""
    row = owner.execute(
        "select coalesce(sum(spent_microusd), 0)::bigint, coalesce(sum(reserved_microusd), 0)::bigint,"
        " (select coalesce(sum(amount_microusd), 0)::bigint from ali.budget_reservation where budget_id = %(id)s),"
        " (select count(*) from ali.budget_reservation where budget_id = %(id)s)"
        " from ali.budget_period where budget_id = %(id)s",
        {"id": budget},
    ).fetchone()
    assert row is not None
    return Stand(*row)


@dataclass(slots=True)
class Till:
    """What a service process does with budgets, by hand and at any time that is wanted."""

    connection: psycopg.Connection
    tenant: Tenant
    instance: UUID

    def reserve(
        self, budgets: list[UUID], amount: int, *, request: UUID | None = None, moment: datetime | None = None
    ) -> list[tuple[UUID, str]]:
        """What hinders it; nothing where it is reserved."""
        return self.connection.execute(
            "select * from ali.reserve_budgets(%s, %s, %s, %s, %s)",
            (request or uuid7(), self.instance, budgets, amount, moment or datetime.now(UTC)),
        ).fetchall()

    def settle(self, *records: dict[str, Any]) -> None:
        """Write these rows in one batch."""
        self.connection.execute("select ali.settle_usage(%s::jsonb)", (orjson.dumps(records).decode(),))

    def row(
        self, request: UUID, cost: int, *, outcome: str = "ok", moment: datetime | None = None, **more: object
    ) -> dict[str, Any]:
        """A usage record of the tenant's key."""
        record = OpenRecord(
            record_id=request,
            organization_id=self.tenant.organization_id,
            project_id=self.tenant.project_id,
            api_key_id=self.tenant.key_id,
            user_id=None,
            operation="chat.completions",
            model=MODEL,
            streamed=False,
            started_s=0.0,
        )
        record.outcome, record.cost_microusd = outcome, cost
        record.started_at = moment or record.started_at
        return {**record.row(self.instance), **more}

    def call(self, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever it answers
        """The first column of a function's answer."""
        row = self.connection.execute(statement.encode(), arguments).fetchone()
        return row[0] if row else None


@contextmanager
def till(tenant: Tenant) -> Iterator[Till]:
    """A session of the service's role, each statement its own transaction."""
    with psycopg.connect(with_role(tenant.dsn, "ali_service"), autocommit=True) as connection:
        yield Till(connection, tenant, uuid7())
