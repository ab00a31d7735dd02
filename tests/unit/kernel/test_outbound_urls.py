"""Which URLs may be called at all, and which addresses are public: pure decisions, nothing is looked up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali.kernel.outbound import Destination, OutboundRefused, check_url, read_allowed
from ali.kernel.outbound.addresses import is_public

HOSTILE_URLS = (
    # loopback, and what else reaches this machine
    "https://127.0.0.1/",
    "https://127.1.2.3/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost.localdomain/",
    "https://a.localhost/",
    # private, shared, link-local, multicast, reserved
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.1.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://198.18.0.1/",
    "https://203.0.113.5/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456::1]/",
    "https://[ff02::1]/",
    "https://[fec0::1]/",
    "https://[100::1]/",
    "https://[2001:db8::1]/",
    # IPv4 within IPv6
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[2001:0:7f00:1::1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[64:ff9b:1::10.0.0.1]/",
    # metadata services
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://[::ffff:169.254.169.254]/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://metadata.goog/computeMetadata/v1/",
    "https://metadata/",
    "https://instance-data.ec2.internal/",
    "https://kubernetes.default.svc/",
    "https://kubernetes.default.svc.cluster.local/",
    "https://printer.local/",
    "https://intranet/",
    # IPv4 in other spellings
    "https://2130706433/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0x7f.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://1.1.1.256/",
    # who is it that is called
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https:\\\\example.com/",
    "https://example.com%00.evil.com/",
    "https://%31%32%37.0.0.1/",
    "https://example.com%2f@127.0.0.1/",
    "https://[::1%25eth0]/",
    "https://[::1/",
    "https://[::1]evil.com/",
    "https://[example.com]/",
    # names that are not plain
    "https://localhost./",
    "https://example.com./",
    "https://example..com/",
    "https://-example.com/",
    "https://exa_mple.com/",
    "https://ex\N{CYRILLIC SMALL LETTER A}mple.com/",
    "https://\N{FULLWIDTH DIGIT ONE}27.0.0.1/",
    "https://127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1/",
    "https://\N{CIRCLED LATIN SMALL LETTER L}ocalhost/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    # control characters and space
    "https://example.com/\r\nHost: evil",
    "https://exam\tple.com/",
    "https://example.com /",
    " https://example.com/",
    "https://example.com/\x00",
    "https://example.com/a b",
    "\x01https://example.com/",
    # schemes and ports
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript://example.com/",
    "data:text/plain,hello",
    "//example.com/",
    "example.com",
    "https:example.com/",
    "https:///example.com/",
    "https://",
    "",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:99999999999/",
    "https://example.com:-443/",
    "https://example.com:443:443/",
    "https://example.com:/",
    # overlong
    "https://example.com/" + "a" * 2048,
)


def test_there_are_more_than_sixty_hostile_urls() -> None:
    assert len(set(HOSTILE_URLS)) == len(HOSTILE_URLS) >= 60


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused_before_anything_is_looked_up(url: str) -> None:
    with pytest.raises(OutboundRefused) as refused:
        check_url(url)
    assert refused.value.http_status == 400


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("HTTPS://Example.COM/a/b?c=d#e", "example.com", 443, "/a/b?c=d", "example.com"),
        ("https://example.com?c=@d", "example.com", 443, "/?c=@d", "example.com"),
        ("https://xn--bcher-kva.example.com:8443/", "xn--bcher-kva.example.com", 8443, "/", None),
        ("https://8.8.8.8/%0d%0a", "8.8.8.8", 443, "/%0d%0a", "8.8.8.8"),
        ("https://[2606:4700::1111]:443/", "2606:4700::1111", 443, "/", "[2606:4700::1111]"),
        ("https://[::ffff:8.8.8.8]/", "::ffff:808:808", 443, "/", "[::ffff:808:808]"),
        ("https://127.0.0.1.nip.io/", "127.0.0.1.nip.io", 443, "/", None),
    ],
)
def test_a_public_url_is_taken_apart(url: str, host: str, port: int, target: str, authority: str | None) -> None:
    found = check_url(url)
    assert found == Destination(scheme="https", host=host, port=port, target=target, allowed=False)
    assert found.authority == (authority or f"{host}:{port}".removesuffix(":443"))


def test_an_exception_holds_for_that_host_and_port_alone() -> None:
    allowed = read_allowed(["idp.example.internal:8080", "127.0.0.1:9000", "[::1]:9000"])
    assert check_url("http://idp.example.internal:8080/a", allowed=allowed).allowed
    assert check_url("http://IDP.example.internal:8080/a", allowed=allowed).allowed
    assert check_url("https://127.0.0.1:9000/", allowed=allowed).allowed
    assert check_url("http://[0::1]:9000/", allowed=allowed).allowed
    for url in (
        "http://idp.example.internal:8081/",
        "http://evil.idp.example.internal:8080/",
        "http://idp.example.internal/",
        "https://127.0.0.2:9000/",
        "http://user@127.0.0.1:9000/",
        "http://127.1:9000/",
        "http://127.0.0.1:9000\r\n/",
        "ftp://127.0.0.1:9000/",
    ):
        with pytest.raises(OutboundRefused):
            check_url(url, allowed=allowed)


@pytest.mark.parametrize(
    "entry", ["", "host", "host:", "host:0", "host:65536", "https://host:1", "*:443", "a@b:1", "::1:1"]
)
def test_an_exception_that_is_no_host_and_port_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        read_allowed([entry])


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", ["", "example.com", "127.1", "fe80::1%eth0", "2606:4700::1111%1", "2001::1", "3fff::1", "4000::1"]
)
def test_what_is_no_address_or_not_of_the_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_is_public(address: object) -> None:
    text = str(address)
    if is_public(text):
        assert not getattr(address, "is_private", False) or "ffff:" in text
        assert not getattr(address, "is_multicast", False)
        assert not getattr(address, "is_loopback", False)


@given(st.text(max_size=40))
def test_no_text_makes_the_guard_fail_in_another_way(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com{text}", f"https://{text}/"):
        try:
            found = check_url(url)
        except OutboundRefused:
            continue
        assert found.port in {443, 8443}
        assert found.scheme == "https"
        assert found.host.isascii()
