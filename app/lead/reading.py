"""A document → a lead: keys in any letter case, at both levels, in any shape known."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from app.decoding import Rejection, keep, read_body, read_json
from app.lead.countries import country_code
from app.lead.model import Lead
from app.lead.schema import LeadSchema, is_clean

if TYPE_CHECKING:
    from app.lead.model import Envelope

ACTION_CODES = frozenset({"ins", "plt", "dnc", "create", "starttestdrive"})
LONGEST_SHOWN_KEY = 40
_FIELDS = {one.data_key or name: (name, one) for name, one in LeadSchema().fields.items()}
_CAMPAIGNS = re.compile(r"\A\s*(?:campaigns:)?\s*", re.IGNORECASE)


def parse(envelope: Envelope) -> Lead | Rejection:
    """Read a body of any known shape; a Rejection says why it is no lead, without repeating it."""
    try:
        known, paths, extra = _fold(read_body(envelope.body, envelope.content_type))
        lead = _normal_form(_loaded(known, paths), extra)
    except Rejection as rejection:
        return rejection
    except RecursionError:
        return Rejection(400, "The body is nested too deeply", "Objects or lists stand inside each other too deeply.")
    if lead.email or lead.first_name or lead.last_name or lead.phone or lead.is_test:
        return lead
    return Rejection(
        422,
        "Nothing here identifies a person",
        "A lead needs a name, an e-mail address or a phone number.",
        errors=[{"path": "UserDetails", "message": _missing(lead.extra)}],
    )


def _missing(extra: dict[str, Any]) -> str:
    """What a body without a person lacks; a UserDetails that is no object stands in `extra`."""
    unread = next((value for key, value in extra.items() if _folded(key) == "userdetails"), "")
    if _says_nothing(unread):
        return "none of FirstName, LastName, Email, Phone (under UserDetails) has a value"
    return f"expected an object, found {_kind(unread)}"


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text that is no JSON object"
    return "a list" if isinstance(value, list) else "a single value"


def _loaded(known: dict[str, Any], paths: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Have each field of the schema read its value; the schema's own `load` does the same at twice the price."""
    values, faults = {}, []
    for key, value in known.items():
        name, one = _FIELDS[key]
        if is_clean(value):
            values[name] = value.strip()  # as the field itself would have it
            continue
        try:
            text = one.deserialize(value)
        except ValidationError as exc:
            faults.append({"path": paths[key][0] + _shown(paths[key][1], key), "message": str(exc.messages[0])})
        else:
            if text is not None:
                values[name] = text
    if faults:
        raise Rejection(422, "This is not a lead", "A field has a value that is not text.", errors=faults)
    return values


def _fold(document: object) -> tuple[dict[str, Any], dict[str, tuple[str, str]], dict[str, Any]]:
    """Sort a document into known values by folded key, where each stood, and everything else as it came."""
    if not isinstance(document, dict):
        found = f"expected an object, found {_kind(document)}"
        raise Rejection(422, "This is not a lead", f"The body: {found}.", errors=[{"path": "$", "message": found}])
    known: dict[str, Any] = {}
    paths: dict[str, tuple[str, str]] = {}
    extra: dict[str, Any] = {}
    for prefix, mapping in _levels(document):
        for key, value in mapping.items():
            folded = _SPELLINGS.get(key) or _folded(key)
            if folded not in _FIELDS:
                keep(extra, key, value)
            elif folded not in known:
                if not _says_nothing(value):
                    known[folded], paths[folded] = value, (prefix, key)
            elif not _says_nothing(value) and known[folded] != value:
                keep(extra, key, value)
    return known, paths, extra


def _levels(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The objects that may hold known fields, each with its path's beginning: UserDetails first, then the root."""
    root, inner = {}, []
    for key, value in document.items():
        if (_SPELLINGS.get(key) or _folded(key)) != "userdetails":
            root[key] = value
        elif (person := _as_object(value)) is not None:
            inner.append((f"{_shown(key, 'UserDetails')}.", person))
        elif value is not None:
            root[key] = value
    return [*inner, ("", root)]


def _spellings() -> dict[str, str]:
    """The usual spellings of the known keys, so that only unusual ones cost the folding."""
    spelt = {"UserDetails": "userdetails", "userDetails": "userdetails"}
    for key, (name, _) in _FIELDS.items():
        pascal = name.title().replace("_", "")
        spelt |= dict.fromkeys((name, pascal, pascal[0].lower() + pascal[1:]), key)
    return spelt


_SPELLINGS = _spellings()


def _folded(key: str) -> str:
    return re.sub(r"[\W_]+", "", key).casefold()


def _shown(key: str, otherwise: str) -> str:
    """A known key as the sender wrote it; around its letters there is room for other things, which are not shown."""
    return key if len(key) <= LONGEST_SHOWN_KEY and key.isascii() and key.isprintable() else otherwise


def _says_nothing(value: object) -> bool:
    return value is None or (not value.strip() if isinstance(value, str) else value in ({}, []))


def _as_object(value: object) -> dict[str, Any] | None:
    """The object that `value` is, or holds as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = read_json(value)
        except (Rejection, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _normal_form(values: dict[str, Any], extra: dict[str, Any]) -> Lead:
    if "lead_source" in values:
        _split_lead_source(values, extra)
    values["country"] = country_code(values.get("country"))
    description = values.get("description", "")
    rest = _CAMPAIGNS.sub("", description)
    if not rest:
        values.pop("description", None)
    return Lead(**values, campaign=_campaign(rest), extra=extra)


def _split_lead_source(values: dict[str, Any], extra: dict[str, Any]) -> None:
    """Take `Source-Action|publisher.offer` apart; what finds no place goes to extra."""
    whole = values["lead_source"]
    source, bar, third = whole.partition("|")
    before, dash, action = source.rpartition("-")
    if not dash or not (bar or action.strip().casefold() in ACTION_CODES):
        before, action = source, ""
    publisher, offer_id, title, rest = _third_part(third.strip())
    values["lead_source"] = before.strip() or None
    placed = not rest
    for name, part in zip(
        ("action_code", "publisher_id", "offer_id", "offer_title"),
        (action.strip(), publisher, offer_id, title),
        strict=True,
    ):
        if part:
            placed &= values.setdefault(name, part).casefold() == part.casefold()
    if not placed:
        keep(extra, "LeadSource", whole)


def _third_part(text: str) -> tuple[str, str, str, str]:
    """Give publisher id, offer id, title and what is left over of the part behind the bar."""
    ids, _, rest = text.partition("|")
    # Ids have no blanks (capitals they have: RedHat, Canonical); a third part with some is the offer's display name.
    found = re.fullmatch(r"([A-Za-z0-9_-]+)\.(\S+)", ids.strip())
    return (found[1], found[2], "", rest) if found else ("", "", text, "")


def _campaign(text: str) -> dict[str, Any]:
    """The listing-URL parameters that the marketplace puts into the description as JSON, notes behind it or not."""
    if not text.startswith("{"):
        return {}
    try:
        _, end = json.JSONDecoder(parse_int=str).raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return _as_object(text[:end]) or {}
