"""What people change: replay, discard, repair, release; and erase, purge. Each leaves an audit entry with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.auditing import Who, audited, record
from app.store.desk import checks
from app.store.erasing import Erasing
from app.store.purging import Purging
from app.store.sorting import body_columns, delivery_row, lead_columns
from app.store.tables import (
    WAITING,
    State,
    Status,
    deliveries,
    lanes,
    quarantine,
    receipts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.arrival import Arrival, Quarantined

__all__ = ["CHUNK", "Acts", "Selection", "Who"]
CHUNK = 500  # rows a transaction in what may touch very many: senders must not wait behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which deliveries: of these leads, this destination, with this code, of leads received since (ms)."""

    ids: tuple[str, ...] = ()
    destination: str | None = None
    code: str | None = None
    since: int | None = None
    states: tuple[str, ...] = ()


class Acts(Erasing, Purging):
    """Everything that people change."""

    def record(self, action: str, target: str, *, now: int, who: Who) -> None:
        """Leave an audit row of what changes nothing but must not go unseen, such as looking at a person."""
        record(self._store, action, target, now=now, who=who)

    def keep_check(self, destination: str, *, code: str | None, detail: str, now: int, who: Who) -> None:
        """Keep the result of a check as the destination's latest; `code` None: all was well."""
        row = {"at": now, "code": code, "detail": detail, "actor": who.actor}
        keep = self._store.insert(checks).values(destination=destination, **row)
        with audited(self._store) as (connection, note):
            connection.execute(keep.on_conflict_do_update(index_elements=["destination"], set_=row))
            note("check", f"{destination} {code or 'ok'}", now=now, who=who)

    def find(self, selection: Selection) -> list[tuple[str, str, str]]:
        """Give lead, destination and state of every delivery selected."""
        query = sa.select(deliveries.c.receipt_id, deliveries.c.destination, deliveries.c.state).join(receipts)
        # Of an erased lead nothing is left that could be delivered.
        query = query.where(deliveries.c.state.in_(selection.states), receipts.c.status != Status.ERASED)
        if selection.ids:
            query = query.where(deliveries.c.receipt_id.in_(selection.ids))
        if selection.destination is not None:
            query = query.where(deliveries.c.destination == selection.destination)
        if selection.code is not None:
            query = query.where(deliveries.c.code == selection.code)
        if selection.since is not None:
            query = query.where(receipts.c.received_at >= selection.since)
        query = query.order_by(deliveries.c.receipt_id, deliveries.c.destination)
        with self._store.read() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def replay(self, found: Sequence[tuple[str, str, str]], *, now: int, who: Who) -> int:
        """Make deliveries due now with fresh patience and have their parked destinations probed; gives how many."""
        fresh = {"state": State.DUE, "due_at": now, "tries": 0, "updated_at": now}
        changed = self._change(found, fresh, "replay", now=now, who=who)
        self.try_now({destination for _, destination, _ in found}, now=now)
        return changed

    def discard(self, found: Sequence[tuple[str, str, str]], *, now: int, who: Who) -> int:
        """Give up deliveries because a person said so; gives how many."""
        return self._change(found, {"state": State.DISCARDED, "updated_at": now}, "discard", now=now, who=who)

    def _change(
        self, found: Sequence[tuple[str, str, str]], values: dict[str, Any], action: str, *, now: int, who: Who
    ) -> int:
        key = sa.tuple_(deliveries.c.receipt_id, deliveries.c.destination)
        changed = 0
        for start in range(0, len(found), CHUNK):
            with audited(self._store) as (connection, note):
                still = _unmoved(connection, found[start : start + CHUNK])
                if not still:
                    continue
                connection.execute(deliveries.update().where(key.in_(still)).values(**values))
                note(action, *(f"{id_} {destination}" for id_, destination in still), now=now, who=who)
                self._store.notify(connection)
            self._store.wake()
            changed += len(still)
        return changed

    def add_delivery(self, receipt_id: str, destination: str, *, now: int, who: Who) -> bool:
        """Owe a lead to a destination that it was not routed to; tells whether that was new."""
        row = self._store.insert(deliveries).values(delivery_row(receipt_id, destination, at=now))
        # Asked for the row itself: of inserts SQLAlchemy has no row count on PostgreSQL.
        row = row.on_conflict_do_nothing().returning(deliveries.c.receipt_id)
        with audited(self._store) as (connection, note):
            added = connection.execute(row).first() is not None
            if added:
                note("replay", f"{receipt_id} {destination}", now=now, who=who)
                self._store.notify(connection)
        self._store.wake()
        return added

    def try_now(self, destinations: set[str], *, now: int) -> None:
        """Have destinations tried at once: probed where they are parked, else with what waits for its next try."""
        parked = sa.and_(lanes.c.destination.in_(destinations), lanes.c.parked)
        # Only what has failed before: what a destination put off itself, for a digest, comes when it said.
        later = sa.and_(
            deliveries.c.destination.in_(destinations),
            WAITING,
            deliveries.c.state == State.DUE,
            deliveries.c.due_at > now,
            deliveries.c.tries > 0,
        )
        with self._store.write() as connection:
            connection.execute(lanes.update().where(parked).values(next_probe_at=now))
            connection.execute(deliveries.update().where(later).values(due_at=now))
            self._store.notify(connection)
        self._store.wake()

    def repair(self, id_: str, kept: Quarantined, *, now: int, who: Who) -> bool:
        """Put another body in place of a quarantined one; tells whether it was there."""
        row = {**body_columns(self._store, id_, kept.body), "length": kept.length, "error": json.dumps(kept.error)}
        with audited(self._store) as (connection, note):
            changed = connection.execute(
                quarantine.update().where(quarantine.c.id == id_).values(content_type=kept.content_type, **row)
            ).rowcount
            if changed:
                note("repair", id_, now=now, who=who)
        return changed > 0

    def release(self, id_: str, arrival: Arrival, *, now: int, who: Who) -> bool:
        """Turn a quarantined body into the lead it holds, under the id its sender was told; tells if it was there."""
        values = {
            "status": arrival.status,
            "test": arrival.test,
            "email_domain": arrival.email_domain,
            "person": arrival.person,
            **lead_columns(self._store, id_, arrival.lead),
        }
        waiting = sa.and_(receipts.c.id == id_, receipts.c.status == Status.QUARANTINED)
        owed = [delivery_row(id_, name, at=now) for name in arrival.destinations]
        with audited(self._store) as (connection, note):
            if not connection.execute(receipts.update().where(waiting).values(**values)).rowcount:
                return False
            connection.execute(quarantine.delete().where(quarantine.c.id == id_))
            if owed:
                connection.execute(deliveries.insert(), owed)
                self._store.notify(connection)
            note("release", id_, now=now, who=who)
        self._store.wake()
        return True

    def discard_quarantined(self, ids: Sequence[str], *, now: int, who: Who) -> int:
        """Give up quarantined bodies; gives how many."""
        waiting = sa.and_(receipts.c.id.in_(ids), receipts.c.status == Status.QUARANTINED)
        change = receipts.update().where(waiting).values(status=Status.DISCARDED).returning(receipts.c.id)
        with audited(self._store) as (connection, note):
            changed = connection.execute(change).scalars().all()
            connection.execute(quarantine.delete().where(quarantine.c.id.in_(changed)))
            note("discard", *changed, now=now, who=who)
        return len(changed)


def _unmoved(connection: Connection, found: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Lock and give those that stand as they did when they were looked at: what has moved on since is left alone."""
    seen = sa.tuple_(deliveries.c.receipt_id, deliveries.c.destination, deliveries.c.state)
    query = (
        sa.select(deliveries.c.receipt_id, deliveries.c.destination)
        .join(receipts)
        .where(seen.in_(found), receipts.c.status != Status.ERASED)
        .order_by(deliveries.c.receipt_id, deliveries.c.destination)
        .with_for_update(of=deliveries)
    )
    return [(row.receipt_id, row.destination) for row in connection.execute(query)]
