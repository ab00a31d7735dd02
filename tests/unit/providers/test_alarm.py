"""A deadline that moves: it rings once, at the deadline in force, and keeps at most one timer in the loop."""

import asyncio
import math
from collections.abc import Callable

import pytest
import uvloop

from ali.providers.alarm import Alarm

EARLY_S = 0.005
LATE_S = 0.4


class Bell:
    """An alarm of the running loop, and when it rang."""

    def __init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.rang_s: list[float] = []
        self.alarm = Alarm(asyncio.get_running_loop(), lambda: self.rang_s.append(self.clock()))


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    def run_on_a_loop(scenario: Callable[[], object]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario())  # type: ignore[arg-type] # a coroutine

    return run_on_a_loop


@pytest.mark.parametrize("before_s", [0.03, 0.09, 5.0], ids=["sooner", "about", "later"])
def test_it_rings_once_at_the_deadline_in_force(run: Callable[..., None], before_s: float) -> None:
    async def scenario() -> None:
        bell = Bell()
        began_s = bell.clock()
        bell.alarm.set(began_s + before_s)
        bell.alarm.set(began_s + 0.1)
        await asyncio.sleep(0.1 + LATE_S)
        [rang_s] = bell.rang_s
        assert 0.1 - EARLY_S <= rang_s - began_s < 0.1 + LATE_S

    run(scenario)


def test_it_is_silent_when_nobody_waits_and_rings_for_the_next_wait(run: Callable[..., None]) -> None:
    async def scenario() -> None:
        bell = Bell()
        bell.alarm.set(bell.clock() + 0.02)
        bell.alarm.stop()
        await asyncio.sleep(0.06)
        assert bell.rang_s == []
        bell.alarm.set(bell.clock() + 0.02)
        await asyncio.sleep(0.02 + LATE_S)
        assert len(bell.rang_s) == 1

    run(scenario)


def test_what_is_closed_or_has_no_deadline_leaves_nothing_in_the_loop(run: Callable[..., None]) -> None:
    async def scenario() -> None:
        bell = Bell()
        bell.alarm.set(math.inf)
        assert bell.alarm._timer is None
        bell.alarm.set(bell.clock() + 0.02)
        bell.alarm.close()
        assert bell.alarm._timer is None
        await asyncio.sleep(0.06)
        assert bell.rang_s == []

    run(scenario)


def test_a_thousand_waits_that_end_in_time_share_one_timer(run: Callable[..., None]) -> None:
    async def scenario() -> None:
        bell = Bell()
        timers = set()
        for _ in range(1000):
            bell.alarm.set(bell.clock() + 5)
            timers.add(bell.alarm._timer)
            bell.alarm.stop()
        assert len(timers) == 1
        assert bell.rang_s == []
        bell.alarm.close()

    run(scenario)
