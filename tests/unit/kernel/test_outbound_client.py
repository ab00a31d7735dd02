"""The outbound client on real sockets: what is checked is connected to, and no peer can hold or fill this service."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ali.kernel.outbound import OutboundFailed, OutboundRefused, OutboundTimedOut, read_allowed
from ali.kernel.outbound.client import OutboundClient
from ali.kernel.outbound.exchange import OutboundReply

PUBLIC = "93.184.215.14"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Script = Callable[[bytes], bytes | AsyncIterator[bytes]]


@dataclass(slots=True)
class Peer:
    """A server that answers each connection by `script`, given the head of the request."""

    port: int
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **values: Any) -> OutboundClient:  # noqa: ANN401 - the client's own arguments
        return OutboundClient(allowed=read_allowed([f"127.0.0.1:{self.port}"]), **values)


@asynccontextmanager
async def peer(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            found.heads.append(head)
            answer = script(head)
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                async for part in answer:
                    writer.write(part)
                    await writer.drain()
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort() if tls else writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    found = Peer(port=server.sockets[0].getsockname()[1])
    async with server:
        yield found


async def get(client: OutboundClient, url: str, **values: Any) -> OutboundReply:  # noqa: ANN401 - the client's own
    return await client.request("GET", url, **{"deadline_s": 5.0, "limit_bytes": 1000, **values})


class Names:
    """A resolver that gives its answers in turn, and remembers what it was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


class Dialled:
    """The internet: whatever address is dialled, the peer at `port` picks up."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.addresses: list[str] = []

    def __call__(
        self,
        address: str,
        port: int,
        **values: Any,  # noqa: ANN401 - asyncio.open_connection's
    ) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        self.addresses.append(address)
        return asyncio.open_connection("127.0.0.1", self.port, **values)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS for hooks.example.com, and a client's that trusts its authority."""
    folder = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)

    def certificate(name: str, signer: Any, issuer: str, key: Any, *, ca: bool) -> x509.Certificate:  # noqa: ANN401 - keys
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(signer, hashes.SHA256())
        )

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("ca.example.com", root_key, "ca.example.com", root_key, ca=True)
    leaf = certificate("hooks.example.com", root_key, "ca.example.com", key, ca=False)
    files = {"root": folder / "root.pem", "leaf": folder / "leaf.pem", "key": folder / "key.pem"}
    files["root"].write_bytes(root.public_bytes(serialization.Encoding.PEM))
    files["leaf"].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files["leaf"], files["key"])
    return server, ssl.create_default_context(cafile=str(files["root"]))


async def test_an_allowed_address_is_called_with_the_method_headers_and_body_given() -> None:
    async with peer(lambda _: OK) as found:
        reply = await found.client().request(
            "POST", f"{found.url}/a?b=c", headers={"X-Key": "v"}, body=b"{}", deadline_s=5, limit_bytes=10
        )
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"ok", "2")
    lines = found.heads[0].decode().lower().split("\r\n")
    assert lines[0] == "post /a?b=c http/1.1"
    wanted = {f"host: 127.0.0.1:{found.port}", "x-key: v", "content-length: 2", "accept-encoding: identity"}
    assert wanted | {"connection: close"} <= set(lines)


async def test_an_address_that_was_not_allowed_is_never_connected_to() -> None:
    async with peer(lambda _: OK) as found:
        with pytest.raises(OutboundRefused):
            await get(OutboundClient(), found.url)
        with pytest.raises(OutboundRefused):
            await get(OutboundClient(allowed=read_allowed(["127.0.0.1:1"])), found.url)
    assert found.heads == []


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        ["::ffff:169.254.169.254"],
        ["fe80::1%eth0"],
        ["64:ff9b::a00:1"],
    ],
)
async def test_a_name_with_any_address_that_is_not_public_is_refused_without_telling_it(answers: list[str]) -> None:
    dialled = Dialled(1)
    with pytest.raises(OutboundRefused) as refused:
        await get(OutboundClient(resolver=Names(answers), dial=dialled), "https://hooks.example.com/")
    assert dialled.addresses == []
    assert not any(address in refused.value.message for address in answers)


async def test_a_name_is_looked_up_once_and_its_checked_address_is_the_one_connected_to(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = authority
    names = Names([PUBLIC], ["127.0.0.1"])
    async with peer(lambda _: OK, tls=server) as found:
        dialled = Dialled(found.port)
        client = OutboundClient(resolver=names, dial=dialled, tls=trusting)
        assert (await get(client, "https://hooks.example.com/a")).body == b"ok"
        assert (names.asked, dialled.addresses) == (["hooks.example.com"], [PUBLIC])
        with pytest.raises(OutboundRefused):
            await get(client, "https://hooks.example.com/a")
    assert dialled.addresses == [PUBLIC]
    assert b"host: hooks.example.com\r\n" in found.heads[0].lower()


async def test_a_certificate_must_be_trusted_and_name_the_host(
    authority: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, trusting = authority
    async with peer(lambda _: OK, tls=server) as found:
        values = {"resolver": Names([PUBLIC]), "dial": Dialled(found.port)}
        for client, host in (
            (OutboundClient(tls=trusting, **values), "other.example.com"),  # type: ignore[arg-type] # as above
            (OutboundClient(**values), "hooks.example.com"),  # type: ignore[arg-type] # as above
        ):
            with pytest.raises(OutboundFailed, match="certificate"):
                await get(client, f"https://{host}/")
    assert found.heads == []


async def test_a_redirect_is_an_answer_like_others_unless_it_shall_be_followed() -> None:
    def script(head: bytes) -> bytes:
        return OK if b"GET /b" in head else b"HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"

    async with peer(script) as found:
        assert (await get(found.client(), f"{found.url}/a")).status == 302
        assert (await get(found.client(), f"{found.url}/a", follow_redirects=True)).body == b"ok"


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/",
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "http://[::ffff:127.0.0.1]/",
        "http://[",
        "file:///etc/passwd",
        "https://localhost/",
        "https://user@example.com/",
    ],
)
async def test_a_redirect_to_a_hostile_address_is_refused(location: str) -> None:
    answer = f"HTTP/1.1 307 Temporary\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
    async with peer(lambda _: answer) as found:
        with pytest.raises(OutboundRefused):
            await get(found.client(), found.url, follow_redirects=True)
    assert len(found.heads) == 1


async def test_a_redirect_to_a_name_that_resolves_inwards_is_refused() -> None:
    answer = b"HTTP/1.1 302 Found\r\nlocation: https://rebound.example.com/\r\ncontent-length: 0\r\n\r\n"
    async with peer(lambda _: answer) as found:
        names = Names(["127.0.0.1"])
        with pytest.raises(OutboundRefused):
            await get(found.client(resolver=names), found.url, follow_redirects=True)
    assert names.asked == ["127.0.0.1", "rebound.example.com"]


async def test_a_redirect_from_https_to_http_is_refused(authority: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, trusting = authority
    answer = b"HTTP/1.1 302 Found\r\nlocation: http://idp.example.internal:80/\r\ncontent-length: 0\r\n\r\n"
    async with peer(lambda _: answer, tls=server) as found:
        client = OutboundClient(
            allowed=read_allowed(["idp.example.internal:80"]),
            resolver=Names([PUBLIC]),
            dial=Dialled(found.port),
            tls=trusting,
        )
        with pytest.raises(OutboundRefused, match="https to http"):
            await get(client, "https://hooks.example.com/", follow_redirects=True)


async def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    async with peer(lambda _: OK) as other:
        location = f"HTTP/1.1 302 Found\r\nlocation: {other.url}/b\r\ncontent-length: 0\r\n\r\n".encode()
        async with peer(lambda _: location) as first:
            allowed = read_allowed([f"127.0.0.1:{first.port}", f"127.0.0.1:{other.port}"])
            headers = {"Authorization": "Bearer secret", "X-Signature": "secret", "Cookie": "secret", "Accept": "a/b"}
            reply = await OutboundClient(allowed=allowed).request(
                "POST",
                first.url,
                headers=headers,
                body=b"secret",
                deadline_s=5,
                limit_bytes=10,
                follow_redirects=True,
            )
    assert reply.body == b"ok"
    assert first.heads[0].count(b"secret") == 3
    assert b"secret" not in other.heads[0]
    assert other.heads[0].startswith(b"GET /b")
    assert b"accept: a/b" in other.heads[0].lower()


async def test_redirects_without_end_are_not_followed() -> None:
    async with peer(lambda _: b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n") as found:
        with pytest.raises(OutboundFailed, match="more than 3"):
            await get(found.client(), found.url, follow_redirects=True)
    assert len(found.heads) == 4


async def test_an_answer_that_dribbles_ends_at_the_deadline() -> None:
    async def dribble() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
        while True:
            await asyncio.sleep(0.02)
            yield b"a"

    async with peer(lambda _: dribble()) as found:
        with pytest.raises(OutboundTimedOut):
            await get(found.client(), found.url, deadline_s=0.2)


async def test_a_name_server_that_does_not_answer_ends_at_the_deadline() -> None:
    async def never(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    with pytest.raises(OutboundTimedOut):
        await get(OutboundClient(resolver=never), "https://hooks.example.com/", deadline_s=0.05)


async def _flood(head: bytes, part: bytes) -> AsyncIterator[bytes]:
    yield head
    while True:
        yield part


FLOODS: dict[str, Callable[[], bytes | AsyncIterator[bytes]]] = {
    "declared": lambda: b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n",
    "chunked without end": lambda: _flood(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1000\r\n" + b"a" * 4096 + b"\r\n"
    ),
    "until the connection ends": lambda: _flood(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 4096),
    "a head without end": lambda: _flood(b"HTTP/1.1 200 OK\r\n", b"x: " + b"a" * 1000 + b"\r\n"),
    "a header without end": lambda: _flood(b"HTTP/1.1 200 OK\r\nx: ", b"a" * 4096),
    "many headers": lambda: b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 101 + b"content-length: 0\r\n\r\n",
    "interim answers without end": lambda: _flood(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a compressed bomb": lambda: (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 50\r\n\r\n" + gzip.compress(b"0" * 10_000)
    ),
    "no HTTP": lambda: b"SSH-2.0-OpenSSH_9.2\r\n",
    "two lengths": lambda: b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "nothing": lambda: b"",
    "half an answer": lambda: b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_peer_that_sends_too_much_or_too_little_is_a_failure_that_says_so(
    flood: Callable[[], bytes | AsyncIterator[bytes]],
) -> None:
    async with peer(lambda _: flood()) as found:
        with pytest.raises(OutboundFailed) as failed:
            await get(found.client(), found.url)
    assert type(failed.value) is OutboundFailed


async def test_a_body_up_to_the_limit_is_whole() -> None:
    body = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n" + b"a" * 1000 + b"\r\n0\r\n\r\n"
    async with peer(lambda _: body) as found:
        assert (await get(found.client(), found.url)).body == b"a" * 1000


async def test_an_answer_is_read_as_it_comes_and_may_be_left_before_its_end() -> None:
    sent = [0]

    async def stream() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nx-a: b\r\n\r\nfirst"
        while True:
            await asyncio.sleep(0.01)
            sent.append(sent[-1] + 1)
            yield b"."

    async with peer(lambda _: stream()) as found:
        async with found.client().open("GET", found.url, deadline_s=5, limit_bytes=100) as answer:
            assert (answer.status, answer.headers["x-a"]) == (200, "b")
            assert (await answer.read()).startswith(b"first")
            assert await answer.read() == b"."
        async with asyncio.timeout(5):
            before = -1
            while before != sent[-1]:
                before = sent[-1]
                await asyncio.sleep(0.2)


async def test_small_chunks_that_came_together_are_read_together() -> None:
    body = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 900 + b"0\r\n\r\n"
    async with (
        peer(lambda _: body) as found,
        found.client().open("GET", found.url, deadline_s=5, limit_bytes=1000) as answer,
    ):
        parts = []
        while part := await answer.read():
            parts.append(part)
        assert b"".join(parts) == b"a" * 900
        assert len(parts) < 90
        assert await answer.read() == b""


async def test_an_open_answer_ends_at_the_deadline_whatever_its_reader_does() -> None:
    async with peer(lambda _: OK) as found:
        with pytest.raises(OutboundTimedOut):
            async with found.client().open("GET", found.url, deadline_s=0.1, limit_bytes=10):
                await asyncio.sleep(60)


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_an_answer_that_is_read_as_it_comes_has_the_same_limits(
    flood: Callable[[], bytes | AsyncIterator[bytes]],
) -> None:
    async with peer(lambda _: flood()) as found:
        with pytest.raises(OutboundFailed):
            await _read_out(found)


async def _read_out(found: Peer) -> None:
    async with found.client().open("GET", found.url, deadline_s=5, limit_bytes=1000) as answer:
        while await answer.read():
            pass


async def test_an_address_that_was_not_allowed_is_never_opened() -> None:
    async with peer(lambda _: OK) as found:
        with pytest.raises(OutboundRefused):
            async with OutboundClient().open("GET", found.url, deadline_s=5, limit_bytes=10):
                pass
    assert found.heads == []


async def test_a_closed_port_and_an_unknown_name_are_failures() -> None:
    async with peer(lambda _: OK) as found:
        pass
    with pytest.raises(OutboundFailed, match="no connection"):
        await get(found.client(), found.url)
    with pytest.raises(OutboundFailed, match="no address"):
        await get(OutboundClient(resolver=Names([])), "https://hooks.example.com/")


@pytest.mark.parametrize("headers", [{"Host": "evil"}, {"Content-Length": "1"}, {"x": "a\r\nb: c"}, {"x y": "a"}])
async def test_a_header_that_would_change_the_framing_is_the_callers_bug(headers: dict[str, str]) -> None:
    async with peer(lambda _: OK) as found:
        with pytest.raises(ValueError, match=r".+"):
            await get(found.client(), found.url, headers=headers)
