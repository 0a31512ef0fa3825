"""Letters over SMTP: one connection a batch, verified TLS before a password, one verdict a letter.

smtplib is used for its wire only. Its `login` would try a wrong password once a mechanism (locking accounts) and
takes ASCII only; its `sendmail` leaves a transaction open after a refused DATA. Both are done here, one step at a time.
"""

from __future__ import annotations

import base64
import ssl
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from app.destinations.base import DeliveryFailed, Sent
from app.destinations.email.line import CHALLENGE, Line, cleared, ends_line, expect, read_errors, refused_by
from app.log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.destinations.base import Outcome
    from app.destinations.email.text import Letter
    from app.destinations.entra import EntraToken

_NAMES = {"starttls": "STARTTLS", "tls": "TLS", "none": "not encrypted"}
_TOO_MANY = "452 4.5.3"  # too many recipients for one transaction: the rest go in another
_REMEMBERED = 1000  # letters of which we know whom they reached
# Ours, for want of a reply: the server didn't offer what the settings ask for.
_NO_STARTTLS = "smtp.starttls-not-offered"
_NO_AUTH = "smtp.auth-not-offered"
_UNTRUSTED = "network.tls-untrusted"


class SmtpTransport:
    """Connects, signs in and hands over, as the destination's settings say."""

    def __init__(self, name: str, settings: Mapping[str, Any], *, token: EntraToken | None, timeout: float) -> None:
        """Keep what a connection takes; `token` for `auth = "oauth"`, `timeout` in seconds for each answer."""
        self._name = name
        self._settings = settings
        self._token = token
        self._timeout = timeout
        self._reached: OrderedDict[str, set[str]] = OrderedDict()  # Message-ID → who has the letter already

    @contextmanager
    def connected(self) -> Iterator[Callable[[Letter], tuple[Outcome, DeliveryFailed | None]]]:
        """Open a connection for a batch; gives what takes a letter and says its outcome, and why to stop if so.

        Raises:
            DeliveryFailed: connecting, securing or signing in failed.

        """
        with self._signed_in() as line:
            yield lambda letter: self._hand_over(line, letter)

    def check(self) -> str:
        """Do all that sending does up to the content, and take it back.

        Raises:
            DeliveryFailed: what `connected` raises, or the sender or every recipient is refused.

        """
        with self._signed_in() as line, read_errors():
            expect(line.mail(self._settings["from_address"]))
            refused = [no for no in (refused_by(line.rcpt(to)) for to in self._settings["to"]) if no]
            line.rset()
        lasting = [no for no in refused if no.status is not None and no.status >= 500]  # noqa: PLR2004
        if len(lasting) == len(self._settings["to"]):
            raise lasting[0]
        return self._described(lasting)

    def close(self) -> None:
        """Nothing is kept open between batches."""

    def _described(self, lasting: list[DeliveryFailed]) -> str:
        given = self._settings
        signed = f"signed in as {given['username']}" if given["auth"] else "not signed in"
        found = (
            f"{given['host']}:{given['port']}, {_NAMES[given['security']]}, {signed}, sends as {given['from_address']}"
        )
        if lasting:
            found += f"; {len(lasting)} of {len(given['to'])} recipients refused ({lasting[0].code})"
        return found

    # --- the connection

    @contextmanager
    def _signed_in(self) -> Iterator[Line]:
        token = self._token.get() if self._token else None  # before connecting: a server won't wait for Entra
        line = self._dialled()
        try:
            with read_errors():
                self._secure(line)
                self._sign_in(line, token)
            yield line
            with suppress(OSError):
                line.docmd("QUIT")
        finally:
            line.close()

    def _dialled(self) -> Line:
        given = self._settings
        sender_domain = given["from_address"].rpartition("@")[2]
        with read_errors():
            implicit = self._context() if given["security"] == "tls" else None
            # Naming the sender's domain also spares smtplib's look-up of our own name, which has no timeout.
            return Line(given["host"], given["port"], greeting=sender_domain, timeout=self._timeout, context=implicit)

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._settings["ca_bundle"])
        except OSError as exc:  # no such file, or not a PEM
            why = f"ca_bundle can't be used: {type(exc).__name__}"
            raise DeliveryFailed(_UNTRUSTED, detail=why, about=why) from None

    def _secure(self, line: Line) -> None:
        expect(line.ehlo())
        if self._settings["security"] == "starttls":
            if not line.has_extn("starttls"):
                raise DeliveryFailed(_NO_STARTTLS)
            line.starttls(context=self._context())
            expect(line.ehlo())

    def _sign_in(self, line: Line, token: str | None) -> None:
        if self._settings["auth"] is None:
            return
        offered = line.esmtp_features.get("auth", "").upper().split()
        known = ["XOAUTH2"] if token else ["PLAIN", "LOGIN"]
        chosen = next((name for name in known if name in offered), None)
        if chosen is None:
            raise DeliveryFailed(_NO_AUTH, detail=f"offered: {' '.join(offered) or 'nothing'}")
        refused = refused_by(self._answered(line, chosen, token))
        if refused and self._token:
            self._token.forget()  # the next attempt shows a new one
        if refused:
            raise refused

    def _answered(self, line: Line, mechanism: str, token: str | None) -> tuple[int, bytes]:
        user = self._settings["username"]
        if mechanism == "XOAUTH2":
            shown = f"user={user}\x01auth=Bearer {token}\x01\x01"
            reply = line.docmd("AUTH", f"XOAUTH2 {_b64(shown)}")
            # A 334 here carries the error as JSON; an empty line asks for the refusal itself.
            return line.docmd("") if reply[0] == CHALLENGE else reply
        password = self._settings["password"].reveal()
        if mechanism == "PLAIN":
            shown = f"\0{user}\0{password}"
            return line.docmd("AUTH", f"PLAIN {_b64(shown)}")
        reply = line.docmd("AUTH", "LOGIN")
        for answer in (user, password):
            if reply[0] != CHALLENGE:
                break
            reply = line.docmd(_b64(answer))
        return reply

    # --- one letter

    def _hand_over(self, line: Line, letter: Letter) -> tuple[Outcome, DeliveryFailed | None]:
        """Give the letter's outcome, and what the letters after it must fail with, if the line is of no more use."""
        try:
            with read_errors():
                return self._sent(line, letter), None
        except _SenderRefused as refused:
            return refused.why, refused.why  # the same sender on every letter
        except DeliveryFailed as failed:
            return failed, failed if ends_line(failed) else cleared(line)

    def _sent(self, line: Line, letter: Letter) -> Sent:
        has_it = self._reached.get(letter.message_id, set())
        todo = [to for to in self._settings["to"] if to not in has_it]
        refused: dict[str, DeliveryFailed] = {}
        while todo:
            took, no = self._transaction(line, letter.content, todo)
            has_it = has_it | set(took)
            self._remember(letter, has_it)
            again = [to for to in no if took and no[to].code == _TOO_MANY]
            refused |= {to: no[to] for to in no if to not in again}
            todo = again
        return self._verdict(letter, refused, someone_has_it=bool(has_it))

    def _verdict(self, letter: Letter, refused: dict[str, DeliveryFailed], *, someone_has_it: bool) -> Sent:
        """Decide about a letter that not everybody got.

        A lasting refusal beside an accepted recipient is no reason to write again. A passing one is, but only to
        those who haven't got it, which is remembered for a letter that will come again unchanged.
        """
        passing = next((no for no in refused.values() if no.status is not None and no.status < 500), None)  # noqa: PLR2004
        if refused and (not someone_has_it or (passing and letter.resumable)):
            raise passing or next(iter(refused.values()))
        self._reached.pop(letter.message_id, None)
        if refused:
            codes = sorted({no.code or "" for no in refused.values()})
            told = {"refused": len(refused), "recipients": len(self._settings["to"]), "codes": codes}
            logger("email").warning("email.recipients_refused", destination=self._name, **told)
        return Sent(letter.message_id)

    def _transaction(
        self, line: Line, content: bytes, todo: Sequence[str]
    ) -> tuple[list[str], dict[str, DeliveryFailed]]:
        """Offer the content to these recipients: who took it, and who not and why."""
        if refused := refused_by(line.mail(self._settings["from_address"])):
            raise _SenderRefused(refused)
        no: dict[str, DeliveryFailed] = {}
        for to in todo:
            if refused := refused_by(line.rcpt(to)):
                no[to] = refused
                if ends_line(refused):
                    raise refused
        took = [to for to in todo if to not in no]
        if took:
            expect(line.data(content))
        else:
            expect(line.rset())
        return took, no

    def _remember(self, letter: Letter, has_it: set[str]) -> None:
        if has_it and letter.resumable:
            self._reached[letter.message_id] = has_it
            while len(self._reached) > _REMEMBERED:
                self._reached.popitem(last=False)


class _SenderRefused(Exception):  # noqa: N818  (never leaves this module)
    def __init__(self, why: DeliveryFailed) -> None:
        super().__init__()
        self.why = why


def _b64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")
