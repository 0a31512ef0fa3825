"""People: forget one who asks for it, and delete what is older than retention says."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.delivery import delivery_id
from app.destinations.base import DeliveryFailed, Eraser, Erasure, Record
from app.operations.base import Base
from app.store.arrival import person_key
from app.store.auditing import head
from app.store.tables import from_ms, iso, to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.acts import Who


class People(Base):
    """The verbs that forget."""

    def find_person(self, email: str) -> list[str]:
        """Give the ids of everything that holds an e-mail address.

        Raises:
            NotPossible: that is no whole address.

        """
        key = self._person_key(email)
        self._sorter.finish()
        return self._acts.find_person(email.strip(), key)

    def erase(
        self, ids: Sequence[str], *, who: Who, email: str | None = None, destinations: bool = False
    ) -> dict[str, Any]:
        """Forget who these leads were, and an address in what is told of problems; gives a certificate of it.

        It names no person, only the keyed hash of `email`. `destinations` has each `held` by a destination that can
        do so erased there as well; `told` says what became of it. Without, or where that failed, it is to be erased
        there by hand.
        """
        now = self._now()
        done = self._acts.erase(ids, now=now, who=who, email=email)
        held = [{**one, "erased": False, "told": None} for one in done.held]
        if destinations:
            held = self._erased_there(held, who=who)
        person = person_key(self.store, email)
        return {
            "at": iso(now),
            "actor": who.actor,
            "why": who.why,
            "person": person.hex() if person is not None else None,
            "erased": list(ids),
            "counts": done.counts,
            "destinations": held,
            "audit_head": head(self.store),
        }

    def _erased_there(self, held: Sequence[dict[str, Any]], *, who: Who) -> list[dict[str, Any]]:
        """Erase at each destination in turn; a failure of one is told and leaves the others alone."""
        received = self._acts.received_at([one["id"] for one in held])
        found: dict[tuple[str, str], Erasure] = {}
        for name in dict.fromkeys(one["destination"] for one in held):
            mine = [one for one in held if one["destination"] == name]
            erasures = self._erasures(name, [_record(one, received[one["id"]]) for one in mine])
            found |= {(one["id"], name): erasure for one, erasure in zip(mine, erasures, strict=True)}
        erased = [f"{id_} {name}" for (id_, name), erasure in found.items() if erasure.erased]
        self._acts.record_erasures(erased, now=self._now(), who=who)
        return [{**one, **asdict(found[one["id"], one["destination"]])} for one in held]

    def _erasures(self, name: str, records: Sequence[Record]) -> Sequence[Erasure]:
        if name not in self.kinds:
            return _none(records, "It is not configured any more: erase it there.")
        destination = self.destination(name)
        if not isinstance(destination, Eraser):
            return _none(records, "Destinations of this type can't be asked to erase: erase it there.")
        try:
            return destination.erase(records)
        except DeliveryFailed as failed:
            entry = self.catalogue.translate(
                self.kinds[name], code=failed.code, status=failed.status, detail=failed.detail
            )
            # Those before the one that failed may be gone; asked again, they count as erased.
            return _none(records, f"It failed: {entry.title} ({entry.code}). Erase it there, or try again.")
        finally:
            destination.close()

    def purge(self, *, who: Who) -> dict[str, int]:
        """Delete what retention says; gives how much of each."""
        now, kept = self.now(), self.settings.retention
        tests = self.settings.test_leads.keep_days

        def days_ago(days: float) -> int:
            return to_ms(now - timedelta(days=days))

        return self._acts.purge(
            leads=days_ago(kept.leads_days),
            tests=days_ago(tests),
            bodies=days_ago(kept.quarantine_days),
            tries=days_ago(kept.attempts_days),
            keys=days_ago(self.settings.duplicates.window_hours / 24),
            now=to_ms(now),
            who=who,
        )


def _record(held: dict[str, Any], received_at: int) -> Record:
    return Record(
        delivery_id=delivery_id(held["id"], held["destination"]),
        lead_id=held["id"],
        received_at=from_ms(received_at),
        remote_id=held["remote_id"],
    )


def _none(records: Sequence[Record], told: str) -> list[Erasure]:
    return [Erasure(erased=False, told=told)] * len(records)
