"""What a response has used over all its turns, and whether the next turn is still within what is held for it."""

from typing import Any

import orjson

from ali.features.chat.attempt import estimated_usage
from ali.features.chat.envelope import RequestEnvelope
from ali.features.chat.operations import RESPONSES
from ali.features.chat.routing import Route, Target
from ali.features.chat.spend_bound import most_microusd
from ali.features.metering.budgets.reservations import BudgetExhausted
from ali.features.responses.order import Order
from ali.features.responses.turn import Question
from ali.providers.catalog import Prices, cost_microusd
from ali.providers.contract import StreamRelay, Usage

Json = dict[str, Any]


def envelope_for(question: Question, *, model: str, most_tokens: int) -> RequestEnvelope:
    """A question as the hot path weighs requests."""
    body = orjson.dumps(question.request(model=model))
    return RequestEnvelope(operation=RESPONSES, body=body, model=model, stream=True, most_tokens=most_tokens)


def most_of_turn(route: Route, question: Question, *, model: str, most_tokens: int) -> int:
    """What one turn costs at most, in micro-dollars."""
    return most_microusd(route, envelope_for(question, model=model, most_tokens=most_tokens))


class Spending:
    """The usage of one response, turn by turn."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._done = Usage()
        self._reported = True
        self._relay: StreamRelay | None = None
        self._question: Question | None = None
        self.prices: Prices | None = None

    def begin_turn(self, question: Question) -> None:
        """The model is asked."""
        self._question = question
        self._relay = None

    def answered(self, target: Target, relay: StreamRelay) -> None:
        """A target has begun to answer."""
        self.prices = target.prices
        self._relay = relay

    def end_turn(self) -> None:
        """The turn is over: what it used is added up."""
        usage = self._of_turn(cut=False)
        self._done = _sum(self._done, usage)
        self._reported = self._reported and usage.reported
        self._relay = None
        self._question = None

    def so_far(self, *, cut: bool) -> Usage:
        """All that was used. `cut`: the turn under way was broken off, so what it used may have to be estimated."""
        total = _sum(self._done, self._of_turn(cut=cut)) if self._question is not None else _sum(self._done, Usage())
        total.reported = self._reported and (self._question is None or self._of_turn(cut=cut).reported)
        return total

    def admit_turn(self) -> None:
        """Raises `BudgetExhausted` where another turn could cost more than is held for the response."""
        held = self._order.record.reserved_microusd
        if held is None or self.prices is None:
            return
        if cost_microusd(self.prices, self._done) + self._order.turn_bound_microusd > held:
            raise BudgetExhausted(
                "What a budget holds for this response does not cover another turn, so none was begun. Ask for fewer "
                "tool calls, or have the budget raised.",
                retry_after_s=1.0,
            )

    def _of_turn(self, *, cut: bool) -> Usage:
        """What the provider said of the turn under way, or an estimate where it said nothing, or not all."""
        relay, question = self._relay, self._question
        if question is None:
            return Usage(reported=True)
        if relay is None:
            if not (cut and self._order.record.attempts):
                return Usage(reported=True)
            return self._estimate(question, output_chars=0)
        if relay.usage.reported and relay.finished:
            return relay.usage
        estimate = self._estimate(question, output_chars=relay.output_chars)
        if not relay.usage.reported:
            return estimate
        return Usage(
            input_tokens=relay.usage.input_tokens,
            cached_input_tokens=relay.usage.cached_input_tokens,
            cache_write_tokens=relay.usage.cache_write_tokens,
            output_tokens=max(relay.usage.output_tokens, estimate.output_tokens),
            reasoning_tokens=relay.usage.reasoning_tokens,
        )

    def _estimate(self, question: Question, *, output_chars: int) -> Usage:
        envelope = envelope_for(question, model=self._order.request.model, most_tokens=0)
        return estimated_usage(envelope, output_chars=output_chars)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        cached_input_tokens=one.cached_input_tokens + other.cached_input_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
        reported=one.reported and other.reported,
    )
