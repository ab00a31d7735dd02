"""Who may call what, on whose things: every operation of the document x every caller x every identifier.

What is foreign is answered like what is not there, byte for byte and for the same work; a role without the permission is
refused before any identifier is looked at; and what was refused has changed nothing for anybody.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.tenancy.matrix import EVERYWHERE, HEADER, Cell, cells, expected, request_of
from tests.tenancy.registry import REGISTRY
from tests.tenancy.stage import Stage, staged
from tests.tenancy.standing import STANDINGS
from tests.tenancy.wire import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEWEST_CELLS = 10_000
"""As docs/explanation/tenancy.md says."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    home: Path = tmp_path_factory.mktemp("matrix")
    async with staged(worker_dsn, home, drain_s=1) as stage:
        yield stage


async def test_the_matrix_has_every_operation_of_the_document_and_no_other(stage: Stage) -> None:
    """A new route is called by everybody here, or this fails: `registry` says how."""
    assert set(REGISTRY) == set(stage.operations())


async def test_the_matrix_is_as_large_as_it_is_said_to_be() -> None:
    count = sum(1 for operation in REGISTRY for _ in cells(operation))
    assert count >= FEWEST_CELLS


@pytest.mark.parametrize("operation", REGISTRY)
async def test_everybody_gets_what_their_role_and_reach_allow_and_no_more(stage: Stage, operation: str) -> None:
    permission = stage.permission(operation)
    asked = [(cell, expected(cell, permission)) for cell in cells(operation)]
    before = await stage.contents()
    refused = [(cell, status) for cell, status in asked if status != 200]
    answers = await asyncio.gather(*(_asked(stage, cell) for cell, _ in refused))
    wrong = [
        f"{cell}: {answer.status} and not {status}: {answer.body[:150]!r}"
        for (cell, status), answer in zip(refused, answers, strict=True)
        if answer.status != status
    ]
    assert not wrong, "\n".join(wrong)
    assert await stage.contents() == before, "what is refused changes nothing"
    found = dict(zip((cell for cell, _ in refused), answers, strict=True))
    for cell, status in asked:
        if status == 200:
            found[cell] = await _done(stage, cell)
    _require_nothing_beyond(stage, found)
    _require_alike(found)


async def _asked(stage: Stage, cell: Cell) -> Answer:
    request = request_of(cell, stage.lands, own=stage.lands.own.names)
    return await stage.ask(request, secret=stage.credentials[cell.standing])


async def _done(stage: Stage, cell: Cell) -> Answer:
    """What is allowed, done with things of its own."""
    own = stage.lands.own.names if cell.operation.startswith("GET ") else stage.fresh(cell.call)
    request = request_of(cell, stage.lands, own=own)
    answer = await stage.ask(request, secret=stage.credentials[cell.standing])
    if cell.call.undo:
        stage.ground.undo(cell.call.undo, stage.lands.own)
    assert answer.status == 200, f"{cell}: {answer.status}: {answer.body[:200]!r}"
    return answer


def _require_nothing_beyond(stage: Stage, found: dict[Cell, Answer]) -> None:
    """No answer names a thing of the stranger's, nor of a project that the caller does not reach."""
    theirs = {name[-32:].encode() for kind, name in stage.lands.foreign.names.items() if kind not in ("model",)}
    beside = {stage.lands.other.names[kind][-32:].encode() for kind in ("project", "key", "account", "budget")}
    for cell, answer in found.items():
        text = b"\n".join([answer.body, *(value.encode() for _, value in answer.headers)])
        beyond = theirs if cell.standing.reaches_other else theirs | beside
        assert not [name for name in beyond if name in text], f"{cell}: {answer.body[:300]!r}"


def _require_alike(found: dict[Cell, Answer]) -> None:
    """What is not there for the caller has one answer, and so has what their role does not carry."""
    groups: dict[tuple[object, ...], dict[Cell, Answer]] = defaultdict(dict)
    for cell, answer in found.items():
        if cell.whose in ("foreign", "random", "other") or (cell.whose == "malformed" and answer.status != 400):
            groups[id(cell.call), cell.standing, cell.place][cell] = answer
        if answer.status == 403 or (answer.status == 401 and cell.place != HEADER):
            groups[id(cell.call), cell.standing, answer.status][cell] = answer
    for group in groups.values():
        alike = {answer.apart_from_its_moment for answer in group.values()}
        assert len(alike) == 1, "\n".join(f"{cell}: {answer}" for cell, answer in group.items())
