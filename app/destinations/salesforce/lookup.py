"""Which deliveries the org has already: asked before a delivery that may have arrived is written again.

What each way guarantees:

- `external_id_field`, or a `marker_field` of its own: one SOQL query over an exact value, which sees every lead from
  the moment it is written until somebody deletes it. The first also stops two writers at once, by upsert.
- the mark inside Description: a text area, which SOQL can show and not filter by. So two questions: SOQL for what our
  own user made within the last hour, which misses nothing and needs no index; and SOSL, whose index may lag behind by
  minutes but reaches back to the first day. A lead made twice would need somebody to take the mark out of the text,
  or an index that lags for more than an hour.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.destinations.salesforce.errors import unreadable
from app.destinations.salesforce.record import marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from app.destinations.salesforce.describe import LeadObject
    from app.destinations.salesforce.wire import Api

RECENT = timedelta(hours=1)
AT_ONCE = 200  # values of 36 characters in one address: 8 KB of the 16 that Salesforce takes
MARKS_AT_ONCE = 100  # beyond 4,000 characters SOSL forgets its operators
_RESERVED = re.compile(r"""([?&|!{}\[\]()^~*:\\"'+-])""")


class Lookup:
    """Finds leads of ours by what `settings` says they can be recognised by."""

    def __init__(self, settings: Mapping[str, Any], api: Api, *, now: Callable[[], datetime]) -> None:
        """Take the way to ask."""
        self._name: str = settings["external_id_field"] or settings["marker_field"]
        self._in_text = settings["external_id_field"] is None and self._name.casefold() == "description"
        self._api = api
        self._now = now

    def find(self, ids: Sequence[str], lead: LeadObject) -> dict[str, str]:
        """Give the record id of each delivery that is there; none for the others.

        Raises:
            DeliveryFailed: it couldn't be found out.

        """
        if self._in_text:
            return self._by_mark(ids)
        field = lead.field(self._name)
        return self._by_field(ids, field.name if field is not None else self._name)

    def _by_field(self, ids: Sequence[str], name: str) -> dict[str, str]:
        wanted = {one.casefold(): one for one in ids}
        found: dict[str, str] = {}
        for start in range(0, len(ids), AT_ONCE):
            listed = ",".join(_literal(one) for one in ids[start : start + AT_ONCE])
            for row in self._query(f"SELECT Id,{name} FROM Lead WHERE {name} IN ({listed})"):  # noqa: S608  (checked names, quoted values)
                values = {key.casefold(): value for key, value in row.items()}  # spelled as the org does
                value = str(values.get(name.casefold()) or "").casefold()
                if value in wanted:
                    found.setdefault(wanted[value], row["Id"])
        return found

    def _by_mark(self, ids: Sequence[str]) -> dict[str, str]:
        wanted = {marker(one): one for one in ids}
        found = _marked(self._recent(), wanted)
        left = [mark for mark, id_ in wanted.items() if id_ not in found]
        for start in range(0, len(left), MARKS_AT_ONCE):
            found |= _marked(self._search(left[start : start + MARKS_AT_ONCE]), wanted)
        return found

    def _recent(self) -> Iterator[dict[str, Any]]:
        """Give what our own user made lately; by date alone where the sign-in doesn't say who we are."""
        since = (self._now() - RECENT).astimezone(UTC)
        user = self._api.session().user_id
        ours = f"CreatedById={_literal(user)} AND " if user else ""
        yield from self._query(f"SELECT Id,Description FROM Lead WHERE {ours}CreatedDate>={since:%Y-%m-%dT%H:%M:%SZ}")  # noqa: S608  (see _by_field)

    def _search(self, marks: Sequence[str]) -> list[dict[str, Any]]:
        words = " OR ".join(_RESERVED.sub(r"\\\1", one) for one in marks)
        sosl = f"FIND {{{words}}} IN ALL FIELDS RETURNING Lead(Id,Description)"
        told = self._api.call("GET", f"/search?q={quote(sosl, safe='')}")
        return _rows(told, "searchRecords")

    def _query(self, soql: str) -> Iterator[dict[str, Any]]:
        path: str | None = "/query?q=" + quote(soql, safe="',()")
        while path is not None:
            told = self._api.call("GET", path)
            yield from _rows(told, "records")
            following = told.get("nextRecordsUrl")
            path = following if isinstance(following, str) and following.startswith("/services/data/") else None
            if path is None and told.get("done") is not True:
                why = "an answer to a query without its end"
                raise unreadable(why)


def _rows(told: Any, key: str) -> list[dict[str, Any]]:  # noqa: ANN401  (any JSON)
    rows = told.get(key) if isinstance(told, dict) else None
    if not isinstance(rows, list) or not all(isinstance(one, dict) and isinstance(one.get("Id"), str) for one in rows):
        why = "an answer to a search without its rows"
        raise unreadable(why)
    return rows


def _marked(rows: Iterator[dict[str, Any]] | list[dict[str, Any]], wanted: Mapping[str, str]) -> dict[str, str]:
    """Look for the marks in the texts themselves: a search may find more than was asked for."""
    found: dict[str, str] = {}
    for row in rows:
        for mark in re.findall(r"Leadwire (\d+)", str(row.get("Description") or "")):
            if mark in wanted:
                found.setdefault(wanted[mark], row["Id"])
    return found


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
