"""The turn of a response that tells in short what was said before: asked, read, and sealed into its compaction item."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ali.features.responses.compaction import (
    Plan,
    compaction_item,
    extract,
    planned,
    summary_in,
    summary_question,
)
from ali.features.responses.history import ANY_MODEL, told
from ali.features.responses.order import Engine, Order
from ali.features.responses.turn import Question, StreamedTurn, quotes_only
from ali.providers.turns import OutputWriter, new_item_id

Json = dict[str, Any]


def due_compaction(engine: Engine, order: Order, said: Sequence[Json]) -> "CompactingTurn | None":
    """The compaction that comes before the answer to `said`, all items in order; None where none is due."""
    request = order.request
    if not (request.compacts or request.only_compacts):
        return None
    plan = planned(
        said,
        threshold=request.compact_threshold,
        instructions=request.document.get("instructions") or "",
        window_tokens=order.route.window_tokens,
        asked_for=request.only_compacts,
        unseal=engine.seals.unsealing(project_id=order.project_id, model=ANY_MODEL),
    )
    return None if plan is None else CompactingTurn(engine, order, plan)


class CompactingTurn:
    """One compaction under way. `turn` is set by whoever asks; None where no model is asked, for it only quotes.

    `begin`, `read` where there is a turn, `end`.
    """

    def __init__(self, engine: Engine, order: Order, plan: Plan) -> None:
        self._plan = plan
        self._item_id = new_item_id("compaction")
        self._seal = engine.seals.sealing(project_id=order.project_id, model=ANY_MODEL)
        self.writer = OutputWriter()
        """What the summary is written into: nobody is shown its events."""
        self.question: Question | None = None
        if not quotes_only(order.route.targets[0]):
            self.question = summary_question(
                plan.earlier, document=order.request.document, window_tokens=order.route.window_tokens
            )
        self.turn: StreamedTurn | None = None
        self.summary = ""

    @property
    def shown(self) -> list[Json]:
        """What the model is shown afterwards."""
        return [told(self.summary), *self._plan.later]

    def begin(self, writer: OutputWriter) -> int:
        """The item as it begins, and the event that says so; its index."""
        at = writer.begin_item({"id": self._item_id, "type": "compaction", "encrypted_content": ""})
        writer.event("response.compaction.compacting", item_id=self._item_id, output_index=at)
        return at

    async def read(self) -> None:
        """Read the summary to its end. Raises `UpstreamError`."""
        assert self.turn is not None  # noqa: S101 - called where a model was asked
        turn = self.turn
        try:
            async for _ in turn.stream.chunks():
                pass
        finally:
            await asyncio.shield(turn.stream.close())
        if not quotes_only(turn.target):  # else the model that only quotes stood in for another
            self.summary = summary_in(self.writer.output, provider=turn.target.upstream.name)

    def end(self, writer: OutputWriter, at: int) -> None:
        """The item, whole."""
        self.summary = self.summary or extract(self._plan.earlier)
        payload = self._plan.payload(self.summary)
        writer.end_item(at, compaction_item(self._item_id, payload=payload, seal=self._seal))
