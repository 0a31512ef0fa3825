"""A real SMTP server on this machine that answers the way Exchange Online does, with certificates of its own."""
# ruff: noqa: ARG002, N802  (aiosmtpd finds its handlers by these names and calls them with all of this)

import base64
import socket
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from app.destinations.base import Parcel, Tools
from app.destinations.email import Email
from app.lead import Lead

USERNAME = "leads@contoso.example"
START = datetime(2026, 11, 20, 23, 51, tzinfo=UTC)
SENDER, TEAM = "leads@contoso.example", "sales@contoso.example"
PASSWORD = "Pässword-of-the-mailbox"  # not ASCII: smtplib's own login couldn't send it


class _Server(SMTP):
    line_length_limit = 16384  # a token is longer than what a plain command may be


class _Controller(Controller):
    """Takes any free port, and knows it before the first connection."""

    def factory(self):
        server = _Server(self.handler, **self.SMTP_kwargs)
        server.command_size_limits["AUTH"] = 12288  # RFC 4954
        return server

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class MailServer:
    """What arrived, and what to answer: `replies[verb](argument)` gives a refusal or None for yes."""

    def __init__(self, *, mechanisms=("PLAIN", "LOGIN", "XOAUTH2"), sign_in=True):
        self.mechanisms = mechanisms
        self.sign_in = sign_in
        self.mails = []  # (sender, recipients, bytes)
        self.commands = []  # every verb that reached us, in order
        self.logins = []  # (mechanism, user, secret)
        self.greeted = []
        self.tokens = {"token-1"}
        self.replies = {}
        self.port = 0

    def refuse(self, verb, text, *, when=lambda _: True):
        """Answer `verb` with `text` where its argument says so."""
        self.replies[verb] = lambda argument: text if when(argument) else None

    def parsed(self):
        return [message_from_bytes(content, policy=policy.default) for _, _, content in self.mails]

    def _answer(self, verb, argument=None):
        self.commands.append(verb)
        return self.replies.get(verb, lambda _: None)(argument)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        self.greeted.append(hostname)
        self.commands.append("EHLO")
        offered = [line for line in responses if not line.startswith("250-AUTH")]
        if self.mechanisms and (session.ssl or not server.tls_context):
            offered.insert(1, f"250-AUTH {' '.join(self.mechanisms)}")
        return offered

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.sign_in and not session.authenticated:
            return "530 5.7.57 Client not authenticated to send mail."
        refused = self._answer("MAIL", address)
        if refused is None:
            envelope.mail_from = address
        return refused or "250 2.1.0 Sender OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        refused = self._answer("RCPT", address)
        if refused is None:
            envelope.rcpt_tos.append(address)
        return refused or "250 2.1.5 Recipient OK"

    async def handle_DATA(self, server, session, envelope):
        refused = self._answer("DATA", envelope.content)
        if refused == "drop":
            server.transport.abort()
            return "250 never seen"
        if refused is None:
            self.mails.append((envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content))
        return refused or "250 2.0.0 OK"

    async def handle_RSET(self, server, session, envelope):
        return self._answer("RSET") or "250 2.0.0 Resetting"

    async def handle_QUIT(self, server, session, envelope):
        self.commands.append("QUIT")
        return "221 2.0.0 Service closing transmission channel"

    def authenticate(self, server, session, envelope, mechanism, data):
        user, secret = data.login.decode(), data.password.decode()
        return self._judged(mechanism, user, secret, known=(user, secret) == (USERNAME, PASSWORD))

    async def auth_XOAUTH2(self, server, args):
        user, bearer, *rest = base64.b64decode(args[1]).decode().split("\x01")
        assert (user[:5], bearer[:12], rest) == ("user=", "auth=Bearer ", ["", ""])
        known = user[5:] == USERNAME and bearer[12:] in self.tokens
        if not known:
            assert await server.challenge_auth('{"status":"401"}') == b""
        return self._judged("XOAUTH2", user[5:], bearer[12:], known=known)

    def _judged(self, mechanism, user, secret, *, known):
        self.logins.append((mechanism, user, secret))
        refused = self._answer("AUTH", mechanism)
        if known and refused is None:
            return AuthResult(success=True)
        told = refused or "535 5.7.3 Authentication unsuccessful"
        return AuthResult(success=False, handled=False, message=told)


@pytest.fixture(scope="session")
def authority():
    """A certificate authority that only the tests trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_bundle(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def controller(handler, *, tls, security="starttls"):
    """Put a MailServer on a free port of this machine; `start()` it and `stop()` it."""
    return _Controller(
        handler,
        hostname="127.0.0.1",
        port=0,
        ssl_context=tls if security == "tls" else None,
        tls_context=tls if security == "starttls" else None,
        auth_require_tls=security == "starttls",
        authenticator=handler.authenticate,
        enable_SMTPUTF8=False,  # a plain 7-bit server: what isn't ASCII is refused
    )


@pytest.fixture
def mail_server(server_tls):
    """Start servers by `mail_server(security, **MailServer's own)`; each is stopped at the end."""
    running = []

    def start(security="starttls", **how):
        handler = MailServer(**how)
        running.append(controller(handler, tls=server_tls, security=security))
        running[-1].start()
        handler.port = running[-1].port
        return handler

    yield start
    for one in running:
        one.stop()


@contextmanager
def listening(*, answers):
    """A port that takes connections and says nothing (`answers=False`), or one where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if answers is False:
            sock.listen(5)
        yield sock.getsockname()[1]


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self):
        self.at = START

    def __call__(self):
        return self.at

    def pass_(self, **span):
        self.at += timedelta(**span)


@pytest.fixture
def mail_clock():
    return Clock()


@pytest.fixture
def make_email(monkeypatch, ca_bundle, mail_clock):
    """Make an e-mail destination of a server (or a port), by the settings an operator would write."""
    for name, value in (
        ("MAIL_PASSWORD", PASSWORD),
        ("WRONG_PASSWORD", "not-it"),
        ("CLIENT_SECRET", "secret-of-the-app"),
    ):
        monkeypatch.setenv(name, value)
    made = []

    def new(server, *, timeout=10.0, **changes):
        port = server if isinstance(server, int) else server.port
        given = {
            "type": "email", "transport": "smtp", "host": "127.0.0.1", "port": port, "username": USERNAME,
            "password": "env:MAIL_PASSWORD", "from": SENDER, "to": [TEAM], "ca_bundle": ca_bundle,
        } | changes  # fmt: skip
        loaded = Email.schema().load({key: value for key, value in given.items() if value is not None})
        tools = Tools(now=mail_clock, public_url="https://leads.contoso.example")
        made.append(Email("team-mail", loaded, tools, timeout=timeout))
        return made[-1]

    yield new
    for destination in made:
        destination.close()


def parcel(number=1, *, test=False, domain=None, **lead):
    fields = {"offer_title": "Contoso Backup", "action_code": "INS", "lead_source": "AzureMarketplace"} | lead
    return Parcel(
        delivery_id=f"delivery-{number}", lead_id=f"lead-{number}", received_at=START, source="marketplace",
        test=test, lead=Lead(**fields), withheld_domain=domain,
    )  # fmt: skip


def parcels(count, *, first=1, **how):
    return [parcel(number, **how) for number in range(first, first + count)]
