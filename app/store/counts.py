"""What is counted as it happens, so that nobody has to count a million rows: arrivals by hour, deliveries by lane."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.desk import HOUR_MS, arrivals, throughput
from app.store.tables import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection, Row

    from app.store.arrival import SealedArrival
    from app.store.engine import Store

SHARDS = 8  # processes that sort in at the same time seldom meet in one row


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls used of what a system allows, such as 120 of 15,000 "API calls in 24 hours"."""

    used: int
    allowed: int
    of: str


class Counts:
    """The counters."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._shard = os.getpid() % SHARDS
        arrived = store.insert(arrivals)
        self._arrived = arrived.on_conflict_do_update(
            index_elements=[*arrivals.primary_key.columns],
            set_={"number": arrivals.c.number + arrived.excluded.number},
        )
        went = store.insert(throughput)
        new = went.excluded
        self._sent = went.on_conflict_do_update(
            index_elements=["destination"],
            set_={
                "sent": throughput.c.sent + new.sent,
                "last_sent_at": sa.func.coalesce(new.last_sent_at, throughput.c.last_sent_at),
                **{
                    name: sa.func.coalesce(new[name], throughput.c[name])
                    for name in ("calls_used", "calls_allowed", "calls_of", "calls_at")
                },
            },
        )

    def arrived(self, connection: Connection, came: Iterable[tuple[SealedArrival, str | None]]) -> None:
        """Count what came in as it is sorted in; beside each stands the id of the first one, if it is a duplicate."""
        kinds = Counter(
            (one.received_at // HOUR_MS, one.source, Status.DUPLICATE if first else one.status, one.test)
            for one, first in came
        )
        rows = [
            {"hour": hour, "source": source, "status": status, "test": test, "shard": self._shard, "number": number}
            for (hour, source, status, test), number in sorted(kinds.items())
        ]
        if rows:
            connection.execute(self._arrived, rows)

    def sent(self, connection: Connection, destination: str, *, number: int, usage: Usage | None, now: int) -> None:
        """Count deliveries that arrived, and keep what the system said of its limits."""
        row = {
            "destination": destination,
            "sent": number,
            "last_sent_at": now if number else None,
            "calls_used": usage.used if usage else None,
            "calls_allowed": usage.allowed if usage else None,
            "calls_of": usage.of if usage else None,
            "calls_at": now if usage else None,
        }
        connection.execute(self._sent, row)

    def since(self, moments: Sequence[int]) -> list[Row[Any]]:
        """Give (period, status, test, number); period 0 is from the first moment (ms) to the second, and so on.

        An hour belongs to the period in which it begins.
        """
        first, *later = (-(-moment // HOUR_MS) for moment in moments)
        # Sorted into periods by the database: of what is read here there is a row a period, not one an hour.
        period = sum((sa.cast(arrivals.c.hour >= hour, sa.Integer) for hour in later), sa.literal(0))
        kinds = period.label("period"), arrivals.c.status, arrivals.c.test
        query = (
            sa.select(*kinds, sa.func.sum(arrivals.c.number).label("number"))
            .where(arrivals.c.hour >= first)
            .group_by(*kinds)
        )
        with self._store.read() as connection:
            return list(connection.execute(query))

    def lanes(self) -> dict[str, Row[Any]]:
        """Give each destination's row of `throughput`."""
        with self._store.read() as connection:
            return {row.destination: row for row in connection.execute(sa.select(throughput))}
