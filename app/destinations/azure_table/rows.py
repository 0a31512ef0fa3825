"""Leads as rows: their keys, their columns, and the calls they are sorted into."""

from __future__ import annotations

import json
import re
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from app.destinations.base import Parcel

MAX_ROWS = 100  # a transaction
MAX_BYTES = 3_500_000  # a transaction; the service takes 4 MiB
ROW_OVERHEAD = 2_000  # bytes: headers of the part, a type name for each column
MAX_ROW_BYTES = 1_000_000  # the service takes 1 MiB
MAX_UNITS = 32_000  # UTF-16 units a column; documented as 64 KiB and "about 32 K or less"
CLIPPED = "…[clipped]"


def _units(text: str) -> int:
    """Count as the service does: UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def clip(text: str, limit: int) -> str:
    """Shorten `text` to `limit` UTF-16 units with a mark at its end; half of a pair is never left."""
    if _units(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "surrogatepass")[: 2 * (limit - _units(CLIPPED))]
    return kept.decode("utf-16-le", "ignore") + CLIPPED


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_within(values: Mapping[str, Any], limit: int) -> str:
    """Write `values` as JSON of at most `limit` UTF-16 units, clipping the longest values first.

    Where even short values are too many, the text of the whole is clipped and stands as one string under "clipped".
    """
    whole = _json(values)
    if _units(whole) <= limit:
        return whole
    texts = {key: value if isinstance(value, str) else _json(value) for key, value in values.items()}
    for longest in range(limit, 0, -1_000):
        text = _json({key: clip(one, longest) if _units(one) > longest else values[key] for key, one in texts.items()})
        if _units(text) <= limit:
            return text
    # Quoting what is JSON already doubles it at most.
    return _json({"clipped": clip(whole, limit // 2 - 8)})


def _key(text: str) -> str:
    """Write what a key may not hold as Microsoft's writer does: `/` becomes `:2F`."""
    return re.sub(r"[/\\#?%\x00-\x1f\x7f-\x9f]", lambda found: f":{ord(found[0]):02X}", text)


def _text(value: str) -> str:
    """Leave nothing in a text that XML 1.0, the service's other tongue, can't carry."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", value)


def keys_of(lead_id: str, received_at: datetime) -> dict[str, str]:
    """Give a lead's row its keys; `received_at` is aware."""
    day = received_at.astimezone(UTC)
    return {"PartitionKey": _key(f"{day.month}/{day.day}/{day.year}"), "RowKey": _key(lead_id)}


def entity_of(parcel: Parcel, limit: int = MAX_UNITS) -> dict[str, str | bool]:
    """Make a lead's row: Microsoft's columns always there as text, ours where there is something to say.

    PartitionKey is the UTC day the lead came ("9:2F28:2F2018"), RowKey the lead's id: neither changes from attempt
    to attempt, nor if two deliveries of one lead meet in one table.
    """
    lead, day = parcel.lead, parcel.received_at.astimezone(UTC)
    customer = {
        "FirstName": lead.first_name,
        "LastName": lead.last_name,
        "Email": lead.email,
        "Phone": lead.phone,
        "Country": lead.country,
        "Company": lead.company,
        "Title": lead.title,
    }
    theirs = {
        "ActionCode": lead.action_code or "",
        "CreatedTime": day.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "CustomerInfo": json_within({name: value or "" for name, value in customer.items()}, limit),
        "Description": lead.description or "",
        "LeadSource": lead.lead_source or "",
        "OfferDisplayName": lead.offer_title or "",
    }
    ours = {
        "PublisherId": lead.publisher_id,
        "OfferId": lead.offer_id,
        "Campaign": json_within(lead.campaign, limit) if lead.campaign else None,
        "Extra": json_within(lead.extra, limit) if lead.extra else None,
        "LeadId": parcel.lead_id,
        "Source": parcel.source,
    }
    columns = {name: clip(_text(value), limit) for name, value in {**theirs, **ours}.items() if value is not None}
    return {**keys_of(parcel.lead_id, day), **columns, "IsTest": parcel.test}


class Row(NamedTuple):
    """A row and the place of its parcel in the batch."""

    place: int
    entity: dict[str, str | bool]
    size: int  # bytes in a request, about

    @property
    def name(self) -> str:
        """How the service names the row; no key holds a slash."""
        return f"{self.entity['PartitionKey']}/{self.entity['RowKey']}"


def row_of(place: int, parcel: Parcel) -> Row:
    """Make a row small enough for the service, whose emulator counts what the SDK writes: up to six bytes a unit."""
    limit = MAX_UNITS
    while True:
        entity = entity_of(parcel, limit)
        size = len(json.dumps(entity)) + ROW_OVERHEAD
        if size <= MAX_ROW_BYTES:
            return Row(place, entity, size)
        limit //= 2


class _Call:
    """Rows of one partition on their way into one call."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._names: set[str] = set()
        self._size = 0

    def takes(self, row: Row) -> bool:
        """Put a row in, if it may go with the others."""
        if self.rows and (len(self.rows) == MAX_ROWS or self._size + row.size > MAX_BYTES or row.name in self._names):
            return False
        self.rows.append(row)
        self._names.add(row.name)
        self._size += row.size
        return True


def transactions(parcels: Iterable[Parcel]) -> list[list[Row]]:
    """Sort parcels into what the service takes in one call: one partition, each row once, not too many or too large."""
    done: list[_Call] = []
    current: dict[str | bool, _Call] = {}
    for place, parcel in enumerate(parcels):
        row = row_of(place, parcel)
        day = row.entity["PartitionKey"]
        if day not in current or not current[day].takes(row):
            current[day] = _Call()
            current[day].takes(row)
            done.append(current[day])
    return [call.rows for call in done]
