"""Sending mail: one message over SMTP, in a thread, encrypted before anything that matters is said.

`smtp://` means STARTTLS, which a server beyond this machine must offer: the links in these messages are keys, and an
attacker in between can strip the offer. `smtps://` means TLS from the first byte.
"""

import asyncio
import ipaddress
import re
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

from ali.features.identity.letters import Letter
from ali.kernel import log
from ali.kernel.errors import InvalidRequest, Unavailable
from ali.kernel.settings import Settings

TIMEOUT_S: Final = 15.0
_AT_ONCE: Final = 2
_LONGEST_ADDRESS: Final = 254
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")


class MailFailed(Unavailable):
    """503: the mail server did not take a message."""

    code = "mail_not_sent"


class AddressRefused(InvalidRequest):
    """400: not an e-mail address that mail can be sent to."""

    code = "invalid_email_address"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in."""

    host: str
    port: int
    implicit_tls: bool
    user: str | None
    password: str | None = field(repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, where nobody listens in between."""
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"


def mail_server(url: str) -> MailServer:
    """`smtp(s)://user:password@host:port`, read. Raises ValueError, without the URL in its text."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port of the mail server is no number") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ValueError("a mail server is written smtp://user:password@host:port, or smtps://")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("a mail server's address has both a user and a password, or neither")
    return MailServer(
        host=parts.hostname,
        port=port or (465 if parts.scheme == "smtps" else 587),
        implicit_tls=parts.scheme == "smtps",
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def mailer_of(settings: Settings) -> "Mailer | None":
    """The mailer that the settings ask for; None where they name no server. Raises ValueError for one that is wrong."""
    if settings.smtp_url is None:
        return None
    server = mail_server(settings.smtp_url.get_secret_value())
    if settings.mail_from is None or not parseaddr(settings.mail_from)[1]:
        raise ValueError("ALI_MAIL_FROM must be set with ALI_SMTP_URL: an address, or Name <user@example.com>")
    return Mailer(server, sender=settings.mail_from)


def checked_address(text: str) -> str:
    """An e-mail address, as HTML defines one for forms: RFC 5321's without quotes, comments and line ends, all ASCII.

    Raises `AddressRefused`.
    """
    if len(text) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(text):
        raise AddressRefused("This is not an e-mail address. Write it as user@example.com.", param="email")
    return text


def message(letter: Letter, *, sender: str, recipient: str, now: datetime) -> EmailMessage:
    """A letter ready to be sent. Raises `AddressRefused`, and ValueError for a `sender` that is none.

    Headers cannot be injected: the library refuses line ends in them, and the addresses were checked.
    """
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2]
    if not domain:
        raise ValueError("the sender of mail is written Name <user@example.com>")
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=name, addr_spec=address)
    mail["To"] = Address(addr_spec=checked_address(recipient))
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = make_msgid(domain=domain)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answering machine answers
    mail.set_content(letter.text)
    mail["Content-Language"] = letter.language  # after the content, which replaces all headers of that family
    return mail


class Mailer:
    """Hands messages to one server, two at once; each on a connection of its own."""

    def __init__(self, server: MailServer, *, sender: str, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._tls = tls or ssl.create_default_context()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def send(self, letter: Letter, *, recipient: str, now: datetime) -> None:
        """Send one letter; returns when the server has taken it. Raises `MailFailed` or `AddressRefused`.

        Waits at most `TIMEOUT_S` for each answer of the server. The log says that it was sent, not to whom.
        """
        mail = message(letter, sender=self._sender, recipient=recipient, now=now)
        async with self._turns:
            try:
                await asyncio.to_thread(self._deliver, mail)
            except (smtplib.SMTPException, OSError) as error:
                log.warning("mail.failed", letter=letter.name, error_type=type(error).__name__)
                raise MailFailed(
                    "The mail could not be sent. Try again shortly; an operator finds the cause in the log "
                    "(event mail.failed) and the server's address in ALI_SMTP_URL."
                ) from error
        log.info("mail.sent", letter=letter.name)

    def _deliver(self, mail: EmailMessage) -> None:
        server = self._server
        # We greet as the sender's domain: smtplib would ask the name service who we are, and tell the host's own name.
        us = mail["From"].addresses[0].domain
        if server.implicit_tls:
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, local_hostname=us, timeout=TIMEOUT_S, context=self._tls
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, local_hostname=us, timeout=TIMEOUT_S)
        try:
            if not server.implicit_tls:
                connection.ehlo()
                if connection.has_extn("starttls") or not server.is_local:
                    connection.starttls(context=self._tls)  # raises where the server has none
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password)
            connection.send_message(mail)
            with suppress(smtplib.SMTPException, OSError):  # it is sent, however the server says goodbye
                connection.quit()
        finally:
            connection.close()  # smtplib's own end of a `with` would wait for an answer, also after a failed handshake
