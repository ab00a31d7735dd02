"""What a limit that somebody set refuses, and what it lets through: whole requests to a running service."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from ali.features.metering.limiting import limiter
from ali.features.metering.scopes import scope_name
from ali.ops.simulator import Answer, Fault, Simulator
from ali.providers.contract import Usage
from tests.end_to_end.service import clean_environment, started
from tests.fixtures.database import HMAC_SECRET, IssuedKey, Tenant, issue_key, make_tenant
from tests.fixtures.service import Serve
from tests.gateway.limited import CHAT, MESSAGES, MODEL, Limited, Start, add_project, eventually, starter

USED = Answer(text="Yes.", usage=Usage(input_tokens=100, output_tokens=50, reported=True))
FAMILY = "claude-sonnet-5-5"


@pytest.fixture
def start(serve: Serve, simulator: Simulator) -> Start:
    return starter(serve, simulator)


def _organization(limited: Limited) -> tuple[dict[str, str | None], IssuedKey, IssuedKey]:
    other = issue_key(make_tenant(limited.tenant.dsn), role="member")
    return {"kind": "organization"}, limited.caller(), other


def _project(limited: Limited) -> tuple[dict[str, str | None], IssuedKey, IssuedKey]:
    return (
        {**limited.project},
        limited.caller(),
        issue_key(limited.tenant, role="member", project_id=add_project(limited.tenant)),
    )


def _key(limited: Limited) -> tuple[dict[str, str | None], IssuedKey, IssuedKey]:
    key = limited.caller()
    return {**_scope(key)}, key, limited.caller()


def _user(limited: Limited) -> tuple[dict[str, str | None], IssuedKey, IssuedKey]:
    key = limited.caller(person=True)
    assert key.user_id is not None
    return {"kind": "user", "id": scope_name("user", key.user_id)}, key, limited.caller(person=True)


@pytest.mark.parametrize("scope", [_organization, _project, _key, _user])
@pytest.mark.parametrize("store", ["process", "postgres"])
async def test_a_limit_refuses_those_whom_it_names_and_nobody_else(
    start: Start, scope: Callable[[Limited], tuple[dict[str, str | None], IssuedKey, IssuedKey]], store: str
) -> None:
    async with start(limiter_store=store) as limited:
        wanted, inside, outside = scope(limited)
        await limited.limit(wanted, requests_per_minute=2)
        answers = [await limited.ask(inside, path) for path in (CHAT, MESSAGES, CHAT, MESSAGES)]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert [(await limited.ask(outside)).status for _ in range(3)] == [200] * 3

        openai, anthropic = answers[2], answers[3]
        assert openai.body["error"]["code"] == "rate_limit_exceeded"
        assert openai.headers["x-ratelimit-limit-requests"] == "2"
        assert openai.remaining_requests == 0
        assert anthropic.body["error"]["type"] == "rate_limit_error"
        assert anthropic.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert anthropic.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert anthropic.headers["anthropic-ratelimit-requests-reset"].endswith("Z")


async def test_a_refused_request_passes_when_its_retry_after_is_over_and_not_before(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead_us = 0
    monkeypatch.setattr(limiter, "_now_us", lambda: 10**9 + ahead_us)
    async with start() as limited:
        key = limited.caller()
        await limited.limit({"kind": "key"}, requests_per_minute=1)
        assert (await limited.ask(key)).status == 200
        ahead_us = 20_000_000
        refused = await limited.ask(key)
        assert refused.status == 429
        wait_s = int(refused.headers["retry-after"])
        ahead_us += (wait_s - 1) * 1_000_000
        assert (await limited.ask(key)).status == 429
        ahead_us += 1_000_000
        assert (await limited.ask(key)).status == 200


async def test_a_limit_on_a_model_is_evaded_by_no_other_name_of_it(start: Start) -> None:
    aliases = {
        "fast": {"targets": [MODEL]},
        "stand-in": {"targets": [FAMILY, f"openai/{MODEL}"]},
        "other": {"targets": [FAMILY]},
    }
    async with start(aliases=aliases) as limited:
        for name in (MODEL, f"openai/{MODEL}", f"{MODEL}-2025-04-14", "fast", "stand-in"):
            for limit in (MODEL, "gpt-*", f"openai/{MODEL}"):
                key = limited.caller()
                made = await limited.limit(_scope(key), model=limit, requests_per_minute=1)
                assert (await limited.ask(key, model=name)).status == 200, (name, limit)
                for again in (name, MODEL, "fast"):
                    assert (await limited.ask(key, model=again)).status == 429, (name, limit, again)
                assert (await limited.ask(key, model=FAMILY)).status == 200
                assert (await limited.ask(key, model="other")).status == 200
                await limited.manage("DELETE", f"/{made}")


async def test_a_limit_on_an_alias_counts_the_alias_alone(start: Start) -> None:
    async with start(aliases={"fast": {"targets": [MODEL]}}) as limited:
        key = limited.caller()
        await limited.limit({"kind": "key"}, model="fast", requests_per_minute=1)
        asked = [(await limited.ask(key, model=name)).status for name in ("fast", "fast", MODEL, MODEL)]
        assert asked == [200, 429, 200, 200]


async def _answered(limited: Limited, key: IssuedKey, simulator: Simulator) -> None:
    simulator.answer(USED)
    assert (await limited.ask(key)).status == 200


async def _streamed(limited: Limited, key: IssuedKey, simulator: Simulator) -> None:
    simulator.answer(USED)
    assert (await limited.ask(key, stream=True)).status == 200


async def _refused_upstream(limited: Limited, key: IssuedKey, simulator: Simulator) -> None:
    simulator.answer(Answer(status=400, message="no"))
    assert (await limited.ask(key)).status == 400


async def _unknown_model(limited: Limited, key: IssuedKey, _simulator: Simulator) -> None:
    assert (await limited.ask(key, model="gpt-none", max_tokens=500)).status == 404


async def _repeated(limited: Limited, key: IssuedKey, simulator: Simulator) -> None:
    repeat = {"x-ali-cache-ttl": "60"}
    simulator.answer(USED)
    await limited.ask(limited.caller(), CHAT, repeat)
    kept = await limited.ask(key, CHAT, repeat)
    assert kept.headers["x-ali-cache"] == "hit"


async def _left(limited: Limited, key: IssuedKey, simulator: Simulator) -> None:
    """The caller leaves before there is an answer: the input is known to be used."""
    simulator.answer(Answer(latency_s=5))
    gone = simulator.counters.disconnects
    asking = asyncio.create_task(limited.ask(key, max_tokens=500))
    await simulator.until(lambda: simulator.counters.in_flight == 1, timeout_s=2)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    await simulator.until(lambda: simulator.counters.disconnects == gone + 1, timeout_s=2)


@pytest.mark.parametrize(
    ("end", "used"),
    [
        (_answered, 150),
        (_streamed, 150),
        (_refused_upstream, 0),
        (_unknown_model, 0),
        (_repeated, 0),
        (_left, None),
    ],
)
@pytest.mark.parametrize("store", ["process", "postgres"])
async def test_tokens_are_claimed_by_an_estimate_and_corrected_whatever_ends_the_request(
    start: Start,
    simulator: Simulator,
    end: Callable[[Limited, IssuedKey, Simulator], Awaitable[None]],
    used: int | None,
    store: str,
) -> None:
    async with start(limiter_store=store) as limited:
        await limited.limit({"kind": "key"}, tokens_per_minute=1000)
        estimate = 1000 - (await limited.ask(limited.caller())).remaining_tokens
        assert 10 < estimate < 60, "the body, in fours of characters"
        key = limited.caller()
        await end(limited, key, simulator)
        await limited.settled()
        left = (await limited.ask(key)).remaining_tokens
        spent = 1000 - estimate - left
        if used is None:
            assert estimate <= spent < estimate + 10, "the input alone; its body was longer by max_tokens"
        else:
            assert spent == used


@pytest.mark.parametrize(
    ("path", "body", "output"),
    [
        (CHAT, {"max_tokens": 300}, 300),
        (CHAT, {"max_completion_tokens": 300, "n": 2}, 600),
        (CHAT, {"max_completion_tokens": 200, "max_tokens": 300}, 300),
        (CHAT, {"max_tokens": "many"}, 0),
        (CHAT, {"max_tokens": -1}, 0),
        (CHAT, {"max_tokens": None}, 0),
        (CHAT, {"max_tokens": 10**9}, 32_768),
        (CHAT, {"max_tokens": 10**30, "n": 2}, 65_536),
        (CHAT, {"max_tokens": 10**30, "model": "vllm/qwen"}, 10**12),
        (MESSAGES, {"max_tokens": 300}, 300),
    ],
)
async def test_the_claim_counts_the_output_that_the_caller_allows_and_the_model_can_give(
    start: Start, simulator: Simulator, path: str, body: dict[str, object], output: int
) -> None:
    server = {"name": "vllm", "base_url": simulator.openai_base_url, "models": []}
    async with start(compatible_providers=[server]) as limited:
        key = limited.caller()
        await limited.limit({"kind": "key"}, tokens_per_minute=10)
        refused = await limited.ask(key, path, **body)
        assert refused.status == 429
        error = refused.body["error"]["message"]
        counted = int(error.partition("is counted as ")[2].split()[0])
        assert output < counted < output + 100 or counted == output == 10**12
        assert "Make the request smaller" in error


async def test_a_stream_above_the_limit_is_refused_and_each_end_frees_a_place(
    start: Start, simulator: Simulator
) -> None:
    slow = Answer(tokens=2000, tokens_per_second=100)
    async with start() as limited:
        key = limited.caller()
        await limited.limit({"kind": "key"}, concurrent_streams=2)
        simulator.answer(slow)
        simulator.answer(slow)
        async with limited.asking(key, stream=True) as first:
            await first.content.readline()
            async with limited.asking(key, stream=True) as second:
                await second.content.readline()
                refused = await limited.ask(key, stream=True)
                assert (refused.status, refused.headers["retry-after"]) == (429, "1")
                assert "2 streams open" in refused.body["error"]["message"]
                assert (await limited.ask(key, MESSAGES, stream=True)).status == 429
                assert (await limited.ask(key)).status == 200, "it is no stream"
                assert (await limited.ask(limited.caller(), stream=True)).status == 200
                second.close()
            await limited.answers(key, status=200, stream=True)

            simulator.answer(Fault.RESET_MID_CHUNK)
            broken = await limited.ask(key, stream=True)
            assert b"error" in broken.body
            simulator.answer(Fault.STALL_MID_STREAM)
            silent = await limited.ask(key, stream=True)
            assert b"error" in silent.body
            assert (await limited.ask(key, stream=True, model="gpt-none")).status == 404
            assert (await limited.ask(key, stream=True)).status == 200, "each of them gave its place back"
            first.close()


async def test_one_refusing_limit_leaves_the_others_uncounted(start: Start) -> None:
    async with start() as limited:
        key = limited.caller()
        await limited.limit(_scope(key), requests_per_minute=1)
        await limited.limit({**limited.project}, requests_per_minute=10, tokens_per_minute=1000)
        assert [(await limited.ask(key)).status for _ in range(4)] == [200, 429, 429, 429]
        await limited.settled()
        other = await limited.ask(limited.caller())
        assert other.remaining_requests == 8


async def test_a_limit_holds_without_a_restart_once_it_is_set_or_changed_until_it_is_deleted(start: Start) -> None:
    async with start() as limited:
        key = limited.caller()
        _, made = await limited.manage("POST", "", {"scope": {"kind": "key"}, "requests_per_minute": 0})
        await limited.answers(key, status=429)
        status, changed = await limited.manage("POST", f"/{made['id']}", {"requests_per_minute": 10**6})
        assert (status, changed["requests_per_minute"]) == (200, 10**6)
        await limited.answers(key, status=200)
        await limited.manage("POST", f"/{made['id']}", {"requests_per_minute": 0})
        await limited.answers(key, status=429)
        assert (await limited.manage("DELETE", f"/{made['id']}"))[0] == 200
        await limited.answers(key, status=200)


def test_two_processes_hold_one_limit_that_either_may_set(tenant: Tenant, tmp_path: Path) -> None:
    admin = issue_key(tenant, role="admin", everywhere=True)
    counted, probe = issue_key(tenant, role="member"), issue_key(tenant, role="member")
    environment = clean_environment(
        DATABASE_URL=tenant.dsn,
        ALI_API_KEY_HMAC_SECRET=HMAC_SECRET,
        ALI_LIMITER_STORE="postgres",
        ALI_HOME=str(tmp_path),
    )
    with (
        started("serve", "--port", "0", environment=environment) as one,
        started("serve", "--port", "0", environment=environment) as other,
    ):
        urls = [program.wait_until_printed(r"serves on (http://127\.0\.0\.1:\d+)") for program in (one, other)]

        async def drive() -> list[int]:
            async with aiohttp.ClientSession() as session:

                async def manage(url: str, path: str, body: object) -> str:
                    async with session.post(f"{url}/v1/ali/limits{path}", json=body, headers=admin.headers) as made:
                        return str((await made.json())["id"])

                async def heard(key: IssuedKey) -> None:
                    async def refused() -> bool:
                        return [await _status(session, url, key) for url in urls] == [429, 429]

                    await eventually(refused)

                limit = await manage(urls[0], "", {"scope": _scope(counted), "requests_per_minute": 0})
                await heard(counted)
                await manage(urls[1], f"/{limit}", {"requests_per_minute": 6})
                await manage(urls[1], "", {"scope": _scope(probe), "requests_per_minute": 0})
                await heard(probe)  # and so of what was changed before; asking with the other key would use it up
                return sorted(await asyncio.gather(*(_status(session, url, counted) for url in urls * 5)))

        assert asyncio.run(drive()) == [200] * 6 + [429] * 4


def _scope(key: IssuedKey) -> dict[str, str]:
    return {"kind": "key", "id": scope_name("key", key.id)}


async def _status(session: aiohttp.ClientSession, url: str, key: IssuedKey) -> int:
    body = {"model": "ali-extractive", "messages": [{"role": "user", "content": "The sky is blue. What is blue?"}]}
    async with session.post(f"{url}{CHAT}", json=body, headers=key.headers) as response:
        await response.read()
        return response.status
