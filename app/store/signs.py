"""Signs of life: when something last came in, when a worker last spoke, what has waited for how long.

Only reads; but since when somebody looks at all is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store.desk import HOUR_MS, arrivals
from app.store.tables import WAITING, audit, deliveries, inbox, meta, receipts, workers

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.engine import Store

FIRST_LOOK = "first-look"
AGAIN = ("replay", "release")  # acts after which a lead waits afresh


@dataclass(frozen=True, slots=True, kw_only=True)
class Oldest:
    """The lead that has waited longest for a destination; `put_off`: it is being sent, or was to come again later."""

    destination: str
    lead: str
    since: int
    waiting: int
    put_off: bool


class Signs:
    """Reads them."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def first_look(self, *, now: int) -> int:
        """Say since when this store is watched (ms); the first call says now."""
        with self._store.read() as connection:
            found = connection.execute(sa.select(meta.c.value).where(meta.c.name == FIRST_LOOK)).scalar()
        if found is None:
            with self._store.write() as connection:
                row = self._store.insert(meta).values(name=FIRST_LOOK, value=str(now).encode())
                connection.execute(row.on_conflict_do_nothing())
            return now
        return int(bytes(found))

    def last_arrival(self) -> int | None:
        """When a body last came in with a right key (ms); what was purged since counts by its hour."""
        with self._store.read() as connection:
            kept = connection.execute(sa.select(sa.func.max(receipts.c.received_at))).scalar()
            hour = connection.execute(sa.select(sa.func.max(arrivals.c.hour))).scalar()
        counted = None if hour is None else hour * HOUR_MS
        return max((moment for moment in (kept, counted) if moment is not None), default=None)

    def worker_seen(self) -> int | None:
        """When a worker last gave a sign of life (ms)."""
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.max(workers.c.seen_at))).scalar()

    def unsorted(self) -> tuple[int, str | None]:
        """Give how much was answered and is not sorted in, and the id of the oldest of it."""
        with self._store.read() as connection:
            number, first = connection.execute(sa.select(sa.func.count(), sa.func.min(inbox.c.id))).one()
        return int(number), first

    def oldest(self, *, overdue: int) -> list[Oldest]:
        """Give the longest waiting leads of each destination: of those due since `overdue` (ms), and of all."""
        late = deliveries.c.due_at <= overdue
        query = (
            sa.select(
                deliveries.c.destination,
                # Ids sort by time: the first is the oldest.
                sa.func.min(sa.case((late, deliveries.c.receipt_id))).label("late"),
                sa.func.min(deliveries.c.receipt_id).label("first"),
                sa.func.count().label("waiting"),
            )
            .where(WAITING)
            .group_by(deliveries.c.destination)
        )
        with self._store.read() as connection:
            return [
                Oldest(
                    destination=row.destination,
                    lead=lead,
                    since=_since(connection, lead, row.destination),
                    waiting=row.waiting,
                    put_off=lead != row.late,
                )
                for row in connection.execute(query).all()
                for lead in dict.fromkeys(one for one in (row.late, row.first) if one is not None)
            ]


def moment_of(id_: str) -> int:
    """Give the time (ms) that stands in a receipt's id, a UUID of version 7."""
    return int(id_[:8] + id_[9:13], 16)


def _since(connection: Connection, lead: str, destination: str) -> int:
    """When a lead began to wait: as it came, or when a person last had it delivered again."""
    received = connection.execute(sa.select(receipts.c.received_at).where(receipts.c.id == lead)).scalar_one()
    again = sa.select(sa.func.max(audit.c.at)).where(
        audit.c.target.in_([lead, f"{lead} {destination}"]), audit.c.action.in_(AGAIN)
    )
    return max(int(received), connection.execute(again).scalar() or 0)
