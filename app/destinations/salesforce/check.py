"""What in settings and org would make leads vanish, found in the describe before the first one is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.destinations.salesforce.errors import PICKLIST, REQUIRED, Misconfigured
from app.destinations.salesforce.record import Recorder, constant, mapping_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.destinations.salesforce.describe import Field, LeadObject

NO_CREATE = "INSUFFICIENT_ACCESS_OR_READONLY"
BAD_EXTERNAL_ID = "salesforce-external-id-unusable"  # ours
BAD_MARKER = "salesforce-marker-unusable"  # ours
_ID_LENGTH = 36  # a delivery's id


def problems(settings: Mapping[str, Any], lead: LeadObject) -> list[Misconfigured]:
    """Find everything that is wrong, the worst first; each with the API names of the fields it is about."""
    return [*_permission(lead), *_configured(settings, lead), *_recognition(settings, lead), *_required(settings, lead)]


def remarks(settings: Mapping[str, Any], lead: LeadObject) -> list[str]:
    """Say what isn't wrong but good to know, in words that stand behind one another in a line."""
    mapping = mapping_of(settings)
    open_ = [
        field.name
        for name, value in mapping.items()
        if constant(value) is None and (field := lead.writable(name)) and field.required
        if not field.is_text and name.casefold() != "leadsource"
    ]
    hidden = [name for name in mapping if lead.writable(name) is None]
    told = [f"leads without {', '.join(open_)} will be refused"] if open_ else []
    told += [f"{', '.join(hidden)} can't be written and will stand in the description"] if hidden else []
    source = lead.writable("LeadSource")
    if source is not None and source.restricted and "$lead_source" in mapping.values():
        stand_in = next((one for one in Recorder(settings).sources() if source.takes(one)), None)
        told.append(f"a LeadSource that the picklist doesn't have becomes {stand_in or 'empty'}")
    return told


def _permission(lead: LeadObject) -> Iterator[Misconfigured]:
    if not lead.createable:
        yield Misconfigured(NO_CREATE, detail="The user that signs in may not create leads.")


def _configured(settings: Mapping[str, Any], lead: LeadObject) -> Iterator[Misconfigured]:
    """Find names that the org doesn't have, or doesn't let us write, and constants outside a picklist."""
    names = [name for name, value in settings["fields_"].items() if value != ""]
    names += ["CountryCode"] if settings["country"] == "code" else []
    names += [settings["external_id_field"] or settings["marker_field"]]
    absent = [name for name in names if lead.field(name) is None]
    yield from _named("INVALID_FIELD", absent, "The Lead object has no such field, or our user may not see it")
    closed = [field.name for name in names if (field := lead.field(name)) and not field.createable]
    yield from _named("INVALID_FIELD_FOR_INSERT_UPDATE", closed, "Our user may not write")
    outside = [
        field.name
        for name, value in settings["fields_"].items()
        if (field := lead.field(name)) and isinstance(text := constant(value), str) and text and not field.takes(text)
    ]
    yield from _named("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", outside, "The configured value is not in the picklist")


def _recognition(settings: Mapping[str, Any], lead: LeadObject) -> Iterator[Misconfigured]:
    """Find why leads could not be recognised when they are delivered again."""
    external = settings["external_id_field"]
    field = lead.field(external or settings["marker_field"])
    if field is None:
        return  # said already
    if external:
        if not field.external_id or field.length < _ID_LENGTH:
            why = f"It must be a text of {_ID_LENGTH} characters or more that is marked as External ID (and Unique)"
            yield from _named(BAD_EXTERNAL_ID, [field.name], why)
    elif field.name != "Description" and (not field.filterable or field.length < _ID_LENGTH):
        why = f"It must be Description, or a text field of {_ID_LENGTH} to 255 characters"
        yield from _named(BAD_MARKER, [field.name], why)


def _required(settings: Mapping[str, Any], lead: LeadObject) -> Iterator[Misconfigured]:
    """Find required fields that nothing of ours fills: leads without them are refused, one by one."""
    mapping = {name.casefold(): value for name, value in mapping_of(settings).items()}
    ours = {name.casefold() for name in ("Description", settings["external_id_field"] or settings["marker_field"])}
    ours |= {"country", "countrycode"}
    empty = [
        field
        for key, field in lead.fields.items()
        if field.required and key not in ours and not _filled(field, mapping.get(key, ""), settings)
    ]
    lists = [field.name for field in empty if field.is_picklist]
    yield from _named(PICKLIST, lists, "A required picklist that nothing fills")
    others = [field.name for field in empty if not field.is_picklist]
    yield from _named(REQUIRED, others, "A required field that nothing fills")


def _filled(field: Field, given: Any, settings: Mapping[str, Any]) -> bool:  # noqa: ANN401  (text, number or bool)
    if given == "":
        return False
    if field.name == "LeadSource" and given == "$lead_source":
        return any(field.takes(one) for one in Recorder(settings).sources())
    # A picklist that takes a value of ours only if its list happens to have it isn't filled.
    return constant(given) is not None or not (field.is_picklist and field.restricted)


def _named(code: str, names: list[str], why: str) -> Iterator[Misconfigured]:
    if names:
        yield Misconfigured(code, tuple(names), detail=f"{why}: {', '.join(names)}.")
