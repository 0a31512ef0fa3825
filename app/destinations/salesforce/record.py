"""A lead as a Salesforce record: which field gets what, and what becomes of what a field wouldn't take.

Nothing of a lead is lost: what is clipped, no e-mail address to Salesforce or not in a restricted picklist stands
in full in the description, while that has room.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from app.destinations.salesforce.text import clean, clip, full_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.destinations.base import Parcel
    from app.destinations.salesforce.describe import Field, LeadObject

NOT_PROVIDED = "[not provided]"
TEST = "[TEST] "
_LEAD_FIELDS = (
    "first_name", "last_name", "email", "phone", "country", "company", "title", "lead_source", "action_code",
    "offer_title", "publisher_id", "offer_id", "description", "offer",
)  # fmt: skip
REFERENCES = (*_LEAD_FIELDS, "lead_id", "delivery_id", "source", "received_at")
DEFAULTS: dict[str, Any] = {
    "FirstName": "$first_name",
    "LastName": "$last_name",
    "Company": "$company",
    "Email": "$email",
    "Phone": "$phone",
    "Title": "$title",
    "LeadSource": "$lead_source",
}
# For a describe that gives none; those of the standard object.
LENGTHS = {
    "firstname": 40, "lastname": 80, "company": 255, "email": 80, "phone": 40, "fax": 40, "mobilephone": 40,
    "title": 128, "country": 80, "city": 40, "state": 80, "postalcode": 20, "street": 255, "description": 32_000,
}  # fmt: skip
SOURCES_AT_HAND = ("Web", "Other")  # LeadSource values that a fresh org has
_NEVER_EMPTY = {"lastname", "company"}
_DO_NOT = ("HasOptedOutOfEmail", "DoNotCall")
_DIGITS = 30
# Narrower than the RFC and at least as narrow as Salesforce: what fails here goes to the description.
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)


def marker(delivery_id: str) -> str:
    """Give the mark of a delivery inside a text: digits only, because search cuts words between letters and digits."""
    number = int.from_bytes(sha256(delivery_id.encode()).digest())
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def mapping_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the configured fields over the usual ones; `""` takes one away. Names as they were written."""
    mapping = {name.casefold(): (name, value) for name, value in DEFAULTS.items()}
    for name, value in settings["fields_"].items():
        mapping[name.casefold()] = (name, value)
    return {name: value for name, value in mapping.values() if value != ""}


def constant(value: Any) -> Any:  # noqa: ANN401  (text, number or bool)
    """Give what a configured value stands for by itself; None where it names a field of ours."""
    if isinstance(value, str) and value.startswith("$"):
        return value[1:] if value.startswith("$$") else None
    return value


class Recorder:
    """Makes records for one destination's settings."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the settings."""
        self._settings = settings
        self._mapping = mapping_of(settings)
        self._dropped = {name.casefold() for name, value in settings["fields_"].items() if value == ""}
        self._mapped = {name.casefold() for name in self._mapping}

    def record(self, parcel: Parcel, lead: LeadObject) -> dict[str, Any]:
        """Make a lead's record for the org that `lead` describes."""
        notes: list[tuple[str, str]] = []
        record: dict[str, Any] = {}
        for name, given in self._mapping.items():
            record |= self._placed(name, given, parcel, lead, notes)
        if "country" not in self._mapped | self._dropped and "countrycode" not in self._mapped:
            record |= self._country(parcel.lead.country, lead, notes)
        if (parcel.lead.action_code or "").casefold() == "dnc":
            record |= {name: True for name in _DO_NOT if lead.writable(name) and name.casefold() not in self._mapped}
        return record | self._own(parcel, lead, notes)

    def sources(self) -> tuple[str, ...]:
        """Name the LeadSource values that may stand in for one that a restricted picklist doesn't have."""
        configured = self._settings["lead_source"]
        return (configured,) if configured else SOURCES_AT_HAND

    def _own(self, parcel: Parcel, lead: LeadObject, notes: list[tuple[str, str]]) -> dict[str, Any]:
        """Give the description, the external id and the marker."""
        own: dict[str, Any] = {}
        if lead.writable("Description") and "description" not in self._dropped:
            mark = f"Leadwire {marker(parcel.delivery_id)}, lead {parcel.lead_id}"
            limit = _limit("Description", lead.field("Description")) or LENGTHS["description"]
            own["Description"] = f"{full_text(parcel, notes, limit - len(mark) - 2)}\n\n{mark}".lstrip()
        external, field = self._settings["external_id_field"], self._settings["marker_field"]
        if external:
            own[_spelled(external, lead)] = parcel.delivery_id
        elif field.casefold() != "description":
            own[_spelled(field, lead)] = parcel.delivery_id
        return own

    def _placed(
        self,
        name: str,
        given: Any,  # noqa: ANN401  (text, number or bool)
        parcel: Parcel,
        lead: LeadObject,
        notes: list[tuple[str, str]],
    ) -> dict[str, Any]:
        """Put a value into its field as far as it goes there; note the rest."""
        fixed = constant(given)
        if fixed is not None:
            return {_spelled(name, lead): fixed}
        field, value = lead.writable(name), _resolved(given[1:], parcel)
        must = name.casefold() in _NEVER_EMPTY or (field is not None and field.required and field.is_text)
        if value is None:
            if must:
                return {_spelled(name, lead): NOT_PROVIDED}
            return self._stand_in(name, field) if field is not None and field.required else {}
        usual = name in DEFAULTS and name not in self._settings["fields_"]
        if field is None and usual and not must:  # hidden from our user; a configured one is refused with its name
            notes.append((name, value))
            return {}
        kept = self._fitting(name, value, field)
        if kept != value:
            notes.append((name, value))
        if name.casefold() == "lastname" and parcel.test and not value.upper().startswith("MSFT_TEST"):
            kept = clip(TEST + value, _limit(name, field) or LENGTHS["lastname"])
        return {_spelled(name, lead): kept} if kept is not None else {}

    def _fitting(self, name: str, value: str, field: Field | None) -> str | None:
        """Give what the field takes of a value; None if nothing."""
        limit = _limit(name, field)
        value = " ".join(value.split()) if field is None or field.type != "textarea" else value
        if name.casefold() == "email" or (field is not None and field.type == "email"):
            return value if _EMAIL.fullmatch(value) and len(value) <= (limit or len(value)) else None
        if field is not None and field.is_picklist:
            taken = field.takes(value)
            if taken is None and name.casefold() == "leadsource":
                return self._stand_in(name, field).get(field.name)
            return taken if taken is None else clip(taken, limit or len(taken))
        return clip(value, limit) if limit else value

    def _stand_in(self, name: str, field: Field | None) -> dict[str, Any]:
        """Give the LeadSource that stands in, where the org has one."""
        if field is None or name.casefold() != "leadsource":
            return {}
        listed = (field.takes(one) for one in self.sources())
        found = next((one for one in listed if one is not None), None)
        return {field.name: found} if found is not None else {}

    def _country(self, country: str | None, lead: LeadObject, notes: list[tuple[str, str]]) -> dict[str, Any]:
        """Give country code or country; with picklists on, a text that isn't a label would refuse the lead."""
        if country is None:
            return {}
        coded, way = lead.writable("CountryCode"), self._settings["country"]
        if way == "code" or (way == "auto" and coded is not None):
            code = coded.takes(country) if coded is not None else None
            if code is None or not re.fullmatch(r"[A-Za-z]{2}", country):
                notes.append(("Country", country))
                return {}
            return {"CountryCode": code}
        field = lead.writable("Country")
        if field is None:
            notes.append(("Country", country))
            return {}
        kept = self._fitting("Country", country, field)
        if kept != country:
            notes.append(("Country", country))
        return {"Country": kept} if kept is not None else {}


def _spelled(name: str, lead: LeadObject) -> str:
    """Write a name as the org does; one that it doesn't know as it was configured, so that the refusal names it."""
    field = lead.field(name)
    return field.name if field is not None else name


def _limit(name: str, field: Field | None) -> int:
    return (field.length if field is not None else 0) or LENGTHS.get(name.casefold(), 0)


def _resolved(reference: str, parcel: Parcel) -> str | None:
    """Give the value that a `$name` stands for, None where the lead has none."""
    table, _, key = reference.partition(".")
    value: Any
    if key:
        value = getattr(parcel.lead, table).get(key)
        value = value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
    elif reference == "received_at":
        value = parcel.received_at.isoformat(timespec="seconds")
    elif reference in _LEAD_FIELDS:
        value = getattr(parcel.lead, reference)
    else:
        value = getattr(parcel, reference)
    value = clean(value).strip() if value else None
    return value or None
