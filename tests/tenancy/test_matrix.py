"""Who may call what, on whose things: every operation of the document x every caller x every identifier.

What is foreign is answered like what is not there, byte for byte and for the same work; a role without the permission
is refused before any identifier is looked at; and what was refused has changed nothing for anybody.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from ali.kernel.ids import uuid7
from tests.rules.tree import DOCS
from tests.tenancy.ground import as_json, neighbour_of
from tests.tenancy.matrix import HEADER, Cell, cells, expected, request_of
from tests.tenancy.registry import REGISTRY
from tests.tenancy.stage import Stage, staged
from tests.tenancy.standing import OWNER, Standing
from tests.tenancy.wire import Answer, Request, with_key

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWNER_OF_PROJECT = Standing(role="owner", holder="nobody", bound=True)
PERSON = Standing(role="owner", holder="person", bound=False, membership="owner")
UNKEYED = ("nothing", "oneself", "operator")
"""What a program's key does not get done."""
FEWEST_CELLS = 30_000
"""As docs/explanation/tenancy.md says."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(worker_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    home: Path = tmp_path_factory.mktemp("matrix")
    async with staged(worker_dsn, home, drain_s=1) as stage:
        yield stage


async def test_the_matrix_has_every_operation_of_the_document_and_no_other(stage: Stage) -> None:
    """A new route is called by everybody here, or this fails: `registry` says how."""
    assert set(REGISTRY) == set(stage.operations())


async def test_the_matrix_is_as_large_as_it_is_said_to_be(record_property: Callable[[str, object], None]) -> None:
    count = sum(1 for operation in REGISTRY for _ in cells(operation))
    assert count >= FEWEST_CELLS
    page = (DOCS / "explanation" / "tenancy.md").read_text(encoding="utf-8")
    assert f"more than {FEWEST_CELLS:,} cells" in page
    record_property("cells", count)


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
    allowed = [cell for cell, status in asked if status == 200]
    if operation.startswith("GET "):
        found |= dict(zip(allowed, await asyncio.gather(*(_done(stage, cell) for cell in allowed)), strict=True))
    else:
        found |= {cell: await _done(stage, cell) for cell in allowed}
    _require_nothing_beyond(stage, found)
    _require_alike(found)


@pytest.mark.parametrize("operation", REGISTRY)
async def test_what_is_foreign_costs_the_same_statements_as_what_is_not_there(stage: Stage, operation: str) -> None:
    """Of comparable time: the statements of the one are those of the other, in number, text and order."""
    for whose in (OWNER, OWNER_OF_PROJECT):
        found: dict[tuple[int, str | None], dict[str, list[str]]] = defaultdict(dict)
        for cell in cells(operation):
            if cell.standing == whose and cell.place is not None and cell.whose in ("foreign", "random"):
                with stage.statements() as statements:
                    await _asked(stage, cell)
                found[id(cell.call), cell.place][cell.whose] = statements
        for place, by_whose in found.items():
            assert len({tuple(statements) for statements in by_whose.values()}) == 1, place


@pytest.mark.parametrize(
    "operation",
    [name for name in REGISTRY if name.startswith("POST ") and REGISTRY[name][0].over not in UNKEYED],
)
async def test_an_idempotency_key_of_another_tenant_replays_nothing(stage: Stage, operation: str) -> None:
    """Nor does one of another caller in the same organization: each has keys of their own."""
    for call in REGISTRY[operation]:
        cell = Cell(operation=operation, call=call, standing=PERSON)
        request = with_key(request_of(cell, stage.lands, own=stage.fresh(call)), uuid7().hex)
        done = await stage.ask(request, secret=stage.credentials[PERSON])
        assert done.status == 200, done
        again = await stage.ask(request, secret=stage.credentials[PERSON])
        assert (again.header("idempotent-replayed"), again.body) == ("true", done.body)
        for secret in (stage.stranger, stage.credentials[OWNER], stage.credentials[OWNER_OF_PROJECT]):
            answer = await stage.ask(request, secret=secret)
            assert answer.header("idempotent-replayed") is None
            assert answer.status != 422, "another's key is no key of theirs"
            if secret == stage.stranger:
                theirs = set(_ids(done.body)) - set(_ids(request.body or b""))
                assert not theirs & set(_ids(answer.body)), "nothing of the first one's answer"
        if call.undo:
            stage.ground.undo(call.undo, stage.lands.own)
            stage.ground.undo(call.undo, stage.lands.foreign)


async def test_a_second_signature_of_another_organization_signs_nothing(stage: Stage) -> None:
    """The identifier in the header Ali-Approval: foreign, nobody's, malformed and unsigned are one."""
    own, foreign = stage.lands.own, stage.lands.foreign
    for land in (own, foreign):
        stage.ground.run("update ali.organization set four_eyes = true where id = %s", land.organization_id)
        stage.ground.run(
            "update ali.approval set verb = 'organization.four_eyes_off', target = 'organization', decision ="
            " 'approved', decided_by = gen_random_uuid(), decided_at = now() where organization_id = %s",
            land.organization_id,
        )
    before = await stage.contents()
    names = [foreign.names["approval"], neighbour_of(foreign.names["approval"]), "x", own.names["approval"]]
    answers = set()
    for name in names:
        request = Request(
            method="POST",
            target="/v1/ali/organization",
            headers=(("ali-approval", name),),
            body=as_json({"four_eyes": False}),
        )
        answers.add((await stage.as_owner(request)).apart_from_its_moment)
    assert len(answers) == 1
    assert {answer[0] for answer in answers} == {403}
    assert await stage.contents() == before
    stage.ground.run("update ali.organization set four_eyes = false where id = %s", own.organization_id)


def _ids(body: bytes) -> list[bytes]:
    return re.findall(rb"[0-9a-f]{32}", body)


async def _asked(stage: Stage, cell: Cell) -> Answer:
    request = request_of(cell, stage.lands, own=stage.lands.own.names)
    return await stage.ask(request, secret=_secret(stage, cell))


def _secret(stage: Stage, cell: Cell) -> str | None:
    return None if cell.call.over == "nothing" else stage.credentials[cell.standing]


async def _done(stage: Stage, cell: Cell) -> Answer:
    """What is allowed, done with things of its own."""
    own = stage.lands.own.names if cell.operation.startswith("GET ") else stage.fresh(cell.call)
    request = request_of(cell, stage.lands, own=own)
    answer = await stage.ask(request, secret=_secret(stage, cell))
    if cell.call.undo:
        stage.ground.undo(cell.call.undo, stage.lands.own)
    assert answer.status == 200, f"{cell}: {answer.status}: {answer.body[:200]!r}"
    return answer


def _require_nothing_beyond(stage: Stage, found: dict[Cell, Answer]) -> None:
    """No answer names a thing of the stranger's, nor of a project that the caller does not reach."""
    names = stage.lands.foreign.names
    theirs = {name[-32:].encode() for kind, name in names.items() if kind not in ("model", "provider")}
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
