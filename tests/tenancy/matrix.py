"""The cells of the matrix, and what the documentation says of each: operation x caller x identifier.

Pure, and built from the registry, the table of roles and the permission that the OpenAPI document shows.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from ali.features.identity.roles import Permission
from ali.kernel.ids import uuid7
from tests.tenancy.ground import FORM_TYPE, OF_AN_ORGANIZATION, Land, as_form, as_json, neighbour_of
from tests.tenancy.registry import REGISTRY, Call
from tests.tenancy.standing import STANDINGS, Standing
from tests.tenancy.wire import Request

HEADER: Final = "OpenAI-Project"
EVERYWHERE: Final = "*"
"""All of a call's identifiers at once."""
WHOSE: Final = ("own", "other", "foreign", "random", "malformed")
"""Whose identifier stands in a cell's place: the caller's own project's or organization's, another project's of the
same organization, another organization's, nobody's, or what is no identifier.
"""
MALFORMED: Final = "x"
NOT_THERE: Final = ("foreign", "random", "malformed", "other")

_NAME: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One request of the matrix. `place` None: the call with the caller's own identifiers and no more."""

    operation: str
    call: Call
    standing: Standing
    place: str | None = None
    whose: str = "own"

    def __str__(self) -> str:
        at = f", {self.whose} {self.place}" if self.place else ""
        return f"{self.operation} by {self.standing}{at}"


def cells(operation: str) -> Iterator[Cell]:
    """Every cell of an operation."""
    for call in REGISTRY[operation]:
        for standing in STANDINGS:
            yield Cell(operation=operation, call=call, standing=standing)
            for place in (*call.ids, *call.cursors, *call.members, *call.filters, HEADER):
                for whose in WHOSE:
                    if _is_asked(call, standing, place, whose):
                        yield Cell(operation=operation, call=call, standing=standing, place=place, whose=whose)
            if len(call.ids) > 1:
                for whose in ("foreign", "random"):
                    yield Cell(operation=operation, call=call, standing=standing, place=EVERYWHERE, whose=whose)


def _is_asked(call: Call, standing: Standing, place: str, whose: str) -> bool:
    """Whether there is such an identifier, and it is not the caller's own all the same."""
    if call.over == "nothing":
        return False
    if place == HEADER and call.over != "acting":
        return whose in ("foreign", "random")  # the header says where to act, and these act nowhere
    kind = _kind(call, place) or "project"
    if whose == "own":
        # The others are in the call without a place.
        return place in call.filters or place in call.members or place == HEADER
    if kind == "address" and place in call.ids:
        return whose in ("foreign", "random")
    if kind == "model":
        return whose in ("random", "malformed")
    return whose != "other" or _is_beside(call, standing, place, kind)


def _is_beside(call: Call, standing: Standing, place: str, kind: str) -> bool:
    """Whether a thing of the other project is beyond what the caller sees in this place."""
    of_no_project = kind in ("organization", "address", *OF_AN_ORGANIZATION) and kind != "admin_key"
    if place in call.cursors or of_no_project:
        return False  # a place in time, or a thing of no project
    if kind == "admin_key" or (call.over == "project" and place in call.ids and place != "project_id"):
        return True  # a key of a project is none of the organization's, and the path names the project
    if call.over == "acting" and place != HEADER:
        return True  # it is done in one project, however many the caller reaches
    return not standing.reaches_other


def _kind(call: Call, place: str) -> str | None:
    """The kind of what stands in a place of the call."""
    return call.ids.get(place) or call.cursors.get(place) or call.members.get(place) or call.filters.get(place)


def expected(cell: Cell, permission: Permission | None) -> int:
    """The answer's status as the documentation has it; 200 for whatever succeeds."""
    call, standing = cell.call, cell.standing
    if call.over == "nothing":
        return call.answers
    if cell.place == HEADER and cell.whose == "malformed":
        return 400
    if not standing.alive:
        return 401
    if cell.place == HEADER and not (cell.whose == "own" and standing.reaches_own):
        return 401
    if call.over == "oneself":
        return call.answers if standing.holder == "session" else 403
    if permission not in standing.carried or call.over == "operator":
        return 403
    return _refused_over(cell) or _refused_place(cell) or 200


def _refused_over(cell: Cell) -> int | None:
    """What the caller's reach says, before any thing is looked for."""
    call, standing = cell.call, cell.standing
    if call.over == "organization" and not standing.over_organization:
        return 403
    if call.over == "acting" and not standing.reaches_own:
        return 400  # no project of theirs to act in
    if call.over == "project" and not standing.reaches_own:
        return 404
    return None


def _refused_place(cell: Cell) -> int | None:
    """What the identifiers say, to a caller who may do such a thing."""
    call, standing, whose = cell.call, cell.standing, cell.whose
    if cell.place in call.cursors:
        return 400 if whose == "malformed" else None
    if cell.place in call.members:
        return None if whose == "own" else 400
    if cell.place in call.filters or cell.place == HEADER:
        whose = "own"
    kinds = set(call.ids.values())
    if call.over == "within" and standing.bound and kinds & {"organization", *OF_AN_ORGANIZATION}:
        return 404  # nothing of the organization is there for a key of a project
    if call.over == "within" and not standing.reaches_own and kinds & {"project", "key", "budget", "limit"}:
        return 404
    if whose != "own":
        return call.missing
    return 403 if call.of_people and not standing.personal else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lands:
    """Whose things there are: of the callers' own project, of another one beside it, and of a stranger."""

    own: Land
    other: Land
    foreign: Land

    def name(self, kind: str, whose: str) -> str:
        """The identifier of a thing of `kind`."""
        match whose:
            case "own":
                return self.own.names[kind]
            case "other":
                # A key of a project is in no list of the organization's own keys.
                return self.other.names["key" if kind == "admin_key" else kind]
            case "foreign":
                return self.foreign.names[kind]
            case "random":
                return "no-such-model" if kind == "model" else neighbour_of(self.foreign.names[kind])
            case _:
                return MALFORMED


def request_of(cell: Cell, lands: Lands, *, own: Mapping[str, str]) -> Request:
    """The cell's request. `own`: the caller's own things, by kind."""
    call, headers = cell.call, dict(cell.call.headers)
    names = {place: own[kind] for place, kind in call.ids.items()}
    query = dict(call.query)
    if cell.place == EVERYWHERE:
        names = {place: lands.name(kind, cell.whose) for place, kind in call.ids.items()}
    elif cell.place == HEADER:
        headers[HEADER] = lands.name("project", cell.whose)
    elif (place := cell.place) and place in call.ids:
        names[place] = lands.name(call.ids[place], cell.whose)
    elif place:
        query[place] = lands.name(_kind(call, place) or "", cell.whose)
    return written(cell.operation, call, names=names, query=query, headers=headers)


def written(
    operation: str,
    call: Call,
    *,
    names: Mapping[str, str],
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Request:
    """The request of `operation` with these identifiers in their places."""
    method, _, path = operation.partition(" ")
    values = {**names, "fresh": uuid7().hex}
    target = _NAME.sub(lambda found: quote(values[found[1]], safe=""), path)
    if query := call.query if query is None else query:
        target += "?" + urlencode(query)
    body = None if call.body is None else as_json(filled(call.body, values))
    named = dict(call.headers if headers is None else headers)
    if call.form is not None:
        body = as_form(call.form)
        named.setdefault("content-type", FORM_TYPE)
    return Request(method=method, target=target, headers=tuple(named.items()), body=body)


def filled(template: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """`template` with each `{name}` replaced."""
    if isinstance(template, str):
        return _NAME.sub(lambda found: values[found[1]], template)
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    return template
