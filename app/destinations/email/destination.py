"""The `email` destination: one mail a lead, a digest when many come, nothing personal unless asked for."""

from __future__ import annotations

import time
from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from app.destinations.base import DeliveryFailed, Erasure, Postponed, Sent, Usage, http_session
from app.destinations.email.graph import GraphTransport
from app.destinations.email.settings import EmailSchema
from app.destinations.email.smtp import SmtpTransport
from app.destinations.email.text import Letter, Section, Writer
from app.destinations.entra import EntraToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import requests

    from app.destinations.base import DestinationSchema, Outcome, Parcel, Record, Tools

HOUR = timedelta(hours=1)
MAILS_AN_HOUR = 10  # to customers' leads, beyond which they come together


class Transport(Protocol):
    """What brings letters away: SMTP or Graph."""

    def connected(self) -> AbstractContextManager[Callable[[Letter], tuple[Outcome, DeliveryFailed | None]]]:
        """Open for one batch; gives what takes a letter and says its outcome, and why to stop if so."""
        ...

    def check(self) -> str:
        """Try everything but sending, and say in one line what was found."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Pace:
    """How many mails went out in the last hour; in memory, so a restart begins a fresh hour."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._mailed: deque[datetime] = deque()
        self._digest: datetime | None = None

    def room(self, now: datetime) -> int:
        """Count the single mails that may still go out."""
        return max(0, MAILS_AN_HOUR - self.used(now))

    def used(self, now: datetime) -> int:
        """Count the single mails of the hour that ends now."""
        self._mailed = deque(at for at in self._mailed if _within_hour(at, now))
        return len(self._mailed)

    def digest_at(self, now: datetime) -> datetime:
        """Say from when a digest may go out: `now` if at once."""
        if self._digest is None or not _within_hour(self._digest, now):
            return now
        return self._digest + HOUR

    def mailed(self, now: datetime) -> None:
        """Count a single mail."""
        self._mailed.append(now)

    def digested(self, now: datetime) -> None:
        """Note that a digest went out."""
        self._digest = now


class Email:
    """A mailbox of the team as a destination."""

    schema: ClassVar[type[DestinationSchema]] = EmailSchema
    takes_notices: ClassVar[bool] = True
    max_batch: int = 100
    patience: float = 90.0  # seconds for one `send`; what wasn't reached by then comes again, well inside the lease

    def __init__(self, name: str, settings: Mapping[str, Any], tools: Tools, *, timeout: float = 30.0) -> None:
        """Take validated settings; `timeout` is the seconds a mail server may take for one answer."""
        self.name = name
        self._settings = settings
        self._tools = tools
        self._timeout = timeout
        self._pace = Pace()
        self._session: requests.Session | None = None
        self._made: Transport | None = None
        self._writer = Writer(
            sender=settings["from_address"],
            recipients=settings["to"],
            public_url=tools.public_url,
            console=tools.console,
            personal=settings["personal_data"] == "include",
        )

    def send(self, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        """Mail all that `sending` does.

        Raises:
            DeliveryFailed: connecting or signing in failed; nothing was sent.

        """
        outcomes: dict[str, Outcome] = {}
        for some in self.sending(parcels):
            outcomes |= some
        return [outcomes[parcel.delivery_id] for parcel in parcels]

    def sending(self, parcels: Sequence[Parcel]) -> Iterator[Mapping[str, Outcome]]:
        """Mail each parcel by itself while the hour has room, else all in one digest, else ask for them later.

        Raises:
            DeliveryFailed: connecting or signing in failed; nothing was sent.

        """
        now = self._tools.now()
        tests = [parcel for parcel in parcels if parcel.test]
        singles, together, until = self._planned([parcel for parcel in parcels if not parcel.test], now)
        posts = [(self._writer.letter(parcel, now=now), [parcel]) for parcel in singles + tests]
        if together:
            posts.insert(0, (self._writer.digest(together, now=now), together))
        left: dict[str, Outcome] = {parcel.delivery_id: Postponed(until or now) for parcel in parcels}
        try:
            for mine, outcome in self._posted(posts):
                if isinstance(outcome, Sent):
                    self._count(mine, digest=mine is together, now=now)
                yield {parcel.delivery_id: outcome for parcel in mine}
                for parcel in mine:
                    del left[parcel.delivery_id]
        except DeliveryFailed as failed:
            if until is None:
                raise
            left |= {parcel.delivery_id: failed for _, mine in posts for parcel in mine if parcel.delivery_id in left}
        if left:
            yield left

    def erase(self, records: Sequence[Record]) -> Sequence[Erasure]:
        """Say that mails can't be called back; those that only link here have nothing personal."""
        people = ", ".join(self._settings["to"])
        told = f"A mail can't be called back: delete it in the mailboxes of {people}."
        linked = self._settings["personal_data"] != "include"
        one = (
            Erasure(erased=True, told="The mail had a link and nothing personal.")
            if linked
            else Erasure(erased=False, told=told)
        )
        return [one] * len(records)

    def addressed(self, to: Sequence[str]) -> Email:
        """Make another of the same settings that writes to these people."""
        settings = {**self._settings, "to": list(dict.fromkeys(to))}
        return Email(self.name, settings, self._tools, timeout=self._timeout)

    def tell(
        self,
        name: str,
        *,
        subject: str,
        title: str,
        parts: Sequence[tuple[Sequence[tuple[str, str]], str]],
        at: datetime,
    ) -> None:
        """Mail something that is no lead: parts are labels and values, then a paragraph.

        The same `name` and `at` give the same Message-ID and Date.

        Raises:
            DeliveryFailed: it was not taken, as far as is known.

        """
        sections = [Section(facts=list(facts), prose=prose, quoted=[]) for facts, prose in parts]
        letter = self._writer.told(name, subject=subject, title=title, sections=sections, at=at)
        with self._transport().connected() as post:
            outcome, _ = post(letter)
        if isinstance(outcome, DeliveryFailed):
            raise outcome

    @property
    def usage(self) -> Usage:
        """How many customers' leads were mailed singly in an hour: beyond the limit, which is ours, they wait."""
        return Usage(self._pace.used(self._tools.now()), MAILS_AN_HOUR, "single mails in an hour, then digests")

    def check(self) -> str:
        """Connect, secure, sign in and ask whether we may send; no mail goes out.

        Raises:
            DeliveryFailed: what `send` would run into.

        """
        return self._transport().check()

    def close(self) -> None:
        """Let go of connections."""
        if self._made is not None:
            self._made.close()
        if self._session is not None:
            self._session.close()
        self._made = self._session = None

    def _planned(self, customers: list[Parcel], now: datetime) -> tuple[list[Parcel], list[Parcel], datetime | None]:
        """Divide into those mailed singly, those mailed together, and until when they wait otherwise."""
        if len(customers) <= self._pace.room(now):
            return customers, [], None
        start = self._pace.digest_at(now)
        return ([], customers, None) if start <= now else ([], [], start)

    def _posted(self, posts: list[tuple[Letter, list[Parcel]]]) -> Iterator[tuple[list[Parcel], Outcome]]:
        """Hand letters over and give what became of each, until all are gone or patience ran out."""
        if not posts:
            return
        start, broken, tried = time.monotonic(), None, 0
        with self._transport().connected() as post:
            for letter, mine in posts:
                if broken is None and tried and time.monotonic() - start > self.patience:
                    return
                outcome, broken = (broken, broken) if broken else post(letter)
                tried += 1
                yield mine, outcome

    def _count(self, mine: list[Parcel], *, digest: bool, now: datetime) -> None:
        if digest:
            self._pace.digested(now)
        elif not mine[0].test:
            self._pace.mailed(now)

    def _transport(self) -> Transport:
        """Make the transport at its first use: sessions belong to the lane's thread."""
        if self._made is None:
            if self._settings["transport"] == "graph":
                token = self._token(scope=f"{self._settings['graph_url'].rstrip('/')}/.default")
                self._made = GraphTransport(self._settings, token=token, session=self._http(), now=self._tools.now)
            else:
                oauth = self._settings["auth"] == "oauth"
                token_or_none = self._token(scope=self._settings["scope"]) if oauth else None
                self._made = SmtpTransport(self.name, self._settings, token=token_or_none, timeout=self._timeout)
        return self._made

    def _token(self, *, scope: str) -> EntraToken:
        given = self._settings
        return EntraToken(
            authority=given["authority"],
            tenant_id=given["tenant_id"],
            client_id=given["client_id"],
            secret=given["client_secret"],
            scope=scope,
            session=self._http(),
            now=self._tools.now,
        )

    def _http(self) -> requests.Session:
        if self._session is None:
            self._session = http_session(self._settings["ca_bundle"])
        return self._session


def _within_hour(at: datetime, now: datetime) -> bool:
    """Say whether `at` is less than an hour ago; not if the clock was set back meanwhile."""
    return timedelta() <= now - at < HOUR
