"""The results of a collection as outcomes, one a record and in their order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.destinations.base import DeliveryFailed, Sent
from app.destinations.salesforce.errors import PICKLIST, REQUIRED, fields_of, read_record, unreadable

if TYPE_CHECKING:
    from app.destinations.base import Outcome
    from app.destinations.salesforce.describe import LeadObject

OK = 200
_ID = re.compile(r"00Q[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")


def outcomes_of(told: Any, *, count: int, lead: LeadObject, external: str | None) -> list[Outcome]:  # noqa: ANN401  (any JSON)
    """Read the results of a collection of `count` records.

    Raises:
        DeliveryFailed: there aren't as many results as records, so that none can be told apart.

    """
    if not isinstance(told, list) or len(told) != count:
        found = len(told) if isinstance(told, list) else "no list of"
        why = f"{found} results for {count} records"
        raise unreadable(why)
    return [_outcome(one, lead=lead, external=external) for one in told]


def _outcome(result: Any, *, lead: LeadObject, external: str | None) -> Outcome:  # noqa: ANN401
    if not isinstance(result, dict):
        return unreadable("a result that isn't an object")
    id_ = result.get("id")
    if result.get("success") is True:
        return Sent(id_) if isinstance(id_, str) and id_ else unreadable("a success without an id")
    failure = read_record(result.get("errors"), status=OK)
    if failure.code == "DUPLICATE_VALUE" and external:
        return _ours(failure, external) or failure
    if failure.code == REQUIRED:
        return _empty_picklist(failure, result, lead) or failure
    return failure


def _ours(failure: DeliveryFailed, external: str) -> Sent | None:
    """Recognise a lead of ours that is there already, also by a name with another capital or two."""
    told = re.search(rf"\b{re.escape(external)}\b", failure.detail, re.IGNORECASE)
    found = _ID.search(failure.detail)
    return Sent(found[0]) if told and found else None


def _empty_picklist(failure: DeliveryFailed, result: dict[str, Any], lead: LeadObject) -> DeliveryFailed | None:
    """Call a missing picklist what `check` calls it."""
    named = (lead.field(name) for name in fields_of(result.get("errors")))
    if any(field is not None and field.is_picklist for field in named):
        return DeliveryFailed(PICKLIST, status=failure.status, detail=failure.detail)
    return None
