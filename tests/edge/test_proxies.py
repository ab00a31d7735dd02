"""The client's address comes from the right hop, and never from a header that anybody can set."""

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.kernel.edge import Doorway, EdgeRules, Hop, Proxies

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
PEER = "10.0.0.1"


def hop(*values: str, peer: str | None = PEER, proto: str | None = None) -> Hop:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in values]
    headers += [(b"x-forwarded-proto", proto.encode())] if proto is not None else []
    return Proxies(TRUSTED).hop(peer, headers)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4,10.0.0.2", " 10.0.0.3 "], "1.2.3.4"),
        (["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        (["1.2.3.4:5678"], "1.2.3.4"),
        (["2a00:1450::1"], "2a00:1450::1"),
        (["[2a00:1450::1]:443"], "2a00:1450::1"),
        (["[2a00:1450::1]"], "2a00:1450::1"),
        (["::ffff:1.2.3.4"], "1.2.3.4"),
        (["1.2.3.4, fd00::7"], "1.2.3.4"),
        (["1.2.3.4, ::ffff:10.0.0.7"], "1.2.3.4"),
        (["127.0.0.1"], "127.0.0.1"),
    ],
)
def test_the_right_most_hop_that_is_no_trusted_proxy_is_the_client(values: list[str], address: str) -> None:
    assert hop(*values).address == address


@pytest.mark.parametrize("peer", ["1.2.3.4", "11.0.0.1", "::1", "fe80::1", None, "", "unix"])
def test_a_peer_that_is_not_trusted_is_not_believed(peer: str | None) -> None:
    assert hop("6.6.6.6", peer=peer, proto="https") == Hop()


def test_a_trusted_peer_is_known_in_each_spelling() -> None:
    assert hop("1.2.3.4", peer="::ffff:10.0.0.1").address == "1.2.3.4"
    assert hop("1.2.3.4", peer="fd00::1").address == "1.2.3.4"


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.4 5",
        "1.2.3.4:port",
        "[1.2.3.4",
        "fe80::1%eth0",
        "<script>",
        "\xff",
        "1.2.3.4;",
        '"1.2.3.4"',
    ],
)
def test_garbage_is_ignored_and_ends_the_reading(garbage: str) -> None:
    assert hop(garbage).address is None
    assert hop(f"6.6.6.6, {garbage}").address is None
    assert hop(f"6.6.6.6, {garbage}, 10.0.0.2").address == "10.0.0.2"
    assert hop(f"{garbage}, 1.2.3.4").address == "1.2.3.4"


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [("https", "https"), ("HTTP", "http"), ("http, https", "https"), ("https,http", "http"), ("wss", None), ("", None)],
)
def test_the_scheme_is_what_the_nearest_proxy_says(proto: str, scheme: str | None) -> None:
    assert hop("1.2.3.4", proto=proto).scheme == scheme


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["for=1.2.3.4;proto=https"], Hop(address="1.2.3.4", scheme="https")),
        (["for=6.6.6.6, for=1.2.3.4;by=10.0.0.1"], Hop(address="1.2.3.4")),
        (['For="[2a00:1450::1]:4711";Proto=HTTP'], Hop(address="2a00:1450::1", scheme="http")),
        (['for="1.2.3.4:80"', "for=10.0.0.2;proto=http"], Hop(address="1.2.3.4")),
        (["for=1.2.3.4;for=6.6.6.6"], Hop()),
        (["for=unknown"], Hop()),
        (["proto=https"], Hop()),
        (["1.2.3.4"], Hop()),
        (['for="1.2.3.4'], Hop()),
    ],
)
def test_forwarded_is_read_where_the_operator_says_so(values: list[str], found: Hop) -> None:
    headers = [(b"forwarded", value.encode()) for value in values]
    headers += [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"https")]
    assert Proxies(TRUSTED, header="forwarded").hop(PEER, headers) == found


def test_the_header_that_was_not_chosen_is_not_read() -> None:
    assert Proxies(TRUSTED).hop(PEER, [(b"forwarded", b"for=6.6.6.6;proto=https")]) == Hop()


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_no_header_makes_the_reading_fail(values: list[str]) -> None:
    for header in ("x-forwarded-for", "forwarded"):
        raw = [(header.encode(), value.encode("latin-1")) for value in values]
        Proxies(TRUSTED, header=header).hop(PEER, raw)


@pytest.mark.parametrize(
    ("peer", "trusted", "client"),
    [("10.0.0.1", TRUSTED, ("1.2.3.4", 0)), ("10.0.0.1", [], ("10.0.0.1", 5)), ("9.9.9.9", TRUSTED, ("9.9.9.9", 5))],
)
async def test_the_application_sees_the_client_in_its_scope(
    peer: str, trusted: list[Any], client: tuple[str, int]
) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        seen.append((scope["client"], scope["scheme"]))

    async def nothing(*_: object) -> Any:  # noqa: ANN401 - ASGI
        return {"type": "http.disconnect"}

    headers = [(b"host", b"a"), (b"x-forwarded-for", b"6.6.6.6, 1.2.3.4"), (b"x-forwarded-proto", b"https")]
    rules = EdgeRules(max_body_bytes=1, max_json_bytes=1, trusted_proxies=trusted)
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "client": (peer, 5), "headers": headers}
    await Doorway(app, rules)(scope, nothing, nothing)
    assert seen == [(client, "https" if client[1] == 0 else "http")]
