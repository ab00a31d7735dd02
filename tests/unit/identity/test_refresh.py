"""A refresh token is good once; presented again, it ends what began with it."""

import string
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.identity import opaque
from ali.features.identity.refresh import (
    ABSOLUTE_LIFETIME,
    IDLE_LIFETIME,
    LENGTH,
    Decision,
    Family,
    RefreshRefused,
    decide,
    expires_at,
    mint,
    read,
)

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECRET: Final = b"the installation's"
SESSION: Final = uuid.UUID("0199c0de-0000-7000-8000-00000000000f")
MOMENT: Final = timedelta(microseconds=1)


def family_of(token: str, *, started_at: datetime = NOW, rotated_at: datetime = NOW) -> Family:
    return Family(current=read(token, hmac_secret=SECRET).digest, started_at=started_at, rotated_at=rotated_at)


def test_a_token_names_its_session_and_is_never_the_same() -> None:
    tokens = {mint(SESSION, hmac_secret=SECRET) for _ in range(50)}
    assert len(tokens) == 50
    for token in tokens:
        assert token.startswith("ali_rt_")
        assert len(token) == LENGTH == 100
        assert set(token[7:]) <= set(string.ascii_letters + string.digits)
        assert read(token, hmac_secret=SECRET).session_id == SESSION


@given(st.uuids())
def test_every_session_is_read_back(session_id: uuid.UUID) -> None:
    assert read(mint(session_id, hmac_secret=SECRET), hmac_secret=SECRET).session_id == session_id


def test_the_current_token_is_rotated_and_the_one_before_it_ends_the_family() -> None:
    first, second = mint(SESSION, hmac_secret=SECRET), mint(SESSION, hmac_secret=SECRET)
    family = family_of(first)
    assert decide(read(first, hmac_secret=SECRET), family=family, now=NOW) is Decision.ROTATED
    rotated = family_of(second, rotated_at=NOW)
    assert decide(read(first, hmac_secret=SECRET), family=rotated, now=NOW) is Decision.REUSED
    assert decide(read(second, hmac_secret=SECRET), family=rotated, now=NOW) is Decision.ROTATED


def test_there_is_no_grace_for_a_token_that_was_replaced_a_moment_ago() -> None:
    first, second = mint(SESSION, hmac_secret=SECRET), mint(SESSION, hmac_secret=SECRET)
    decision = decide(read(first, hmac_secret=SECRET), family=family_of(second, rotated_at=NOW), now=NOW + MOMENT)
    assert decision is Decision.REUSED


def test_of_an_ended_family_no_token_is_good() -> None:
    token = mint(SESSION, hmac_secret=SECRET)
    good = family_of(token)
    ended = Family(current=good.current, started_at=NOW, rotated_at=NOW, ended_at=NOW)
    assert decide(read(token, hmac_secret=SECRET), family=ended, now=NOW) is Decision.ENDED


def test_a_family_ends_after_fourteen_idle_days_and_after_thirty_in_all() -> None:
    token = mint(SESSION, hmac_secret=SECRET)
    presented = read(token, hmac_secret=SECRET)
    idle = family_of(token)
    assert decide(presented, family=idle, now=NOW + timedelta(days=14) - MOMENT) is Decision.ROTATED
    assert decide(presented, family=idle, now=NOW + timedelta(days=14)) is Decision.EXPIRED
    used = family_of(token, rotated_at=NOW + timedelta(days=29))
    assert decide(presented, family=used, now=NOW + timedelta(days=30) - MOMENT) is Decision.ROTATED
    assert decide(presented, family=used, now=NOW + timedelta(days=30)) is Decision.EXPIRED
    assert (expires_at(idle), expires_at(used)) == (NOW + IDLE_LIFETIME, NOW + ABSOLUTE_LIFETIME)


@given(data=st.data())
def test_a_changed_token_is_refused_before_it_can_end_a_session(data: st.DataObject) -> None:
    token = mint(SESSION, hmac_secret=SECRET)
    place = data.draw(st.integers(0, LENGTH - 1))
    character = data.draw(st.sampled_from(opaque.ALPHABET))
    changed = token[:place] + character + token[place + 1 :]
    resealed = opaque.with_checksum(changed[: -opaque.CHECKSUM])  # an attacker knows the checksum, and not the secret
    for candidate in {changed, resealed} - {token}:
        with pytest.raises(RefreshRefused):
            read(candidate, hmac_secret=SECRET)


@given(st.text())
def test_no_text_is_taken_for_a_token(text: str) -> None:
    for candidate in (text, "ali_rt_" + text, text.ljust(LENGTH, "0")[:LENGTH]):
        with pytest.raises(RefreshRefused):
            read(candidate, hmac_secret=SECRET)


def test_a_token_of_another_installation_is_refused() -> None:
    with pytest.raises(RefreshRefused):
        read(mint(SESSION, hmac_secret=b"theirs"), hmac_secret=SECRET)


def test_the_stored_digest_and_the_text_form_do_not_give_the_token_away() -> None:
    token = mint(SESSION, hmac_secret=SECRET)
    presented = read(token, hmac_secret=SECRET)
    assert len(presented.digest) == 32
    assert "digest" not in repr(presented)
    assert presented.digest != read(mint(SESSION, hmac_secret=SECRET), hmac_secret=SECRET).digest


def test_one_time_links_have_a_prefix_of_their_own_and_a_checksum() -> None:
    invitation, reset = opaque.mint(opaque.INVITATION), opaque.mint(opaque.PASSWORD_RESET)
    assert opaque.well_formed(invitation, prefix=opaque.INVITATION)
    assert not opaque.well_formed(invitation, prefix=opaque.PASSWORD_RESET)
    assert not opaque.well_formed(reset[:-1] + ("0" if reset[-1] != "0" else "1"), prefix=opaque.PASSWORD_RESET)
    assert opaque.digest(reset, hmac_secret=SECRET) != opaque.digest(reset, hmac_secret=b"theirs")
