"""What Partner Center has against what arrived: both sides know the person and the time, and no common number."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from app.decoding.exports import UnreadableExport, read_export
from app.lead import Envelope
from app.operations.base import Base, NotPossible
from app.store.arrival import keyed_hash
from app.store.mentions import quarantined_bodies_of
from app.store.reconciling import Arrived
from app.store.tables import Status, iso, to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.decoding.exports import ExportRow
    from app.store.acts import Who
    from app.store.arrival import Arrival

APART = timedelta(hours=24)  # between a lead's creation there and its arrival here: clocks, zones, their own delays
TOO_YOUNG = timedelta(hours=1)  # what may be on its way still
ERASED_APART = timedelta(hours=1)
MARK = {"ReconciledFrom": "Partner Center export"}  # beside the lead's own fields, wherever it is delivered to
ROOT = {
    "lead_source": "LeadSource",
    "action_code": "ActionCode",
    "offer_title": "OfferTitle",
    "description": "Description",
}
USER = {
    "first_name": "FirstName", "last_name": "LastName", "email": "Email", "phone": "Phone", "country": "Country",
    "company": "Company", "title": "Title",
}  # fmt: skip


class Reconciliation(Base):
    """The verb that compares an export."""

    def reconcile(
        self,
        export: bytes,
        *,
        who: Who,
        ingest: bool = False,
        source: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Tell for each lead of an export what became of it; with `ingest`, take in what is missing, marked, once.

        A row's `found` is arrived, ingested, quarantined, missing, too-old (retention has deleted what came then),
        too-young (it may be on its way), or perhaps-erased (somebody who was erased here sent a lead then).

        Raises:
            NotPossible: it is no export, or it is not said whose source it is.

        """
        source = self._source(source)
        try:
            rows = read_export(export, columns=columns)
        except UnreadableExport as exc:
            raise NotPossible(str(exc)) from None
        made = {id_: self._arrival(row, id_, source) for id_, row in self._numbered(rows, source).items()}
        found = self._compare(made, dict(zip(made, rows, strict=True)))
        for id_ in [id_ for id_, what in found.items() if ingest and what == "missing"]:
            self.intake.inbox.put(made[id_])
            self._acts.record("ingest", id_, now=self._now(), who=who)
            found[id_] = "ingested"
        told = [
            {
                "line": row.line,
                "created_at": iso(to_ms(row.created_at)),
                "offer": row.values.get("offer_title"),
                "found": found[id_],
                "id": id_ if found[id_] == "ingested" else None,
            }
            for id_, row in zip(made, rows, strict=True)
        ]
        return {"ok": "missing" not in found.values(), "counts": dict(Counter(found.values())), "rows": told}

    def _source(self, source: str | None) -> str:
        names = list(self.settings.sources)
        if source is None and len(names) == 1:
            return names[0]
        if source not in names:
            msg = f"{source!r} is no source; there are: {', '.join(names)}. Say which one this export is of."
            raise NotPossible(msg)
        return source

    def _numbered(self, rows: Sequence[ExportRow], source: str) -> dict[str, ExportRow]:
        """Give each row the id that it gets whenever it is taken in: so it is taken in once."""
        seen: Counter[str] = Counter()
        ids = {}
        for row in rows:
            same = f"{source} {row.email.casefold()} {row.created_at.isoformat()} {row.values.get('offer_title', '')}"
            ids[_id(row, keyed_hash(self.store, f"{same} {seen[same]}"))] = row
            seen[same] += 1
        return ids

    def _arrival(self, row: ExportRow, id_: str, source: str) -> Arrival:
        """Read a row as the lead that Microsoft would have sent."""
        values = {**row.values, "email": row.email}
        document = {
            "UserDetails": {key: values[name] for name, key in USER.items() if name in values},
            **{key: values[name] for name, key in ROOT.items() if name in values},
            **MARK,
            "LeadCreationDateTime": iso(to_ms(row.created_at)),
        }
        envelope = Envelope(body=msgspec.json.encode(document), content_type="application/json")
        arrival = self.intake.arrival(self.intake.read(envelope), envelope, source=source)
        # Compared already, and more closely than the duplicate key would.
        return msgspec.structs.replace(arrival, id=id_, duplicate_key=None)

    def _compare(self, made: Mapping[str, Arrival], rows: Mapping[str, ExportRow]) -> dict[str, str]:
        if not made:
            return {}
        moments = [to_ms(row.created_at) for row in rows.values()]
        self._sorter.catch_up()
        apart = _ms(APART)
        arrived = Arrived(self.store, since=min(moments) - apart, until=max(moments) + apart)
        found = dict.fromkeys(arrived.there(made), "ingested")
        of_person = arrived.of_persons({one.person for one in made.values() if one.person is not None})
        of_domain = arrived.withheld()
        groups: dict[Any, list[str]] = defaultdict(list)
        for id_, one in made.items():
            if id_ not in found:
                groups[one.email_domain if one.status is Status.WITHHELD else one.person].append(id_)
        for whose, ids in groups.items():
            came = of_person.get(whose) or of_domain.get(whose) or []
            wanted = {id_: to_ms(rows[id_].created_at) for id_ in ids}
            found |= dict.fromkeys(_pairs(wanted, {id_: at for id_, at in came if id_ not in made}, apart), "arrived")
        left = {id_: rows[id_] for id_ in made if id_ not in found}
        return found | self._explained(left, arrived)

    def _explained(self, left: Mapping[str, ExportRow], arrived: Arrived) -> dict[str, str]:
        """Say of what did not arrive why that may be."""
        bodies = quarantined_bodies_of(self.store, {row.email for row in left.values()})
        came = arrived.there([id_ for ids in bodies.values() for id_ in ids])
        erased = arrived.erased()
        now, kept = self.now(), timedelta(days=self.settings.retention.leads_days)
        found = {}
        for id_, row in left.items():
            at, near = to_ms(row.created_at), _ms(ERASED_APART)
            if any(abs(at - came[body]) <= _ms(APART) for body in bodies.get(row.email, ()) if body in came):
                found[id_] = "quarantined"
            elif row.created_at < now - kept:
                found[id_] = "too-old"
            elif row.created_at > now - TOO_YOUNG:
                found[id_] = "too-young"
            else:
                found[id_] = "perhaps-erased" if any(abs(at - one) <= near for one in erased) else "missing"
        return found


def _pairs(wanted: Mapping[str, int], came: Mapping[str, int], apart: int) -> set[str]:
    """Pair what was sent with what came, the nearest first; gives what found its own."""
    near = sorted(
        (abs(sent - at), id_, other)
        for id_, sent in wanted.items()
        for other, at in came.items()
        if abs(sent - at) <= apart
    )
    paired: set[str] = set()
    taken: set[str] = set()
    for _, id_, other in near:
        if id_ not in paired and other not in taken:
            paired.add(id_)
            taken.add(other)
    return paired


def _id(row: ExportRow, random: bytes) -> str:
    """Make a UUID of version 8 in the order of time, as all ids here are."""
    bits = (to_ms(row.created_at) << 80) | int.from_bytes(random[:10], "big")
    bits = bits & ~(0xF << 76) | (8 << 76)
    return str(uuid.UUID(int=bits & ~(0x3 << 62) | (0x2 << 62)))


def _ms(length: timedelta) -> int:
    return round(length.total_seconds() * 1000)
