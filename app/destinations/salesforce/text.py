"""Texts for Salesforce: cleaned, clipped, and the description that a salesperson reads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.destinations.base import Parcel

CLIPPED = "…[clipped]"
ACTIONS = {
    "ins": "Get it now, or a free trial",
    "plt": "Contact me",
    "dnc": "do not contact: cross-listed with another offer, for information only",
    "create": "bought or deployed in the Azure portal",
    "starttestdrive": "test drive",
}
_LEFT_OUT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def units(text: str) -> int:
    """Count as Salesforce's own code does: UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clip(text: str, limit: int) -> str:
    """Shorten `text` to `limit` UTF-16 units with a mark at its end; half of a pair is never left."""
    if units(text) <= limit:
        return text
    mark = CLIPPED if limit >= 2 * units(CLIPPED) else "…"
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * max(0, limit - units(mark))]
    return kept.decode("utf-16-le", "ignore") + mark


def clean(text: str) -> str:
    """Replace what neither JSON nor XML can carry: control characters, halves of pairs."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _LEFT_OUT.sub("\N{REPLACEMENT CHARACTER}", whole)


def full_text(parcel: Parcel, notes: Iterable[tuple[str, str]], limit: int) -> str:
    """Write what a salesperson reads: the customer's words first, then where the lead comes from, then `notes`.

    Args:
        parcel: the lead.
        notes: field names and values that found no place in their fields, or not in full.
        limit: in UTF-16 units; the customer's words give way first, down to half of it.

    """
    heading = "TEST LEAD of the marketplace, no customer.\n\n" if parcel.test else ""
    facts = clean("\n".join(f"{label}: {text}" for label, text in _facts(parcel, notes) if text))
    words = clean(_words(parcel))
    room = limit - units(heading) - units(facts) - 2
    words = clip(words, max(room, limit // 2)) + "\n\n" if words else ""
    return clip(f"{heading}{words}{facts}".strip(), limit)


def _words(parcel: Parcel) -> str:
    """Give the customer's own words; an object of campaign parameters in their place is told among the facts."""
    text = (parcel.lead.description or "").strip()
    return "" if parcel.lead.campaign and text.startswith("{") else text


def _facts(parcel: Parcel, notes: Iterable[tuple[str, str]]) -> list[tuple[str, str | None]]:
    lead = parcel.lead
    named = " (" + lead.offer + ")" if lead.offer and lead.offer != lead.offer_title else ""
    return [
        ("Offer", f"{lead.offer_title or ''}{named}".strip()),
        ("Action", _action(lead.action_code)),
        ("Source", lead.lead_source),
        ("Campaign", "; ".join(f"{key} = {value}" for key, value in lead.campaign.items())),
        *((f"{name}, in full", value) for name, value in notes),
        ("Also sent", json.dumps(lead.extra, ensure_ascii=False) if lead.extra else None),
    ]


def _action(code: str | None) -> str | None:
    meaning = ACTIONS.get((code or "").casefold())
    return f"{code} ({meaning})" if meaning else code
