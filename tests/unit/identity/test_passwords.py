"""Passwords are hashed as OWASP says, off the loop, a few at a time, and common ones are not taken."""

import asyncio
import threading
import unicodedata
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, extract_parameters

from ali.features.identity import passwords
from ali.features.identity.passwords import HashingBusy, PasswordRefused, Passwords, check_password, needs_rehash

GOOD = "um gato dorme no telhado"
EMAIL = "ana.souza@example.com"


@pytest.fixture
def hashing() -> Iterator[Passwords]:
    hashing = Passwords()
    yield hashing
    hashing.close()


async def test_a_password_is_stored_as_argon2id_with_owasps_parameters(hashing: Passwords) -> None:
    stored = await hashing.hashed(GOOD, email=EMAIL)
    parameters = extract_parameters(stored)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19 * 1024, 2, 1)
    assert stored != await hashing.hashed(GOOD, email=EMAIL)


async def test_the_right_password_matches_and_no_other(hashing: Passwords) -> None:
    stored = await hashing.hashed(GOOD, email=EMAIL)
    assert await hashing.matches(GOOD, stored=stored)
    for wrong in (GOOD + " ", GOOD.upper(), "", "x" * 100_000, "\ud800", "\0"):
        assert not await hashing.matches(wrong, stored=stored)


async def test_an_unknown_account_never_matches_and_costs_what_a_known_one_does(hashing: Passwords) -> None:
    """The dummy has the parameters of a real hash: argon2's work depends on nothing else."""
    assert not await hashing.matches(GOOD, stored=None)
    real = extract_parameters(await hashing.hashed(GOOD, email=EMAIL))
    assert extract_parameters(passwords._DUMMY) == real


async def test_a_password_matches_however_its_accents_are_composed(hashing: Passwords) -> None:
    composed = unicodedata.normalize("NFC", "coração tranquilo às três")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    stored = await hashing.hashed(decomposed, email=EMAIL)
    assert await hashing.matches(composed, stored=stored)


async def test_a_hash_with_older_parameters_is_to_be_made_anew(hashing: Passwords) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(GOOD)
    assert needs_rehash(weak)
    assert await hashing.matches(GOOD, stored=weak)
    assert not needs_rehash(await hashing.hashed(GOOD, email=EMAIL))
    assert needs_rehash("not a hash")
    assert not await hashing.matches(GOOD, stored="not a hash")


async def test_hashing_leaves_the_loop_free(hashing: Passwords) -> None:
    """The suite's guard also fails this test if the loop is held; here the loop is seen to turn meanwhile."""
    turns = 0
    work = asyncio.gather(*(hashing.hashed(GOOD, email=EMAIL) for _ in range(8)))
    while not work.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert len(set(await work)) == 8
    assert turns > 8


async def test_no_more_are_hashed_at_once_than_allowed_and_a_full_queue_is_said_to_be_full() -> None:
    hashing = Passwords(at_once=1, waiting=1)
    gate, running = threading.Event(), 0

    def held() -> int:
        nonlocal running
        running += 1
        gate.wait(10)
        return running

    first, second = (asyncio.create_task(hashing._in_thread(held)) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(HashingBusy) as refusal:
        await hashing.matches(GOOD, stored=None)
    assert refusal.value.http_status == 503
    assert running == 1
    gate.set()
    assert list(await asyncio.gather(first, second)) == [1, 2]
    assert not await hashing.matches(GOOD, stored=None)
    hashing.close()


async def test_who_is_cancelled_frees_no_place_before_the_thread_is_done() -> None:
    hashing = Passwords(at_once=1, waiting=0)
    gate, started = threading.Event(), threading.Event()

    def held() -> None:
        started.set()
        gate.wait(10)

    task = asyncio.create_task(hashing._in_thread(held))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(HashingBusy):
        await hashing.matches(GOOD, stored=None)
    gate.set()
    await asyncio.to_thread(hashing.close)
    assert hashing._places.acquire(blocking=False)


async def test_after_closing_nothing_is_hashed(hashing: Passwords) -> None:
    hashing.close()
    with pytest.raises(HashingBusy):
        await hashing.matches(GOOD, stored=None)


@pytest.mark.parametrize(
    "password",
    [
        "curta",
        "x" * 11,
        "a" * 257,
        "password1234",
        "Password123!",
        "p@ssw0rd1234",
        "!!!iloveyou!!!",
        "letmeinletmein",
        "passwordpassword",
        "123456789012",
        "987654321098",
        "abcdefghijkl",
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "qwertyuiop12",
        EMAIL,
        EMAIL.upper(),
        f" {EMAIL} ",
        "\ud800" * 12,
    ],
)
def test_a_password_that_anybody_would_try_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused):
        check_password(password, email=EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "correct horse battery staple",
        "x7Qp!v9Lz2#w",
        "tres tigres tristes",
        "密码密码安全的句子很好记住",
        "a1" * 5 + "bcd",
    ],
)
def test_a_long_password_is_taken_without_rules_of_composition(password: str) -> None:
    assert check_password(password, email=EMAIL) == unicodedata.normalize("NFC", password)


def test_the_local_part_of_a_long_address_is_no_password() -> None:
    with pytest.raises(PasswordRefused, match="e-mail"):
        check_password("Ana.Maria.Souza", email="ana.maria.souza@example.com")


def test_the_list_of_common_passwords_is_loaded_once_and_long() -> None:
    assert len(passwords._common_passwords()) >= 30_000
    assert passwords._common_passwords() is passwords._common_passwords()
