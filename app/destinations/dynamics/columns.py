"""Which column of a CRM lead gets what, in one language for our defaults and for the setting `fields`.

A rule is a constant, or "$name" for something of the lead, with ":length" behind it where the column's length isn't
known here: `mobilephone = "$phone"`, `new_campaign = "$campaign.mktcmpid:200"`. "" takes a default column out, "$$" at
the beginning stands for one "$". What is too long for its column is cut with a mark at its end.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from app.destinations.dynamics.text import LABELS, action_of, clean, shorten, subject_of, summary_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.destinations.base import Parcel

Constant = str | int | float | bool

# UTF-16 units a text column takes, as documented for the lead table (2026-11).
LENGTHS = {
    "subject": 300, "firstname": 50, "middlename": 50, "lastname": 50, "companyname": 100, "jobtitle": 100,
    "salutation": 100, "emailaddress1": 100, "emailaddress2": 100, "emailaddress3": 100, "telephone1": 50,
    "telephone2": 50, "telephone3": 50, "mobilephone": 20, "pager": 20, "fax": 50, "websiteurl": 200,
    "address1_line1": 250, "address1_city": 80, "address1_stateorprovince": 50, "address1_postalcode": 20,
    "address1_country": 80, "description": 2000,
}  # fmt: skip
CUSTOM_LENGTH = 100  # what a text column that somebody added usually takes
LONGEST = 1_048_576  # UTF-16 units, of any text column
NOT_PROVIDED = "[not provided]"
DO_NOT = ("donotemail", "donotphone", "donotbulkemail", "donotpostalmail", "donotfax")

_OF_LEAD = {
    "first_name", "last_name", "email", "phone", "country", "company", "title", "lead_source", "action_code",
    "offer_title", "publisher_id", "offer_id", "description", "offer",
}  # fmt: skip
_OF_PARCEL = {"lead_id", "delivery_id", "source"}
_MADE = {"subject", "summary", "action", "do_not_contact", "test", "received_at"}
_PREFIXES = ("campaign.", "extra.")
_SOURCE = re.compile(r"\$([^:]+)(?::([0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class Rule:
    """What goes into one column: a constant, or what `source` names, of at most `limit` UTF-16 units."""

    constant: Constant | None = None
    source: str | None = None
    limit: int = CUSTOM_LENGTH


def is_binding(column: str) -> bool:
    """Tell a lookup (`campaignid@odata.bind`) from a column."""
    return column.endswith("@odata.bind")


def read_rule(column: str, told: Constant) -> Rule | None:
    """Read what stands behind a column's name; None: the column is left out.

    Raises:
        ValidationError: it names something that a lead does not have.

    """
    if told == "":
        return None
    limit = LENGTHS.get(column, CUSTOM_LENGTH)
    if not isinstance(told, str) or not told.startswith("$"):
        return Rule(constant=told, limit=LONGEST if is_binding(column) else limit)
    if told.startswith("$$"):
        return Rule(constant=told[1:], limit=limit)
    found = _SOURCE.fullmatch(told)
    if found is None or not _known(found[1]):
        names = ", ".join(f"${name}" for name in sorted(_OF_LEAD | _OF_PARCEL | _MADE))
        msg = f"allowed: a constant, or one of {names}, $campaign.NAME, $extra.NAME, with :LENGTH behind it if needed"
        raise ValidationError(msg)
    return Rule(source=found[1], limit=min(max(1, int(found[2])), LONGEST) if found[2] else limit)


def _known(source: str) -> bool:
    nested = any(source.startswith(prefix) and source != prefix for prefix in _PREFIXES)
    return nested or source in _OF_LEAD | _OF_PARCEL | _MADE


def _defaults() -> dict[str, Rule]:
    told: dict[str, Constant] = {
        "subject": "$subject", "firstname": "$first_name", "lastname": "$last_name", "companyname": "$company",
        "jobtitle": "$title", "emailaddress1": "$email", "telephone1": "$phone", "address1_country": "$country",
        "leadsourcecode": 8,  # Web
        "description": "$summary",
    }  # fmt: skip
    told |= dict.fromkeys(DO_NOT, "$do_not_contact")
    return {column: rule for column, one in told.items() if (rule := read_rule(column, one))}


DEFAULTS = _defaults()


def columns_of(parcel: Parcel, rules: Mapping[str, Rule]) -> dict[str, Constant]:
    """Give what to write, column by column; a column without anything to say is left out."""
    cut: dict[str, str] = {}
    written: dict[str, Constant] = {}
    for column, rule in sorted(rules.items(), key=lambda one: one[1].source == "summary"):
        if rule.source == "summary":
            value: Any = summary_of(parcel, cut=cut, limit=rule.limit)
        else:
            value = _value(parcel, rule)
        if isinstance(value, str):
            whole = clean(value, lines=rule.source in {"summary", "description"})
            value = shorten(whole, rule.limit)
            if value != whole and rule.source in LABELS:
                cut[LABELS[rule.source]] = whole
        if value not in (None, ""):
            written[column] = value
    written.setdefault("lastname", NOT_PROVIDED)
    return written


def _value(parcel: Parcel, rule: Rule) -> Any:  # noqa: ANN401  (a constant, or anything that a sender put into extra)
    source, lead = rule.source, parcel.lead
    if source is None:
        return rule.constant
    if source in _OF_LEAD:
        return getattr(lead, source)
    if source in _OF_PARCEL:
        return getattr(parcel, source)
    outer, _, inner = source.partition(".")
    if inner:
        found = (lead.campaign if outer == "campaign" else lead.extra).get(inner)
        return found if isinstance(found, str | None) else json.dumps(found, ensure_ascii=False)
    return _made(parcel, source)


def _made(parcel: Parcel, source: str) -> Constant | None:
    """Give what isn't in the lead but follows from it."""
    lead = parcel.lead
    if source == "subject":
        return subject_of(parcel)
    if source == "action":
        return action_of(lead)
    if source == "do_not_contact":  # said only where it is so: otherwise the CRM's own default holds
        return True if (lead.action_code or "").strip().upper() == "DNC" else None
    if source == "received_at":
        return parcel.received_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return parcel.test
