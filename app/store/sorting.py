"""Sorting in: receipts, deliveries, quarantine and counts are made of what was kept, behind the answers.

The worker does it as soon as something comes. Whoever looks at the store, or changes something in it for a person,
does it first, so that nobody ever misses a lead that was answered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.log import logger, where_from
from app.store.arrival import SealedArrival, opened, sealed_body, sealed_lead
from app.store.counts import Counts
from app.store.engine import StoreUnavailable
from app.store.tables import LONGEST_OFFER, Status, deliveries, duplicate_keys, inbox, quarantine, receipts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.lead import Lead
    from app.store.engine import Store

log = logger("store")
GROUP = 50  # rows a transaction: senders wait behind it
PATIENCE = 2.0  # seconds that somebody who looks may wait for what came in before
_CLAIM = ("key", "receipt_id", "seen_at")
_DELIVERY = ("receipt_id", "destination", "state", "due_at", "updated_at")
_QUARANTINE = ("id", "content_type", "sealed", "data_key", "length", "error")
_RECEIPT = (
    "id", "received_at", "source", "status", "test", "lead_source", "action_code", "offer", "email_domain",
    "duplicate_of", "person", "sealed", "data_key",
)  # fmt: skip


class Sorter:
    """What stands between the inbox and everything else."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._counts = Counts(store)
        self._unreadable: set[str] = set()
        # What is there already stays: a row can be sorted again after its commit's answer got lost.
        self._add_receipt = store.many(receipts, _RECEIPT, lambda row: row.on_conflict_do_nothing())
        self._claim = store.many(duplicate_keys, _CLAIM, _latest)
        self._add_delivery = store.many(deliveries, _DELIVERY, lambda row: row.on_conflict_do_nothing())
        self._add_quarantine = store.many(quarantine, _QUARANTINE, lambda row: row.on_conflict_do_nothing())

    def catch_up(self) -> None:
        """Sort in what came until now, for somebody who looks; a store that can't be written is looked at as it is."""
        ends = time.monotonic() + PATIENCE
        try:
            while self.waits() and self.sort() and time.monotonic() < ends:
                pass
        except StoreUnavailable as exc:
            log.error("store.unavailable", reason=str(exc))

    def finish(self) -> None:
        """Sort in everything, however long it takes.

        Raises:
            StoreUnavailable: the rest is not sorted in.

        """
        while self.waits() and self.sort():
            pass

    def waits(self) -> bool:
        """Whether there is anything to sort in."""
        with self._store.read() as connection:
            return connection.execute(self._next(1).with_only_columns(inbox.c.id)).first() is not None

    def sort(self) -> int:
        """Sort in the oldest rows, one transaction's worth; gives how many, with those that can't be and are left.

        Raises:
            StoreUnavailable: nothing was sorted in.

        """
        try:
            return self._sort(GROUP)
        except StoreUnavailable:
            raise
        except Exception as exc:  # noqa: BLE001  (a fault of one row must not keep back all others)
            log.error("inbox.stuck", exception=type(exc).__name__, frames=where_from(exc))
            return self._sort_singly()

    def _sort_singly(self) -> int:
        """Sort in one by one; what can't be is left for a version that can."""
        done = 0
        for _ in range(GROUP):
            try:
                number = self._sort(1)
            except StoreUnavailable:
                raise
            except Exception as exc:  # noqa: BLE001
                self._leave(exc)
                number = 1
            if not number:
                break
            done += number
        return done

    def _leave(self, exc: Exception) -> None:
        with self._store.read() as connection:
            row = connection.execute(self._next(1)).first()
        if row is not None:
            self._unreadable.add(row.id)
            log.error("arrival.unsorted", lead=row.id, exception=type(exc).__name__, frames=where_from(exc))

    def _next(self, limit: int) -> sa.Select[Any]:
        query = sa.select(inbox).order_by(inbox.c.id).limit(limit)
        return query.where(inbox.c.id.not_in(self._unreadable)) if self._unreadable else query

    def _sort(self, limit: int) -> int:
        self._store.keyring.unlock()  # for rows of earlier versions, which are sealed now
        # Lost with the power, it is done again: the rows it is made of are on disk.
        with self._store.write(durable=False) as connection:
            rows = connection.execute(self._next(limit).with_for_update(skip_locked=True)).all()
            if not rows:
                return 0
            arrivals = [opened(row.arrival, self._store) for row in rows]
            self.write(connection, [(one, row.duplicate_of) for one, row in zip(arrivals, rows, strict=True)])
            claims = [(row.key, row.id, one.received_at) for one, row in zip(arrivals, rows, strict=True) if row.key]
            if claims:
                self._claim(connection, sorted(claims))
            connection.execute(inbox.delete().where(inbox.c.id.in_([row.id for row in rows])))
        self._store.wake()
        return len(rows)

    def write(self, connection: Connection, sorted_in: Sequence[tuple[SealedArrival, str | None]]) -> None:
        """Write what arrivals become; beside each stands the id of the first one, if it is a duplicate."""
        there = self._there(connection, [one.id for one, _ in sorted_in])
        new = [(one, first) for one, first in sorted_in if one.id not in there]
        if not new:
            return
        self._add_receipt(connection, [_receipt_row(one, first) for one, first in new])
        kept = [one for one, first in new if first is None]
        owed = [(one.id, name, "due", one.received_at, one.received_at) for one in kept for name in one.destinations]
        if owed:
            self._add_delivery(connection, owed)
            self._store.notify(connection)
        bodies = [_quarantine_row(one, one.content_type) for one in kept if one.content_type is not None]
        if bodies:
            self._add_quarantine(connection, bodies)
        self._counts.arrived(connection, new)

    def _there(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Give the ids of those that are sorted in, and counted, already."""
        return set(connection.execute(sa.select(receipts.c.id).where(receipts.c.id.in_(ids))).scalars())


def _latest(row: Any) -> Any:  # noqa: ANN401  (the dialects' inserts share no typed base)
    """Have a key belong to the latest that was new under it."""
    values = {"receipt_id": row.excluded.receipt_id, "seen_at": row.excluded.seen_at}
    later = duplicate_keys.c.seen_at < row.excluded.seen_at
    return row.on_conflict_do_update(index_elements=["key"], set_=values, where=later)


NOTHING = {"sealed": None, "data_key": None, "unsealed": None}  # of whom nothing is left


def lead_columns(store: Store, id_: str, lead: Lead | None) -> dict[str, Any]:
    """The columns of a receipt that come from its lead; the keys must be in hand inside a transaction."""
    one = sealed_lead(store, id_, lead)
    if lead is None or one is None:
        return {**dict.fromkeys(("lead_source", "action_code", "offer")), **NOTHING}
    about = {"lead_source": lead.lead_source, "action_code": lead.action_code, "offer": _indexed(lead.offer)}
    return {**about, **NOTHING, **one._asdict()}


def body_columns(store: Store, id_: str, body: bytes | None) -> dict[str, Any]:
    """The columns of a quarantined body; the keys must be in hand inside a transaction."""
    one = sealed_body(store, id_, body)
    return {**NOTHING, **(one._asdict() if one is not None else {})}


def delivery_row(receipt_id: str, destination: str, *, at: int) -> dict[str, Any]:
    """A delivery that is due now; `at` in milliseconds."""
    return {"receipt_id": receipt_id, "destination": destination, "state": "due", "due_at": at, "updated_at": at}


def _receipt_row(arrival: SealedArrival, first: str | None) -> tuple[Any, ...]:
    duplicate = first is not None
    bare = duplicate or arrival.content_type is not None  # without a lead of its own
    values = {
        "id": arrival.id,
        "received_at": arrival.received_at,
        "source": arrival.source,
        "status": str(Status.DUPLICATE if duplicate else arrival.status),
        "test": arrival.test,
        "email_domain": arrival.email_domain,
        "duplicate_of": first,
        "person": None if duplicate else arrival.person,
        "lead_source": arrival.lead_source,
        "action_code": arrival.action_code,
        "offer": _indexed(arrival.offer),
        "sealed": None if bare else arrival.sealed,
        "data_key": None if bare else arrival.data_key,
    }
    return tuple(values[name] for name in _RECEIPT)


def _indexed(offer: str | None) -> str | None:
    return offer and offer[:LONGEST_OFFER]


def _quarantine_row(arrival: SealedArrival, content_type: str) -> tuple[Any, ...]:
    return arrival.id, content_type, arrival.sealed, arrival.data_key, arrival.length, arrival.error
