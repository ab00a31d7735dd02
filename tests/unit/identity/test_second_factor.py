"""Each code works once: the authenticator's, and those for who has lost it."""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pyotp
import pytest

from ali.features.identity import recovery_codes, totp
from ali.features.identity.sealing import SealBroken

NOW: Final = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
STEP: Final = timedelta(seconds=30)
USER, OTHER = UUID(int=1), UUID(int=2)
SECRET: Final = b"the installation's"


def code_at(secret: str, moment: datetime) -> str:
    return pyotp.TOTP(secret).at(moment)


def test_codes_are_those_of_rfc_6238() -> None:
    """Appendix B, SHA-1, the last six of its eight digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        moment = datetime.fromtimestamp(seconds, UTC)
        assert totp.matched_step(secret, code, now=moment, used_step=None) == seconds // 30


def test_a_code_of_this_step_or_its_neighbours_is_taken_and_no_other() -> None:
    secret = totp.new_secret()
    taken = [
        totp.matched_step(secret, code_at(secret, NOW + offset * STEP), now=NOW, used_step=None) is not None
        for offset in range(-3, 4)
    ]
    assert taken == [False, False, True, True, True, False, False]


def test_a_code_works_once_and_neither_does_an_older_one_after_it() -> None:
    secret = totp.new_secret()
    code = code_at(secret, NOW)
    used = totp.matched_step(secret, code, now=NOW, used_step=None)
    assert used is not None
    assert totp.matched_step(secret, code, now=NOW, used_step=used) is None
    assert totp.matched_step(secret, code_at(secret, NOW - STEP), now=NOW, used_step=used) is None
    assert totp.matched_step(secret, code_at(secret, NOW + STEP), now=NOW, used_step=used) == used + 1


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "12345\u0661", "-12345", "1e5000", "\ud800" * 6])
def test_what_is_no_code_is_refused(typed: str) -> None:
    assert totp.matched_step(totp.new_secret(), typed, now=NOW, used_step=None) is None


def test_a_code_may_be_typed_with_a_space() -> None:
    secret = totp.new_secret()
    code = code_at(secret, NOW)
    assert totp.matched_step(secret, f" {code[:3]} {code[3:]} ", now=NOW, used_step=None) is not None


def test_the_authenticator_app_is_told_what_it_needs() -> None:
    secret = totp.new_secret()
    uri = urlsplit(totp.provisioning_uri(secret, email="ana+x@example.com", issuer="Ali: São Paulo"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {"secret": [secret], "issuer": ["Ali: São Paulo"]}
    assert len(secret) == 32


def test_the_stored_authenticator_secret_opens_for_its_own_account_alone() -> None:
    secret = totp.new_secret()
    wrapped = totp.wrap(secret, user_id="user_1", hmac_secret=SECRET)
    assert secret.encode() not in wrapped
    assert totp.unwrap(wrapped, user_id="user_1", hmac_secret=SECRET) == secret
    with pytest.raises(SealBroken):
        totp.unwrap(wrapped, user_id="user_2", hmac_secret=SECRET)


def test_ten_recovery_codes_of_eighty_bits_are_made() -> None:
    codes = recovery_codes.mint()
    assert len(set(codes)) == 10
    assert {len(code.replace("-", "")) * 5 for code in codes} == {80}
    assert not set("".join(codes)) & set("OILU")


def test_a_recovery_code_is_recognised_as_people_type_it() -> None:
    code = "7Q4M-01XY-Z023-ABCD"
    stored = [recovery_codes.digest(code, user_id=USER, hmac_secret=SECRET)]
    for typed in (code, "7q4m01xyz023abcd", " 7Q4M 01XY Z023 ABCD ", "7q4m-olxy-zo23-abcd", "7Q4M-OIXY-ZO23-ABCD"):
        assert recovery_codes.matched(typed, stored=stored, user_id=USER, hmac_secret=SECRET) == stored[0]


def test_a_recovery_code_works_once_and_for_its_own_account_alone() -> None:
    codes = recovery_codes.mint()
    stored = {recovery_codes.digest(code, user_id=USER, hmac_secret=SECRET) for code in codes}
    used = recovery_codes.matched(codes[3], stored=stored, user_id=USER, hmac_secret=SECRET)
    assert used in stored
    stored.discard(used)
    assert recovery_codes.matched(codes[3], stored=stored, user_id=USER, hmac_secret=SECRET) is None
    assert recovery_codes.matched(codes[4], stored=stored, user_id=OTHER, hmac_secret=SECRET) is None
    assert recovery_codes.matched(codes[4], stored=stored, user_id=USER, hmac_secret=b"theirs") is None
    for typed in ("", "-", codes[4][:-1], codes[4] + "0", "\ud800"):
        assert recovery_codes.matched(typed, stored=stored, user_id=USER, hmac_secret=SECRET) is None
