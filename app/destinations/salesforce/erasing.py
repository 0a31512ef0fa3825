"""Deleting leads, up to 200 a call: Salesforce puts them into its recycle bin first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.destinations.base import Erasure
from app.destinations.salesforce.errors import read_record, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.destinations.salesforce.wire import Api

AT_ONCE = 200  # ids a call
OK = 200
GONE = {"ENTITY_IS_DELETED", "NOT_FOUND"}
UNSEEN = "INVALID_CROSS_REFERENCE_KEY"  # of ids that are not there, and of those that the user may not see
DELETED = (
    "The lead is in the recycle bin, where Salesforce keeps it for 15 days; empty the bin to be rid of it now. "
    "What it was converted into is not deleted."
)
NOT_THERE = Erasure(erased=True, told="There is no such lead.")
NOT_SHOWN = Erasure(
    erased=False,
    told="Salesforce shows Leadwire's user no such lead. It is gone, or that user may not see it: look for it there.",
)


def delete(api: Api, ids: Sequence[str]) -> dict[str, Erasure]:
    """Delete leads by their record ids; gives what became of each.

    Raises:
        DeliveryFailed: a call failed; those of the calls before it are deleted, and deleting again does no harm.

    """
    done: dict[str, Erasure] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        told = api.call("DELETE", f"/composite/sobjects?ids={','.join(some)}&allOrNone=false")
        if not isinstance(told, list) or len(told) != len(some):
            why = "not one result a record"
            raise unreadable(why)
        done |= {id_: _erasure(one) for id_, one in zip(some, told, strict=True)}
    return done


def _erasure(result: Any) -> Erasure:  # noqa: ANN401  (any JSON)
    if not isinstance(result, dict):
        return Erasure(erased=False, told="Salesforce gave no result that could be read.")
    if result.get("success") is True:
        return Erasure(erased=True, told=DELETED)
    failure = read_record(result.get("errors"), status=OK)
    if failure.code in GONE:
        return NOT_THERE
    if failure.code == UNSEEN:
        return NOT_SHOWN
    return Erasure(erased=False, told=f"Salesforce refused it: {failure.code}.")
