"""Which calls the ledger writes when they open: those that last, and no others."""

import time

from ali.features.metering.ledger import OPEN_AFTER_S, Ledger
from ali.features.metering.record import OpenRecord
from ali.kernel.db import make_pool
from ali.kernel.ids import uuid7
from ali.kernel.telemetry import Metrics

NOWHERE = "postgresql://nobody@/nothing?host=/nowhere"


def ledger() -> Ledger:
    """One whose writer does not run: what it would write is looked at."""
    return Ledger(NOWHERE, make_pool(NOWHERE, size=1), instance_id=uuid7(), metrics=Metrics(), prepares=False)


def call(*, age_s: float) -> OpenRecord:
    return OpenRecord(
        record_id=uuid7(),
        organization_id=uuid7(),
        project_id=uuid7(),
        api_key_id=None,
        user_id=None,
        operation="responses",
        model="gpt-4.1",
        streamed=False,
        started_s=time.monotonic() - age_s,
    )


async def test_a_call_is_not_opened_because_one_before_it_was_admitted_long_ago() -> None:
    kept = ledger()
    ended, young = call(age_s=60), call(age_s=-60)
    for record in (ended, young):
        kept.admit(record)
    ended.outcome = "ok"
    kept._open_lapsed()
    assert not kept._open_due
    timer = kept._timer
    assert timer is not None  # it looks again once the young one has lasted
    assert timer.when() - time.monotonic() > 59


async def test_only_calls_that_last_are_opened_and_the_others_are_looked_at_later() -> None:
    kept = ledger()
    lasting, young = call(age_s=OPEN_AFTER_S), call(age_s=-60)
    for record in (lasting, young):
        kept.admit(record)
    kept._open_lapsed()
    assert kept._open_due
    assert kept._take_opening() == [lasting]
    assert list(kept._opening) == [young]
    assert kept._timer is not None
    assert not kept._open_due
