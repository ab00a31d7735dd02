"""What keeps a sick provider from making the service sick: circuit breakers and a retry budget. Pure, clock given."""

from dataclasses import dataclass

_TRIP_AFTER = 5
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class CircuitBreaker:
    """One target's health. After 5 failures in a row it is left alone for 2 s, then for twice as long each time a probe
    fails, up to 30 s; one request at a time is the probe. `rest` is a provider's own word to stay away (`retry-after`).
    """

    failures: int = 0
    open_until_s: float = 0.0
    resting_until_s: float = 0.0
    probing: bool = False
    pause_s: float = _FIRST_PAUSE_S

    def is_open(self) -> bool:
        """The target has failed too often and has not answered since."""
        return self.failures >= _TRIP_AFTER

    def admits(self, *, now_s: float) -> bool:
        """Whether a request may be sent; one that is let through an open circuit is its probe."""
        if not self.is_open():
            return True
        if self.probing or now_s < self.open_until_s:
            return False
        self.probing = True
        return True

    def resting(self, *, now_s: float) -> bool:
        """The provider asked to be left alone for now."""
        return now_s < self.resting_until_s

    def succeeded(self) -> None:
        """The target answered, be it with a refusal that is the caller's fault."""
        self.failures = 0
        self.probing = False
        self.pause_s = _FIRST_PAUSE_S

    def failed(self, *, now_s: float) -> None:
        """The target did not answer, or with its own failure."""
        self.failures += 1
        if self.failures > _TRIP_AFTER and self.probing:
            self.pause_s = min(self.pause_s * 2, _LONGEST_PAUSE_S)
        self.probing = False
        if self.is_open():
            self.open_until_s = now_s + self.pause_s

    def abandoned(self) -> None:
        """The request ended without an outcome (its caller left): another may probe."""
        self.probing = False

    def rest(self, *, until_s: float) -> None:
        """Stay away until then, where there is another target."""
        self.resting_until_s = max(self.resting_until_s, until_s)


class RetryBudget:
    """Lets attempts beyond the first be at most a tenth of all requests, plus a reserve of 10 for quiet times.

    Without it, retries multiply the load on a provider just when it fails (Google SRE book, "Handling overload").
    """

    def __init__(self, *, ratio: float = 0.1, reserve: float = 10.0, ceiling: float = 100.0) -> None:
        self._ratio = ratio
        self._ceiling = ceiling
        self._balance = reserve

    def request(self) -> None:
        """A request came: a tenth of an attempt is earned."""
        self._balance = min(self._balance + self._ratio, self._ceiling)

    def spend(self) -> bool:
        """Take one extra attempt, if there is one."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True
