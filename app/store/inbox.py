"""Taking in: whatever came, in one transaction with the deliveries it owes, on disk before anyone is answered.

Requests that arrive together are committed together: whoever gets the lock writes for all that wait (leader and
followers), because on most disks the fsync is the price and not the rows.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.counts import Counts
from app.store.engine import BUSY_SECONDS, StoreUnavailable
from app.store.tables import Status, deliveries, duplicate_keys, quarantine, receipts

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.lead import Lead
    from app.store.engine import Store

MAX_GROUP = 200  # bodies a transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A body that is no lead: kept as it came, or only its length where it must not be kept."""

    content_type: str
    body: bytes | None
    length: int
    error: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What is to be kept of one body that came in. `received_at` in milliseconds."""

    id: str
    received_at: int
    source: str
    status: Status
    test: bool = False
    lead: Lead | None = None  # withheld: without anything personal
    email_domain: str | None = None
    person: bytes | None = None
    duplicate_key: bytes | None = None  # none: never a duplicate
    destinations: tuple[str, ...] = ()
    quarantined: Quarantined | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the sender is told; a duplicate's id is the first one's."""

    id: str
    status: Status


@dataclass(slots=True, eq=False)
class _Ticket:
    arrival: Arrival
    receipt: Receipt | None = None
    failure: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Inbox:
    """The way into the store."""

    def __init__(self, store: Store, *, window_ms: int) -> None:
        """Take the store and how long the same lead counts as the same (0: never)."""
        self._store = store
        self._window_ms = window_ms
        self._waiting: deque[_Ticket] = deque()
        self._leading = threading.Lock()
        key_row = store.insert(duplicate_keys)
        self._claim_key = key_row.on_conflict_do_update(
            index_elements=["key"],
            set_={"receipt_id": key_row.excluded.receipt_id, "seen_at": key_row.excluded.seen_at},
            where=duplicate_keys.c.seen_at <= key_row.excluded.seen_at - window_ms,
        )
        # A commit whose answer got lost is tried again with the same ids: what is there already stays.
        self._add_receipt = store.insert(receipts).on_conflict_do_nothing()
        self._add_delivery = store.insert(deliveries).on_conflict_do_nothing()
        self._add_quarantine = store.insert(quarantine).on_conflict_do_nothing()
        self._counts = Counts(store)

    def duplicate_key(self, lead: Lead, *, source: str) -> bytes | None:
        """Give the key under which the same lead is found again; None where duplicates are not looked for."""
        if not self._window_ms:
            return None
        text = json.dumps([source, lead.as_dict()], sort_keys=True, ensure_ascii=False).casefold()
        return hashlib.blake2b(_bytes(text), digest_size=16, key=self._store.salt()).digest()

    def put(self, arrival: Arrival) -> Receipt:
        """Keep an arrival; returns once it is on disk.

        Raises:
            StoreUnavailable: it is not kept (or, where a connection broke while committing, it is not known).

        """
        ticket = _Ticket(arrival)
        self._waiting.append(ticket)
        if self._leading.acquire(timeout=BUSY_SECONDS):
            try:
                if not ticket.done.is_set():
                    self._commit_waiting(until=ticket)
            finally:
                self._leading.release()
        elif not self._withdrawn(ticket):
            ticket.done.wait(BUSY_SECONDS)
        if ticket.failure is not None:
            raise ticket.failure
        if ticket.receipt is None:
            msg = f"{self._store.name}: busy for more than {BUSY_SECONDS} s"
            raise StoreUnavailable(msg)
        return ticket.receipt

    def _withdrawn(self, ticket: _Ticket) -> bool:
        try:
            self._waiting.remove(ticket)
        except ValueError:
            return False
        return True

    def _commit_waiting(self, *, until: _Ticket) -> None:
        while self._waiting and not until.done.is_set():
            self._settle([])

    def _settle(self, group: list[_Ticket]) -> None:
        """Commit a group; where one arrival can't be written, the others must not suffer: each by itself then."""
        try:
            written = self._commit(group)
        except StoreUnavailable as failure:
            self._fill(group)  # nobody's turn came: all that wait have waited for nothing
            written = [StoreUnavailable(str(failure)) for _ in group]  # each thread raises its own
        except Exception as failure:  # noqa: BLE001  (a fault of one row, whatever the driver calls it; raised in `put`)
            if len(group) > 1:
                for ticket in group:
                    self._settle([ticket])
                return
            written = [failure]
        for ticket, result in zip(group, written, strict=True):
            if isinstance(result, Receipt):
                ticket.receipt = result
            else:
                ticket.failure = result
            ticket.done.set()

    def _fill(self, group: list[_Ticket]) -> None:
        while self._waiting and len(group) < MAX_GROUP:
            group.append(self._waiting.popleft())

    def _commit(self, group: list[_Ticket]) -> list[Receipt | Exception]:
        try:
            return self._write(group)
        except StoreUnavailable:
            # Once more: after a restart of the database every pooled connection fails once.
            return self._write(group, again=True)

    def _write(self, group: list[_Ticket], *, again: bool = False) -> list[Receipt | Exception]:
        with self._store.write() as connection:
            if not group:
                self._fill(group)  # only now that it is our turn: the longer we waited, the more come along
            arrivals = [ticket.arrival for ticket in group]
            if not arrivals:  # who waited has given up
                return []
            firsts = self._claim_keys(connection, arrivals)
            there = self._there(connection, arrivals) if again else set()
            self._insert(connection, arrivals, firsts)
            self._counts.arrived(connection, [one for one in arrivals if one.id not in there], firsts)
            if any(arrival.destinations for arrival in arrivals):
                self._store.notify(connection)
        self._store.wake()
        return [
            Receipt(firsts[arrival.id], Status.DUPLICATE)
            if arrival.id in firsts
            else Receipt(arrival.id, arrival.status)
            for arrival in arrivals
        ]

    def _there(self, connection: Connection, arrivals: list[Arrival]) -> set[str]:
        """Give the ids of those that a commit kept whose answer got lost: they are counted already."""
        ids = [arrival.id for arrival in arrivals]
        return set(connection.execute(sa.select(receipts.c.id).where(receipts.c.id.in_(ids))).scalars())

    def _claim_keys(self, connection: Connection, arrivals: list[Arrival]) -> dict[str, str]:
        """Claim each duplicate key for who came first; gives the first one's id by the id of each that came later."""
        by_key: dict[bytes, str] = {}
        for arrival in arrivals:
            if arrival.duplicate_key is not None:
                by_key.setdefault(arrival.duplicate_key, arrival.id)
        if not by_key:
            return {}
        seen_at = {arrival.id: arrival.received_at for arrival in arrivals}
        # In the order of the keys, so that two receivers never wait for each other crosswise.
        rows = [{"key": key, "receipt_id": id_, "seen_at": seen_at[id_]} for key, id_ in sorted(by_key.items())]
        connection.execute(self._claim_key, rows)
        known = sa.select(duplicate_keys.c.key, duplicate_keys.c.receipt_id).where(duplicate_keys.c.key.in_(by_key))
        owners = {bytes(key): owner for key, owner in connection.execute(known)}
        return {
            arrival.id: owners[arrival.duplicate_key]
            for arrival in arrivals
            if arrival.duplicate_key is not None and owners[arrival.duplicate_key] != arrival.id
        }

    def _insert(self, connection: Connection, arrivals: list[Arrival], firsts: dict[str, str]) -> None:
        connection.execute(self._add_receipt, [_receipt_row(one, firsts.get(one.id)) for one in arrivals])
        kept = [one for one in arrivals if one.id not in firsts]
        owed = [delivery_row(one.id, name, at=one.received_at) for one in kept for name in one.destinations]
        if owed:
            connection.execute(self._add_delivery, owed)
        bodies = [_quarantine_row(one.id, one.quarantined) for one in kept if one.quarantined is not None]
        if bodies:
            connection.execute(self._add_quarantine, bodies)


def person_key(store: Store, email: str | None) -> bytes | None:
    """Give the keyed hash under which everything of an e-mail address is found, whatever its letter case."""
    if not email:
        return None
    return hashlib.blake2b(_bytes(email.strip().casefold()), digest_size=16, key=store.salt()).digest()


def _bytes(text: str) -> bytes:
    """A lone surrogate must not stop what is only to be hashed."""
    return text.encode("utf-8", "surrogatepass")


def lead_columns(lead: Lead | None) -> dict[str, Any]:
    """The columns of a receipt that come from its lead."""
    if lead is None:
        return {"lead_source": None, "action_code": None, "offer": None, "lead": None}
    text = json.dumps(lead.as_dict(), ensure_ascii=False, separators=(",", ":"))
    return {"lead_source": lead.lead_source, "action_code": lead.action_code, "offer": lead.offer, "lead": text}


def delivery_row(receipt_id: str, destination: str, *, at: int) -> dict[str, Any]:
    """A delivery that is due now; `at` in milliseconds."""
    return {"receipt_id": receipt_id, "destination": destination, "state": "due", "due_at": at, "updated_at": at}


def _receipt_row(arrival: Arrival, first: str | None) -> dict[str, Any]:
    duplicate = first is not None
    return {
        "id": arrival.id,
        "received_at": arrival.received_at,
        "source": arrival.source,
        "status": Status.DUPLICATE if duplicate else arrival.status,
        "test": arrival.test,
        "email_domain": arrival.email_domain,
        "duplicate_of": first,
        "person": None if duplicate else arrival.person,
        **lead_columns(arrival.lead),
        **({"lead": None} if duplicate else {}),
    }


def _quarantine_row(receipt_id: str, kept: Quarantined) -> dict[str, Any]:
    return {
        "id": receipt_id,
        "content_type": kept.content_type,
        "body": kept.body,
        "length": kept.length,
        "error": json.dumps(kept.error),
    }
