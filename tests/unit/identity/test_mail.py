"""Mail reaches a real SMTP server, encrypted where it leaves the machine, and nobody writes headers of their own."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ali.features.identity.letters import Letter, invitation, language_for, password_reset
from ali.features.identity.mail import (
    AddressRefused,
    Mailer,
    MailFailed,
    MailServer,
    checked_address,
    mail_server,
    message,
)

NOW: Final = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
LINK: Final = "https://ali.example/reset#ali_rst_" + "x" * 49
SENDER: Final = "Ali São Paulo <ali@example.com>"
LETTER: Final = password_reset(link=LINK, valid_for=dt.timedelta(hours=1), language="pt-BR")
USER, PASSWORD = "mailer", "p:a/s s@word"


class Inbox:
    """What the server took, and how it was handed in."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.encrypted: list[bool] = []
        self.users: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: ANN401, N802 - aiosmtpd's own names and types
        self.envelopes.append(envelope)
        self.encrypted.append(server.transport.get_extra_info("cipher") is not None)
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:  # noqa: ANN401 - aiosmtpd's own signature
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        if good:
            self.users.append(USER)
        return AuthResult(success=good, handled=False)

    def only(self) -> EmailMessage:
        """The one message that came. No property, since aiosmtpd reads all attributes of its handler."""
        (envelope,) = self.envelopes
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        return mail


@asynccontextmanager
async def serving(
    inbox: Inbox,
    *,
    ssl_context: ssl.SSLContext | None = None,
    **values: Any,  # noqa: ANN401 - aiosmtpd's own options
) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(inbox, hostname="mail.example", loop=loop, **values), "127.0.0.1", 0, ssl=ssl_context
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signs itself, and its key, in one file."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
        .not_valid_after(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


def at(port: int, *, scheme: str = "smtp", host: str = "localhost", credentials: str = "") -> MailServer:
    return mail_server(f"{scheme}://{credentials}{host}:{port}")


async def test_a_letter_arrives_as_it_was_written(inbox: Inbox) -> None:
    async with serving(inbox) as port:
        await Mailer(at(port), sender=SENDER).send(LETTER, recipient="ana@example.com", now=NOW)
    mail = inbox.only()
    assert mail["subject"] == LETTER.subject
    assert mail["from"] == "Ali São Paulo <ali@example.com>"
    assert mail["to"] == "ana@example.com"
    assert mail["content-language"] == "pt-BR"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail["date"].datetime == NOW
    assert mail["message-id"].endswith("@example.com>")
    assert mail.get_content().replace("\r\n", "\n") == LETTER.text
    assert (inbox.envelopes[0].mail_from, inbox.envelopes[0].rcpt_tos) == ("ali@example.com", ["ana@example.com"])


async def test_credentials_and_letter_go_through_starttls(
    inbox: Inbox, certificate: Path, server_tls: ssl.SSLContext
) -> None:
    async with serving(inbox, tls_context=server_tls, authenticator=inbox.authenticate, auth_required=True) as port:
        server = at(port, credentials="mailer:p%3Aa%2Fs%20s%40word@")
        await Mailer(server, sender=SENDER, tls=trusting(certificate)).send(
            LETTER, recipient="ana@example.com", now=NOW
        )
    assert (inbox.users, inbox.encrypted) == ([USER], [True])


async def test_wrong_credentials_are_a_failure_that_names_no_secret(
    inbox: Inbox, certificate: Path, server_tls: ssl.SSLContext
) -> None:
    async with serving(inbox, tls_context=server_tls, authenticator=inbox.authenticate, auth_required=True) as port:
        mailer = Mailer(at(port, credentials="mailer:wrong-one@"), sender=SENDER, tls=trusting(certificate))
        with pytest.raises(MailFailed) as failure:
            await mailer.send(LETTER, recipient="ana@example.com", now=NOW)
    assert "wrong-one" not in failure.value.message
    assert not inbox.envelopes


async def test_a_letter_goes_over_tls_from_the_first_byte(
    inbox: Inbox, certificate: Path, server_tls: ssl.SSLContext
) -> None:
    async with serving(inbox, ssl_context=server_tls) as port:
        mailer = Mailer(at(port, scheme="smtps"), sender=SENDER, tls=trusting(certificate))
        await mailer.send(LETTER, recipient="ana@example.com", now=NOW)
    assert inbox.encrypted == [True]


async def test_a_certificate_that_nobody_vouches_for_stops_the_letter(inbox: Inbox, server_tls: ssl.SSLContext) -> None:
    async with serving(inbox, tls_context=server_tls) as port:
        with pytest.raises(MailFailed, match="ALI_SMTP_URL"):
            await Mailer(at(port), sender=SENDER).send(LETTER, recipient="ana@example.com", now=NOW)
    assert not inbox.envelopes


async def test_a_distant_server_that_offers_no_starttls_gets_neither_credentials_nor_letter(inbox: Inbox) -> None:
    """As when somebody in between strips the offer. The address is loopback's by a name that does not say so."""

    class Distant(MailServer):
        __slots__ = ()

        @property
        def is_local(self) -> bool:
            return False

    async with serving(inbox, authenticator=inbox.authenticate, auth_require_tls=False) as port:
        server = Distant(host="127.0.0.1", port=port, implicit_tls=False, user=USER, password=PASSWORD)
        with pytest.raises(MailFailed):
            await Mailer(server, sender=SENDER).send(LETTER, recipient="ana@example.com", now=NOW)
    assert (inbox.users, inbox.envelopes) == ([], [])


async def test_no_server_is_a_failure_that_says_where_to_look() -> None:
    with pytest.raises(MailFailed, match="ALI_SMTP_URL"):
        await Mailer(at(1, host="127.0.0.1"), sender=SENDER).send(LETTER, recipient="ana@example.com", now=NOW)


@pytest.mark.parametrize(
    "recipient",
    [
        "ana@example.com\r\nBcc: eve@example.com",
        "ana@example.com\nSubject: x",
        "ana@example.com, eve@example.com",
        "ana@example.com;eve@example.com",
        "Ana <ana@example.com>",
        "<ana@example.com>",
        "ana@example.com>",
        "ana@@example.com",
        "ana example.com",
        "ana@exa mple.com",
        "ana@",
        "@example.com",
        "",
        "ana@localhost",
        "ana@example.com\0",
        "ana\u2028@example.com",
        "a" * 250 + "@example.com",
        "ana@example..com",
        "a..b@example.com",
        ".a@example.com",
        "ana@-example.com",
        '"ana x"@example.com',
        "ana@ex\u00e4mple.com",
        "a" * 65 + "@example.com",
        "(comment)ana@example.com",
    ],
)
async def test_an_address_cannot_bring_headers_or_recipients_of_its_own(recipient: str, inbox: Inbox) -> None:
    with pytest.raises(AddressRefused):
        checked_address(recipient)
    async with serving(inbox) as port:
        with pytest.raises(AddressRefused):
            await Mailer(at(port), sender=SENDER).send(LETTER, recipient=recipient, now=NOW)
    assert not inbox.envelopes


@pytest.mark.parametrize("address", ["ana@example.com", "ana.souza+ali@sub.example.com.br", "o'neil@example.org"])
def test_an_ordinary_address_is_taken(address: str) -> None:
    assert checked_address(address) == address


def test_a_subject_with_a_line_end_is_refused_by_the_message_itself() -> None:
    letter = Letter(name="x", language="en", subject="Hello\r\nBcc: eve@example.com", text="x")
    with pytest.raises(ValueError, match="carriage return"):
        message(letter, sender=SENDER, recipient="ana@example.com", now=NOW)


def test_an_organizations_name_can_write_no_paragraphs_and_no_links() -> None:
    name = 'Evil"\r\n\r\nPay here: https://evil.example/\r\n{link} ' + "x" * 200
    letter = invitation(organization=name, link=LINK, valid_for=dt.timedelta(days=7), language="en")
    plain = invitation(organization="Acme", link=LINK, valid_for=dt.timedelta(days=7), language="en")
    assert letter.text.count("\n") == plain.text.count("\n")
    assert letter.text.count("://") == letter.text.count(LINK) == 1
    assert letter.subject == plain.subject


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_each_letter_says_what_the_link_does_and_how_long_it_works(language: Any) -> None:  # noqa: ANN401 - a parameter
    reset = password_reset(link=LINK, valid_for=dt.timedelta(hours=1), language=language)
    invited = invitation(organization="Padaria Açaí", link=LINK, valid_for=dt.timedelta(days=7), language=language)
    assert LINK in reset.text
    assert LINK in invited.text
    assert "Padaria Açaí" in invited.text
    assert {"en": "1 hour", "pt-BR": "1 hora"}[language] in reset.text
    assert {"en": "7 days", "pt-BR": "7 dias"}[language] in invited.text
    assert LINK not in repr(reset)


@pytest.mark.parametrize(
    ("preference", "language"),
    [(None, "en"), ("", "en"), ("pt", "pt-BR"), ("pt_BR", "pt-BR"), ("PT-pt", "pt-BR"), ("en-GB", "en"), ("ptx", "en")],
)
def test_the_nearest_language_is_written_in(preference: str | None, language: str) -> None:
    assert language_for(preference) == language


def test_a_mail_servers_address_is_read_with_its_defaults() -> None:
    assert mail_server("smtp://mail.example").port == 587
    assert mail_server("smtps://mail.example").port == 465
    server = mail_server("smtps://a%40b:c%2Fd@mail.example:2465")
    assert (server.user, server.password, server.host, server.port) == ("a@b", "c/d", "mail.example", 2465)
    assert "c/d" not in repr(server)
    assert [mail_server(f"smtp://{host}").is_local for host in ("localhost", "127.0.0.1", "[::1]", "10.0.0.1")] == [
        *(True, True, True),
        False,
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        "smtp://@",
        "mail.example:25",
        "smtp://only-user@x",
        "smtp://x/path",
        "smtp://x:port",
        "smtp://x?tls=no",
    ],
)
def test_an_address_that_is_no_mail_servers_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is asserted below
        mail_server(url)
    assert url not in str(refusal.value)
