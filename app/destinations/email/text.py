"""What the mails say: one lead, a notice of a withheld one, a digest of many.

Everything that came from a sender is tidied before it meets a header or a page: no control characters, no line
separators, no text-direction tricks, a length. With `personal_data = "link"` nothing of the person is written.
"""

from __future__ import annotations

import unicodedata
import uuid
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from app.destinations.base import Parcel
    from app.lead import Lead

ACTIONS = {
    "ins": "Get it now or free trial",
    "plt": "Contact me",
    "dnc": "information only: do not contact",
    "create": "bought or deployed in the Azure portal",
    "starttestdrive": "test drive started",
}
SUPPORT = "https://aka.ms/marketplacepublishersupport"
_DIGESTS = uuid.UUID("5b8f7f0c-7d5e-5f63-9a53-0c1f4a6c2f10")  # names digests; never change: Message-IDs hang on it
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # characters that reorder what is shown
_BREAKING = {"Cc", "Cs", "Zl", "Zp"}  # controls, lone surrogates, line and paragraph separators
_OPEN_IT = "Who it is stands in Leadwire only: open the address above and sign in."
_LOOK_IT_UP = "Who it is stands in Leadwire only: look it up where Leadwire runs."


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message ready for any 7-bit transport."""

    message_id: str  # with its angle brackets
    content: bytes
    resumable: bool  # the same letter comes again if it fails: whom it reached is worth remembering


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What is said about one lead: facts as label and value, then lines of prose, then quoted lines."""

    facts: list[tuple[str, str]]
    prose: str
    quoted: list[str]


def tidy(value: object, *, limit: int = 200) -> str:
    """Make one printable line of at most `limit` characters from anything."""
    shown = []
    for char in str(value)[: limit * 4]:
        if unicodedata.category(char) in _BREAKING:
            shown.append(" ")
        elif unicodedata.bidirectional(char) not in _TURNING:
            shown.append(char)
    text = " ".join("".join(shown).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def impersonal(value: object, *, limit: int = 200) -> str:
    """Tidy a sender's value for where nobody may be named; one that could hold an address is not shown."""
    text = tidy(value, limit=limit)
    plain = unicodedata.normalize("NFKC", text)  # other at signs, like the full-width one
    return "(shown in Leadwire)" if "@" in plain or "%40" in plain else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes the letters of one destination."""

    sender: str
    recipients: Sequence[str]
    public_url: str
    personal: bool  # include the person's data
    console: bool = True  # whether a lead can be opened there

    def letter(self, parcel: Parcel, *, now: datetime) -> Letter:
        """Write about one lead; its Message-ID is the delivery's, so stable over attempts."""
        mark = "[test] " if parcel.test else ""
        about = f"{_offer(parcel.lead)} - {_action(parcel.lead)}"
        if parcel.withheld_domain is None:
            subject, title = f"{mark}New lead: {about}", "A new lead has come."
        else:
            subject, title = f"{mark}Lead withheld: {about}", "A lead has come whose data is withheld."
        if parcel.test:
            title = f"{title} It is a test, not a customer."
        return self._finish(parcel.delivery_id, subject, title, [self._section(parcel)], now=now, resumable=True)

    def digest(self, parcels: Sequence[Parcel], *, now: datetime) -> Letter:
        """Write about many leads at once; the same leads give the same Message-ID."""
        names = "\n".join(sorted(parcel.delivery_id for parcel in parcels))
        many = "1 new lead" if len(parcels) == 1 else f"{len(parcels)} new leads"
        title = f"{many}, together in one mail because more than ten an hour are coming."
        sections = [self._section(parcel) for parcel in parcels]
        name = str(uuid.uuid5(_DIGESTS, names))
        return self._finish(name, f"Digest: {many}", title, sections, now=now, resumable=False)

    def told(self, name: str, *, subject: str, title: str, sections: list[Section], at: datetime) -> Letter:
        """Write what is no lead, such as an alert; `name` is the Message-ID's."""
        return self._finish(name, subject, title, [one for one in sections if one.facts], now=at, resumable=True)

    def _section(self, parcel: Parcel) -> Section:
        lead = parcel.lead
        facts = [
            ("Offer", _offer(lead)),
            ("Action", _action(lead)),
            ("Lead source", impersonal(lead.lead_source or "not given")),
            ("Received", f"{parcel.received_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Received by", self.public_url),
            self._way(parcel),
        ]
        if parcel.withheld_domain is not None:
            return Section(facts=facts, prose=_withheld(parcel.withheld_domain), quoted=[])
        if not self.personal:
            return Section(facts=facts, prose=_OPEN_IT if self.console else _LOOK_IT_UP, quoted=[])
        notes = [tidy(line, limit=500) for line in (lead.description or "")[:8000].splitlines()]
        return Section(facts=facts + _person(lead), prose="What they wrote:" if any(notes) else "", quoted=notes)

    def _way(self, parcel: Parcel) -> tuple[str, str]:
        """Say how to see the lead: in the console, or by command where there is none."""
        if self.console:
            return "Open", f"{self.public_url}/console/leads/{parcel.lead_id}"
        return "Look it up", f"leadwire show {parcel.lead_id}"

    def _finish(
        self, name: str, subject: str, title: str, sections: list[Section], *, now: datetime, resumable: bool
    ) -> Letter:
        message_id = f"<{name}@{self.sender.rpartition('@')[2]}>"
        message = EmailMessage(policy=SMTP)
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Subject"] = tidy(subject, limit=150)
        message["Date"] = format_datetime(now)
        message["Message-ID"] = message_id
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies to this
        message.set_content(_as_text(title, sections), cte="quoted-printable")
        message.add_alternative(_as_html(title, sections), subtype="html", cte="quoted-printable")
        return Letter(message_id=message_id, content=message.as_bytes(), resumable=resumable)


def _offer(lead: Lead) -> str:
    ids = ".".join(part for part in (lead.publisher_id, lead.offer_id) if part)
    return impersonal(lead.offer_title or ids or "offer not given", limit=100)


def _action(lead: Lead) -> str:
    code = lead.action_code or "action not given"
    return ACTIONS.get(code.strip().lower()) or impersonal(code, limit=60)


def _person(lead: Lead) -> list[tuple[str, str]]:
    campaign = ", ".join(f"{key}={value}" for key, value in lead.campaign.items())
    fields = [
        ("Name", " ".join(part for part in (lead.first_name, lead.last_name) if part)),
        ("E-mail", lead.email),
        ("Phone", lead.phone),
        ("Company", lead.company),
        ("Job title", lead.title),
        ("Country", lead.country),
        ("Campaign", campaign),
    ]
    return [(label, tidy(value, limit=500)) for label, value in fields if value]


def _withheld(domain: str) -> str:
    named = tidy(domain.rpartition("@")[2], limit=253)
    return (
        f"It came from the domain {named}, from which the data of people is withheld: the person's data was not kept, "
        f"here or anywhere in Leadwire. To learn who it is, open a ticket with Partner Center support ({SUPPORT}) "
        "or look in Partner Center's Referrals workspace."
    )


def _as_text(title: str, sections: list[Section]) -> str:
    blocks = [title]
    for section in sections:
        lines = [f"{label}: {value}" for label, value in section.facts]
        lines += ["", section.prose] if section.prose else []
        lines += [f"| {line}" for line in section.quoted]  # marked: notes can't pass for lines of ours
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _as_html(title: str, sections: list[Section]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Leadwire</title></head>\n'
        f'<body style="font-family:sans-serif">\n<p>{escape(title)}</p>\n'
        + "<hr>\n".join(_html_section(section) for section in sections)
        + "</body></html>\n"
    )


def _html_section(section: Section) -> str:
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(label)}</th><td>{_html_value(label, value)}</td></tr>\n'
        for label, value in section.facts
    )
    prose = f"<p>{escape(section.prose)}</p>\n" if section.prose else ""
    quoted = "<br>\n".join(escape(line) for line in section.quoted)
    return f"<table>\n{rows}</table>\n{prose}" + (f"<blockquote>{quoted}</blockquote>\n" if quoted else "")


def _html_value(label: str, value: str) -> str:
    if label == "Open":  # the only address that is ours, so the only one made a link
        return f'<a href="{escape(value)}">{escape(value)}</a>'
    return escape(value)
