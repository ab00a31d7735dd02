"""The texts of an upstream that speaks the Responses API itself, without the marks by which its model cites.

What the upstream says of a text once more when it ends (the text, its part, its item) is said as it was shown.
"""

from typing import Any, Final

from ali.providers.turns.citing import Citations, CitedText, Json, Piece, moved
from ali.providers.turns.forwarded import DELTAS, ForwardedItem
from ali.providers.turns.writer import OutputWriter

_TEXT: Final = DELTAS["response.output_text.delta"]
_ANNOTATED: Final = "response.output_text.annotation.added"
_OUR_OWN: Final = (*("type", "sequence_number", "item_id", "output_index", "content_index", "delta", "logprobs"),)


class _Part:
    """One part of text of a message while it streams."""

    __slots__ = ("annotations", "raw", "shown", "text", "waiting_logprobs")

    def __init__(self, citations: Citations) -> None:
        self.text = CitedText(citations)
        self.raw: list[str] = []
        self.shown: list[str] = []
        self.annotations: list[Any] = []
        self.waiting_logprobs: list[Any] = []

    def kept(self, due: list[Piece]) -> list[Piece]:
        """`due`, once it is noted."""
        self.shown += [piece for piece in due if isinstance(piece, str)]
        self.annotations += [piece for piece in due if not isinstance(piece, str)]
        return due

    def annotate(self, annotation: Any) -> Any:  # noqa: ANN401 - the upstream's JSON
        """An annotation of the upstream's own, as one of what is shown."""
        annotation = moved(annotation, self.text) if isinstance(annotation, dict) else annotation
        self.annotations.append(annotation)
        return annotation


class CitedMessages:
    """The texts of one turn. Parts are known by the item's index in our output, and their place in its content."""

    __slots__ = ("_citations", "_parts", "_writer")

    def __init__(self, citations: Citations, writer: OutputWriter) -> None:
        self._citations = citations
        self._writer = writer
        self._parts: dict[tuple[int, int], _Part] = {}

    def _part(self, index: int, place: int) -> _Part:
        found = self._parts.get((index, place))
        if found is None:
            found = self._parts[index, place] = _Part(self._citations)
        return found

    def feed(self, item: ForwardedItem, place: int, delta: str) -> list[Piece]:
        """More of a text: what is due. A `[delta]` goes on as it came; all else is for `show`."""
        part = self._part(item.index, place)
        part.raw.append(delta)
        due = part.kept(part.text.feed(delta))
        return ["", *due] if part.waiting_logprobs and due == [delta] else due

    def show(self, item: ForwardedItem, place: int, due: list[Piece], fields: Json) -> None:
        """Write what is due of a delta, whose event had `fields`; its log probabilities go with the next text."""
        part = self._part(item.index, place)
        place_of = {"item_id": item.item_id, "output_index": item.index, "content_index": place}
        others = {name: value for name, value in fields.items() if name not in _OUR_OWN}
        logprobs = fields.get("logprobs")
        part.waiting_logprobs += logprobs if isinstance(logprobs, list) else []
        number = len(part.annotations) - sum(not isinstance(piece, str) for piece in due)
        for piece in filter(None, due):
            if isinstance(piece, str):
                item.grow(_TEXT, place, piece)
                waiting, part.waiting_logprobs = part.waiting_logprobs, []
                self._writer.forward(_TEXT.name, {**place_of, "delta": piece, "logprobs": waiting, **others})
                others = {}
            else:
                item.annotate(place, piece)
                self._writer.event(_ANNOTATED, **place_of, annotation_index=number, annotation=piece)
                number += 1

    def end_as_shown(self, item: ForwardedItem, place: int, kind: str, fields: Json) -> None:
        """Change the `fields` of an event of type `kind` that tells of a text, or of a part of it, as a whole."""
        match kind:
            case "response.output_text.done" if isinstance(fields.get("text"), str):
                part = self._part(item.index, place)
                self.show(item, place, part.kept(part.text.end()), {})
                if part.waiting_logprobs:
                    place_of = {"item_id": item.item_id, "output_index": item.index, "content_index": place}
                    self._writer.forward(_TEXT.name, {**place_of, "delta": "", "logprobs": part.waiting_logprobs})
                fields["text"] = self.whole_part(item.index, place, {**fields, "type": "output_text"})["text"]
            case "response.content_part.done":
                fields["part"] = self.whole_part(item.index, place, fields.get("part"))
            case "response.output_text.annotation.added":
                part = self._part(item.index, place)
                fields["annotation_index"] = len(part.annotations)
                fields["annotation"] = part.annotate(fields.get("annotation"))
            case _:
                pass

    def whole_part(self, index: int, place: int, given: Any) -> Any:  # noqa: ANN401 - the upstream's JSON
        """A part that is whole, as it is shown."""
        if not isinstance(given, dict) or given.get("type") != "output_text" or not isinstance(given.get("text"), str):
            return given
        part = self._part(index, place)
        if "".join(part.raw) != given["text"]:  # it came at once, or is not what came in pieces
            part = self._parts[index, place] = _Part(self._citations)
            part.raw.append(given["text"])
            part.kept(part.text.feed(given["text"]))
            part.kept(part.text.end())
        theirs = given.get("annotations")
        for annotation in theirs if isinstance(theirs, list) else ():
            if not isinstance(annotation, dict) or moved(annotation, part.text) not in part.annotations:
                part.annotate(annotation)
        return {**given, "text": "".join(part.shown), "annotations": list(part.annotations)}

    def whole_item(self, index: int, given: Json) -> Json:
        """An item that is whole, as it is shown."""
        content = given.get("content")
        if given.get("type") != "message" or not isinstance(content, list):
            return given
        return {**given, "content": [self.whole_part(index, place, part) for place, part in enumerate(content)]}
