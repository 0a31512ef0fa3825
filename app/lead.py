"""What a lead is, and how a body that came in becomes one: Envelope → Lead or Rejection.

Every shape of facts 1.2 (documented, mixed case, camelCase, form-encoded, flat) ends in the same normal form.
Nothing here knows a store, a network or a clock, and no message here repeats what a sender wrote.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from functools import cache
from typing import TYPE_CHECKING, Any

import pycountry
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.decoding import Rejection, read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

TEST_MARK = "msft_test"
ACTION_CODES = frozenset({"ins", "plt", "dnc", "create", "starttestdrive"})
COUNTRY_NICKNAMES = {
    "uk": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB",
    "usa": "US", "u.s.": "US", "u.s.a.": "US", "america": "US", "united states of america": "US",
    "south korea": "KR", "korea": "KR", "north korea": "KP", "russia": "RU", "czech republic": "CZ",
    "turkey": "TR", "vietnam": "VN", "holland": "NL", "the netherlands": "NL", "ivory coast": "CI",
    "hong kong": "HK", "macau": "MO", "uae": "AE", "cape verde": "CV", "swaziland": "SZ", "burma": "MM",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A body as it came, before anyone has looked inside."""

    body: bytes
    content_type: str  # the whole header, "" where there was none


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A lead in the normal form; every field but `campaign` and `extra` is text or None (never empty text)."""

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    country: str | None = None  # ISO 3166 two-letter where it can be told
    company: str | None = None
    title: str | None = None
    lead_source: str | None = None
    action_code: str | None = None
    offer_title: str | None = None
    publisher_id: str | None = None
    offer_id: str | None = None
    description: str | None = None
    campaign: dict[str, Any] = field(default_factory=dict)  # listing-URL parameters
    extra: dict[str, Any] = field(default_factory=dict)  # what the sender gave beyond the known fields

    def as_dict(self) -> dict[str, Any]:
        """Give the normal form as the contract writes it, keys in its order."""
        return {name: getattr(self, name) for name in _FIELD_NAMES}

    @classmethod
    def from_dict(cls, normal_form: Mapping[str, Any]) -> Lead:
        """Read back what `as_dict` gave; fields that another version added are ignored."""
        return cls(**{name: value for name, value in normal_form.items() if name in _FIELD_NAMES})

    @property
    def is_test(self) -> bool:
        """Whether Microsoft's mark begins a name, the company or the e-mail's local part; the notes don't count."""
        marked = (self.first_name, self.last_name, self.company, self.email)
        return any(text is not None and text.lower().startswith(TEST_MARK) for text in marked)

    @property
    def offer(self) -> str | None:
        """How the offer is called in filters and routes: `publisher.offer` where known, else its title."""
        return f"{self.publisher_id}.{self.offer_id}" if self.offer_id else self.offer_title


_FIELD_NAMES = tuple(one.name for one in dataclass_fields(Lead))
_PERSON = ("first_name", "last_name", "email", "phone")


class Line(fields.Field[str]):
    """One line of text; numbers and booleans become text, control characters and runs of white space one space."""

    _unwanted = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:  # noqa: ANN401
        del attr, data, kwargs
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str):
            msg = f"expected text, found {'an object' if isinstance(value, dict) else 'a list'}"
            raise ValidationError(msg)
        return self.clean(value) or None

    def clean(self, text: str) -> str:
        """Give the text without what no system downstream can hold."""
        return self._unwanted.sub(" ", text).strip()


class Notes(Line):
    """Text of several lines. A JSON object, given as such and not inside a string, becomes its text."""

    _unwanted = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:  # noqa: ANN401
        if isinstance(value, dict):
            value = json.dumps(value, ensure_ascii=False)
        return super()._deserialize(value, attr, data, **kwargs)

    def clean(self, text: str) -> str:
        """Also make line ends one kind."""
        return super().clean(text.replace("\r\n", "\n").replace("\r", "\n"))


class LeadSchema(Schema):
    """The known fields under their folded keys: letters and digits, lower case."""

    class Meta:
        unknown = EXCLUDE

    first_name = Line(data_key="firstname", allow_none=True)
    last_name = Line(data_key="lastname", allow_none=True)
    email = Line(allow_none=True)
    phone = Line(allow_none=True)
    country = Line(allow_none=True)
    company = Line(allow_none=True)
    title = Line(allow_none=True)
    lead_source = Line(data_key="leadsource", allow_none=True)
    action_code = Line(data_key="actioncode", allow_none=True)
    offer_title = Line(data_key="offertitle", allow_none=True)
    publisher_id = Line(data_key="publisherid", allow_none=True)
    offer_id = Line(data_key="offerid", allow_none=True)
    description = Notes(allow_none=True)


_SCHEMA = LeadSchema()
_KNOWN_KEYS = frozenset(one.data_key or name for name, one in _SCHEMA.fields.items())


def parse(envelope: Envelope) -> Lead | Rejection:
    """Read a body of any known shape; a Rejection says why it is no lead, without repeating it."""
    try:
        document = read_body(envelope.body, envelope.content_type)
        known, paths, extra = _fold(document)
        lead = _normal_form(_SCHEMA.load(known), extra)
    except Rejection as rejection:
        return rejection
    except ValidationError as exc:
        found = [{"path": paths[key], "message": str(texts[0])} for key, texts in exc.normalized_messages().items()]
        return Rejection(422, "This is not a lead", "A field has a value that is not text.", errors=found)
    except RecursionError:
        return Rejection(400, "The body is nested too deeply", "Objects or lists stand inside each other too deeply.")
    if lead.is_test or any(getattr(lead, name) for name in _PERSON):
        return lead
    needed = "none of FirstName, LastName, Email, Phone (under UserDetails) has a value"
    return Rejection(
        422,
        "Nothing here identifies a person",
        "A lead needs a name, an e-mail address or a phone number.",
        errors=[{"path": "UserDetails", "message": needed}],
    )


def _fold(document: object) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Sort a document into known values by folded key, where each stood, and everything else as it came."""
    if not isinstance(document, dict):
        kind = "a list" if isinstance(document, list) else "a single value"
        raise Rejection(422, "This is not a lead", f"Expected a JSON object, found {kind}.")
    known: dict[str, Any] = {}
    paths: dict[str, str] = {}
    extra: dict[str, Any] = {}
    for prefix, mapping in _levels(document):
        for key, value in mapping.items():
            folded = _folded(key)
            path = f"{prefix}{key}"
            if folded in _KNOWN_KEYS and known.get(folded) in (None, "", value):
                known[folded], paths[folded] = value, path
            elif folded not in _KNOWN_KEYS or value not in (None, ""):
                extra[path if key in extra else key] = value
    return known, paths, extra


def _levels(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The objects that may hold known fields, each with its path's beginning: UserDetails first, then the root."""
    root, inner = {}, []
    for key, value in document.items():
        person = _as_object(value) if _folded(key) == "userdetails" else None
        if person is not None:
            inner.append((f"{key}.", person))
        elif value is not None or _folded(key) != "userdetails":
            root[key] = value
    return [*inner, ("", root)]


def _folded(key: str) -> str:
    return re.sub(r"[\W_]+", "", key).casefold()


def _as_object(value: object) -> dict[str, Any] | None:
    """The object that `value` is, or holds as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _normal_form(values: dict[str, Any], extra: dict[str, Any]) -> Lead:
    values = {name: value for name, value in values.items() if value is not None}
    lead = _split_lead_source(Lead(**values, extra=extra))
    return replace(
        lead,
        country=country_code(lead.country),
        description=None if lead.description == "Campaigns:" else lead.description,
        campaign=_campaign(lead.description),
    )


def _split_lead_source(lead: Lead) -> Lead:
    """Take `Source-Action|publisher.offer` apart (facts 1.3); a bare source stays. What finds no place goes to extra."""
    source, bar, offer = (lead.lead_source or "").partition("|")
    before, dash, action = source.rpartition("-")
    if not dash or not (bar or action.casefold() in ACTION_CODES):
        before, action = source, ""
    if not bar and not action:
        return lead
    # Publisher ids have no capitals and no blanks; a third part that has is the offer's display name.
    publisher, dot, offer_id = offer.strip().partition(".")
    if not (dot and offer_id and re.fullmatch(r"[a-z0-9_-]+", publisher) and not re.search(r"\s", offer_id)):
        publisher, offer_id = "", ""
    title = "" if publisher else offer.strip()
    split = replace(
        lead,
        lead_source=before.strip() or None,
        action_code=lead.action_code or action.strip() or None,
        publisher_id=lead.publisher_id or publisher or None,
        offer_id=lead.offer_id or offer_id or None,
        offer_title=lead.offer_title or title or None,
    )
    placed = (split.action_code, split.publisher_id, split.offer_id, split.offer_title)
    if all(part in placed for part in (action.strip(), publisher, offer_id, title) if part):
        return split
    return replace(split, extra={**lead.extra, "LeadSource": lead.lead_source})


def _campaign(description: str | None) -> dict[str, Any]:
    """The listing-URL parameters that the marketplace puts into the description as JSON text."""
    return _as_object((description or "").removeprefix("Campaigns:").strip()) or {}


@cache
def _countries() -> dict[str, str]:
    names = dict(COUNTRY_NICKNAMES)
    for country in pycountry.countries:
        for attribute in ("alpha_2", "alpha_3", "name", "official_name", "common_name"):
            name = getattr(country, attribute, None)
            if name:
                names[name.casefold()] = country.alpha_2
    return names


def country_code(text: str | None) -> str | None:
    """Give the ISO 3166 two-letter code for a code or an English name; what can't be told stays as it came."""
    return _countries().get(text.casefold(), text) if text else None
