"""What a salesperson reads: the topic of a lead and the text in its description."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.destinations.base import Parcel
    from app.lead import Lead

ACTIONS = {
    "ins": "Get it now or free trial",
    "plt": "Contact me",
    "dnc": "for information only, do not contact",
    "create": "bought or deployed in the Azure portal",
    "starttestdrive": "test drive started",
}
# What is about the person, by its name in a rule: where it doesn't fit into its column, the whole stands in the text.
LABELS = {
    "first_name": "First name",
    "last_name": "Last name",
    "company": "Company",
    "title": "Job title",
    "email": "E-mail",
    "phone": "Phone",
    "country": "Country",
}
TEST_MARK = "[MSFT_TEST]"
_OFFER = 160  # characters of an offer's name in the topic, so that the company is never pushed out of it
_FACTS = 1000  # UTF-16 units that facts may take where the customer's notes need the room
_PREFIX = re.compile(r"\A\s*(?:campaigns:)?\s*", re.IGNORECASE)


CUT = "…"


def units(text: str) -> int:
    """Count as the service does: UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def shorten(text: str, limit: int) -> str:
    """Cut a text to `limit` UTF-16 units, the mark included; half of a pair is never left."""
    if units(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - units(CUT))]
    return kept.decode("utf-16-le", "ignore").rstrip() + CUT


def clean(text: str, *, lines: bool) -> str:
    """Take out what Dataverse refuses (0x80040278) or JSON can't carry; one line unless `lines` are to be kept."""
    if not lines:
        return " ".join(_blanked(text, but="").split())
    return _blanked(text.replace("\r\n", "\n").replace("\r", "\n"), but="\n\t").strip()


def _blanked(text: str, *, but: str) -> str:
    if text.isprintable():  # nearly every text, and known without looking at each letter here
        return text
    return "".join(" " if _refused(char) and char not in but else char for char in text)


def _refused(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs"} or ord(char) & 0xFFFE == 0xFFFE  # noqa: PLR2004  (noncharacters)


def action_of(lead: Lead) -> str | None:
    """Say in words what the customer did; a code that nobody knows as it is."""
    code = (lead.action_code or "").strip()
    return ACTIONS.get(code.lower()) or code or None


def subject_of(parcel: Parcel) -> str:
    """Write the topic: the offer, what was done, and who."""
    lead = parcel.lead
    offer = lead.offer_title or lead.offer or "Marketplace lead"
    offer = offer if len(offer) <= _OFFER else f"{offer[:_OFFER].rstrip()}…"
    name = " ".join(part for part in (lead.first_name, lead.last_name) if part)
    what = ": ".join(part for part in (offer, action_of(lead)) if part)
    whole = " – ".join(part for part in (what, lead.company or name or lead.email) if part)  # noqa: RUF001  (a dash)
    return f"{TEST_MARK} {whole}" if parcel.test else whole


def summary_of(parcel: Parcel, *, cut: Mapping[str, str], limit: int) -> str:
    """Write the description in at most `limit` UTF-16 units: facts, then what the customer wrote.

    `cut` holds the whole text, by label, of what didn't fit into its column.
    """
    notes = notes_of(parcel.lead)
    facts = "\n".join(f"{label}: {' '.join(value.split())}" for label, value in _facts(parcel, cut))
    if not notes:
        return shorten(facts, limit)
    heading = "\n\nWhat they wrote:\n"
    room = max(min(_FACTS, limit // 2), limit - units(heading) - units(notes))
    facts = shorten(facts, room) + heading
    return facts + shorten(notes, max(1, limit - units(facts)))


def _facts(parcel: Parcel, cut: Mapping[str, str]) -> list[tuple[str, str]]:
    lead = parcel.lead
    facts = [
        ("Test", "this is no customer but a test of the marketplace" if parcel.test else None),
        ("Offer", _offer(lead)),
        ("Action", action_of(lead)),
        ("Lead source", lead.lead_source),
        ("Received", f"{parcel.received_at:%Y-%m-%d %H:%M} UTC"),
        ("Lead in Leadwire", parcel.lead_id),
        *((f"{label} in full", whole) for label, whole in cut.items()),
        ("Campaign", ", ".join(f"{key} = {_text(value)}" for key, value in lead.campaign.items())),
        *((key, _text(value)) for key, value in lead.extra.items()),
    ]
    return [(label, value) for label, value in facts if value]


def _offer(lead: Lead) -> str | None:
    ids = lead.offer if lead.offer_id else None
    return f"{lead.offer_title} ({ids})" if lead.offer_title and ids else lead.offer_title or ids


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def notes_of(lead: Lead) -> str:
    """Give what the customer wrote, without the JSON of listing-URL parameters that `campaign` already holds."""
    text = _PREFIX.sub("", lead.description or "")
    if not lead.campaign or not text.startswith("{"):
        return (lead.description or "").strip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text.strip()
    return text[end:].strip()
