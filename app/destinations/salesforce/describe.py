"""What the org says a lead is: its fields, their lengths and picklists, and what we may write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.destinations.salesforce.errors import unreadable

_PICKLISTS = {"picklist", "multipicklist", "combobox"}
_TEXTS = {"string", "textarea", "phone", "email", "url", "picklist", "multipicklist", "combobox"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field as `describe` gives it; `values` are a picklist's active ones, `length` 0 where there is none."""

    name: str
    type: str
    length: int
    createable: bool
    nillable: bool
    defaulted: bool
    restricted: bool
    values: tuple[str, ...]
    external_id: bool
    filterable: bool

    @property
    def required(self) -> bool:
        """Whether a lead without it is refused."""
        return self.createable and not self.nillable and not self.defaulted

    @property
    def is_picklist(self) -> bool:
        """Whether its values are a list."""
        return self.type in _PICKLISTS

    @property
    def is_text(self) -> bool:
        """Whether it takes any text, so that a placeholder can fill it."""
        return self.type in {"string", "textarea"}

    def takes(self, value: str) -> str | None:
        """Give a value as the field spells it; None if a restricted picklist doesn't have it."""
        if not self.is_picklist:
            return value
        listed = next((one for one in self.values if one.casefold() == value.casefold()), None)
        return listed if listed is not None or self.restricted else value


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadObject:
    """The Lead object of one org, as seen by one user."""

    createable: bool
    fields: dict[str, Field]  # by casefolded API name

    def field(self, name: str) -> Field | None:
        """Find a field; None if there is none or our user may not see it."""
        return self.fields.get(name.casefold())

    def writable(self, name: str) -> Field | None:
        """Find a field that a new lead may fill."""
        found = self.field(name)
        return found if found is not None and found.createable else None


def read_describe(told: Any) -> LeadObject:  # noqa: ANN401  (any JSON)
    """Read the answer to `GET /sobjects/Lead/describe`.

    Raises:
        DeliveryFailed: it isn't one.

    """
    try:
        fields = {str(one["name"]).casefold(): _field(one) for one in told["fields"]}
        createable = bool(told["createable"])
    except (LookupError, TypeError, ValueError, AttributeError):
        fields, createable = {}, False
    if "lastname" not in fields:
        why = "a describe without the fields of a lead"
        raise unreadable(why)
    return LeadObject(createable=createable, fields=fields)


def _field(told: dict[str, Any]) -> Field:
    kind = str(told["type"])
    values = tuple(str(one["value"]) for one in told.get("picklistValues") or [] if one.get("active", True))
    return Field(
        name=str(told["name"]),
        type=kind,
        length=int(told.get("length") or 0) if kind in _TEXTS else 0,
        createable=bool(told["createable"]),
        nillable=bool(told["nillable"]),
        defaulted=bool(told["defaultedOnCreate"]),
        restricted=bool(told.get("restrictedPicklist")),
        values=values,
        external_id=bool(told.get("externalId")),
        filterable=bool(told.get("filterable", True)),
    )
