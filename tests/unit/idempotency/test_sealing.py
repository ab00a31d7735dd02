"""How a kept request looks in the database, and what tells one request from another."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.features.idempotency.answers import is_final
from ali.features.idempotency.request import Asked, IdempotencyKeyInvalid, asked_for, key_of
from ali.features.idempotency.sealing import Answer, AnswerUnreadable, Identity, Sealer
from ali.kernel.envelopes import error_event
from ali.kernel.errors import Unavailable
from ali.kernel.ids import uuid7

SECRET = b"the installation's own"
ORGANIZATION, SUBJECT = uuid7(), uuid7()

latin = st.text(st.characters(max_codepoint=255), max_size=20).map(lambda text: text.encode("latin-1"))


def identity(*parts: bytes, key: bytes = b"k", secret: bytes = SECRET) -> Identity:
    return Sealer(secret).identity(Asked(key=key, parts=parts), organization_id=ORGANIZATION, subject_id=SUBJECT)


@given(status=st.integers(200, 499), headers=st.lists(st.tuples(latin, latin), max_size=5), body=st.binary())
def test_what_was_sealed_is_opened_unchanged(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    sealer, answer, row = Sealer(SECRET), Answer(status=status, headers=headers, body=body), identity(b"x")
    sealed = sealer.seal(answer, identity=row, key=b"k")
    assert sealer.open(sealed, status=status, identity=row, key=b"k") == answer


def test_only_the_same_key_row_status_and_installation_open_it() -> None:
    sealer, row = Sealer(SECRET), identity(b"x")
    sealed = sealer.seal(Answer(status=200, headers=[], body=b"secret"), identity=row, key=b"k")
    assert b"secret" not in sealed
    attempts: list[tuple[Sealer, bytes, dict[str, Any]]] = [
        (Sealer(b"another"), sealed, {}),
        (sealer, sealed, {"key": b"K"}),
        (sealer, sealed, {"status": 201}),
        (sealer, sealed, {"identity": identity(b"y")}),
        (sealer, sealed, {"identity": identity(b"x", key=b"other")}),
        (sealer, sealed[:-1] + bytes([sealed[-1] ^ 1]), {}),
        (sealer, b"\x02" + sealed[1:], {}),
        (sealer, sealed[:5], {}),
        (sealer, b"", {}),
    ]
    for opener, text, changed in attempts:
        with pytest.raises(AnswerUnreadable):
            opener.open(text, **{"status": 200, "identity": row, "key": b"k", **changed})
    assert sealer.seal(Answer(status=200, headers=[], body=b"secret"), identity=row, key=b"k") != sealed


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_fingerprints_are_equal_only_for_equal_parts(one: list[bytes], other: list[bytes]) -> None:
    """Also where their concatenations are equal."""
    assert (identity(*one).fingerprint == identity(*other).fingerprint) is (one == other)


def test_a_fingerprint_can_be_checked_against_a_guess_by_nobody_without_the_secret() -> None:
    assert identity(b"x").fingerprint != identity(b"x", secret=b"another").fingerprint
    assert identity(b"x").fingerprint != identity(b"x", key=b"other").fingerprint


def scope(**changed: object) -> dict[str, Any]:
    return {"method": "POST", "path": "/v1/x", "raw_path": b"/v1/x", "query_string": b"", "headers": [], **changed}


def multipart(boundary: bytes, content: bytes) -> Asked:
    body = b"--%s\r\n\r\n%s\r\n--%s--\r\n" % (boundary, content, boundary)
    kind = b"multipart/form-data; boundary=" + boundary
    return asked_for(scope(headers=[(b"content-type", kind)]), key=b"k", body=body)


def test_a_multipart_body_counts_without_the_boundary_that_each_attempt_draws() -> None:
    assert multipart(b"one", b"a") == multipart(b"another", b"a")
    assert multipart(b"one", b"a") != multipart(b"one", b"b")


@pytest.mark.parametrize(
    "changed",
    [
        {"raw_path": b"/v1/%78"},
        {"query_string": b"a=1"},
        {"headers": [(b"openai-project", b"proj_1")]},
        {"headers": [(b"anthropic-beta", b"")]},
        {"headers": [(b"content-type", b"text/plain")]},
    ],
)
def test_whatever_changes_the_meaning_changes_the_request(changed: dict[str, object]) -> None:
    assert asked_for(scope(), key=b"k", body=b"x") != asked_for(scope(**changed), key=b"k", body=b"x")


def test_a_renewed_token_or_a_counted_attempt_does_not_change_it() -> None:
    again = scope(headers=[(b"authorization", b"Bearer new"), (b"x-stainless-retry-count", b"1")])
    assert asked_for(scope(), key=b"k", body=b"x") == asked_for(again, key=b"k", body=b"x")


@pytest.mark.parametrize("key", [b"x", b"~!", b"a b", b"x" * 255])
def test_a_printable_key_is_taken(key: bytes) -> None:
    assert key_of([(b"idempotency-key", key)]) == key


@pytest.mark.parametrize("key", [b"", b" x", b"x ", b"x" * 256, b"\x7f", b"\xe9", b"a\nb"])
def test_any_other_key_is_refused(key: bytes) -> None:
    with pytest.raises(IdempotencyKeyInvalid):
        key_of([(b"idempotency-key", key)])


def test_successes_and_lasting_refusals_are_kept_and_nothing_else() -> None:
    kept = {status for status in range(100, 600) if is_final(status, last=b"")}
    passing = {401, 402, 403, 408, 409, 425, 429}
    assert kept == {*range(200, 300), *range(400, 500)} - passing


@pytest.mark.parametrize("envelope", ["openai", "anthropic"])
def test_a_stream_that_failed_in_band_is_not_kept(envelope: Any) -> None:  # noqa: ANN401 - one of two literals
    event = error_event(Unavailable("Later."), envelope=envelope, request_id="req_1")
    assert not is_final(200, last=event)
    assert is_final(200, last=b"data: [DONE]\n\n")
    assert is_final(200, last=b'data: {"choices":[{"error":1}]}\n\n')
