"""What can be asked of an environment without writing a lead: who we are, what we may, which columns there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.destinations.base import DeliveryFailed
from app.destinations.dynamics.columns import is_binding
from app.destinations.dynamics.errors import (
    COLUMN_READ_ONLY,
    COLUMN_TOO_SHORT,
    COLUMN_TYPE,
    COLUMN_UNKNOWN,
    LEAD_TABLE_MISSING,
    NO_PRIVILEGE,
    PICKLIST_VALUE,
    PRIVILEGE_CODES,
    unreadable,
)
from app.destinations.dynamics.text import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.destinations.dynamics.columns import Rule

    Read = Callable[[str], dict[str, Any]]  # path below the API's root → JSON object; raises DeliveryFailed

CREATE = "prvCreateLead"
_ATTRIBUTES = "/EntityDefinitions(LogicalName='lead')/Attributes"
_OF_TYPE = _ATTRIBUTES + "/Microsoft.Dynamics.CRM.{kind}AttributeMetadata?$select=LogicalName"
_TEXTS = {"String", "Memo"}
_NUMBERS = {"Decimal", "Double", "Money"}
_CHOICES = {"Picklist", "State", "Status"}
_NOT_FOUND = 404
_CANNOT_SAY = {400, _NOT_FOUND, 501}


def check_all(read: Read, rules: Mapping[str, Rule]) -> str:
    """Ask for membership, for the right to create leads, and for every column of the mapping.

    Reading rights and columns needs rights that writing a lead doesn't: what may not be read is passed over, and said.

    Returns:
        What was found, in a few words.

    Raises:
        DeliveryFailed: what writing a lead would run into; for a column with a code of ours, its name in `detail`.

    """
    me = read("/WhoAmI").get("UserId")
    if not isinstance(me, str):
        raise unreadable(200)
    may = _may_create(read, me)
    checked = _check_columns(read, rules)
    rights = "may create leads" if may else "its right to create leads could not be asked for"
    columns = f"all {len(rules)} columns are there" if checked else "its columns could not be asked for"
    return f"signed in, {rights}, {columns}"


def _may_create(read: Read, me: str) -> bool:
    function = f"Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='{CREATE}')"
    told = _optional(read, f"/systemusers({me})/{function}")
    if told is None:
        return False
    if not told.get("RolePrivileges"):
        text = f"Principal user is missing {CREATE} privilege"
        raise DeliveryFailed(NO_PRIVILEGE, status=403, detail=text)
    return True


def _optional(read: Read, path: str) -> dict[str, Any] | None:
    try:
        return read(path)
    except DeliveryFailed as failed:
        if failed.status in _CANNOT_SAY or failed.code in PRIVILEGE_CODES:
            return None
        raise


def _check_columns(read: Read, rules: Mapping[str, Rule]) -> bool:
    try:
        told = read(f"{_ATTRIBUTES}?$select=LogicalName,AttributeType,IsValidForCreate")
    except DeliveryFailed as failed:
        if failed.status == _NOT_FOUND:
            raise DeliveryFailed(LEAD_TABLE_MISSING, status=failed.status, detail=failed.detail) from None
        if failed.code in PRIVILEGE_CODES:
            return False
        raise
    found = dict(_named(told))
    for column, rule in rules.items():
        if not is_binding(column):  # a lookup is named by its relation, which isn't in this list
            _check_column(column, rule, found.get(column))
    _check_choices(read, {column: rule for column, rule in rules.items() if _kind(found.get(column)) in _CHOICES})
    _check_lengths(read, rules)
    return True


def _named(told: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    value = told.get("value")
    for one in value if isinstance(value, list) else []:
        if isinstance(one, dict) and isinstance(one.get("LogicalName"), str):
            yield one["LogicalName"], one


def _kind(attribute: Mapping[str, Any] | None) -> str:
    return str((attribute or {}).get("AttributeType") or "")


def _check_column(column: str, rule: Rule, attribute: Mapping[str, Any] | None) -> None:
    if attribute is None:
        raise _wrong(COLUMN_UNKNOWN, f"the lead table has no column {column}")
    if attribute.get("IsValidForCreate") is False:
        raise _wrong(COLUMN_READ_ONLY, f"the column {column} can't be set when a lead is created")
    allowed, kind = _takers(rule), _kind(attribute)
    if kind not in allowed:
        words = f"the column {column} is of type {kind}; what is configured fits {', '.join(sorted(allowed))}"
        raise _wrong(COLUMN_TYPE, words)


def _wrong(code: str, words: str) -> DeliveryFailed:
    """Say what is wrong with the configuration: column names and types, nothing of a lead."""
    return DeliveryFailed(code, detail=words, about=words)


def _takers(rule: Rule) -> set[str]:
    """Name the types of columns that take what a rule gives."""
    if rule.source in {"test", "do_not_contact"} or isinstance(rule.constant, bool):
        return {"Boolean"}
    if isinstance(rule.constant, int):
        return _NUMBERS | _CHOICES | {"Integer", "BigInt"}
    if isinstance(rule.constant, float):
        return _NUMBERS
    if rule.source is not None and rule.source != "received_at":
        return _TEXTS
    return _TEXTS | {"DateTime", "Uniqueidentifier", "Virtual"}  # several choices at once are a text, too: "1,2"


def _check_choices(read: Read, rules: Mapping[str, Rule]) -> None:
    if not rules:
        return
    sets = "OptionSet($select=Options),GlobalOptionSet($select=Options)"
    told = _optional(read, f"{_OF_TYPE.format(kind='Picklist')}&$expand={sets}")
    for column, attribute in _named(told or {}):
        options = attribute.get("OptionSet") or attribute.get("GlobalOptionSet") or {}
        allowed = [one.get("Value") for one in options.get("Options") or []]
        if column in rules and rules[column].constant not in allowed:
            words = f"the column {column} takes {', '.join(map(str, allowed))}; found {rules[column].constant}"
            raise _wrong(PICKLIST_VALUE, words)


def _check_lengths(read: Read, rules: Mapping[str, Rule]) -> None:
    """Want no column shorter than what would be written: its owner may have changed it."""
    for kind in sorted(_TEXTS):
        told = _optional(read, f"{_OF_TYPE.format(kind=kind)},MaxLength")
        for column, attribute in _named(told or {}):
            longest, rule = attribute.get("MaxLength"), rules.get(column)
            if rule is None or not isinstance(longest, int):
                continue
            needed = units(rule.constant) if isinstance(rule.constant, str) else rule.limit
            if needed > longest:
                words = f"the column {column} takes {longest} characters; up to {needed} would be written"
                raise _wrong(COLUMN_TOO_SHORT, words)
