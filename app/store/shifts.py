"""Workers come and go: what one held whose process is gone is due again at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store.tables import WAITING, State, deliveries, lanes, workers

if TYPE_CHECKING:
    from app.store.engine import Store

CHUNK = 100  # deliveries a transaction


class Shift:
    """The time that one worker works."""

    def __init__(self, store: Store, *, worker: str) -> None:
        """Take the worker's name."""
        self._store = store
        self._worker = worker

    def start(self, *, now: int) -> int:
        """Begin a worker's life: leads that dead workers held are due again, parked lanes are probed at once.

        Gives how many deliveries were freed.
        """
        # Our name's lock says that nobody else is alive under it, so no lease needs to run out.
        freed = self._free(self._worker, now)
        with self._store.write() as connection:
            connection.execute(lanes.update().where(lanes.c.parked).values(next_probe_at=now))
            started = self._store.insert(workers).values(name=self._worker, started_at=now, seen_at=now)
            again = {"started_at": now, "seen_at": now}
            connection.execute(started.on_conflict_do_update(index_elements=["name"], set_=again))
        return freed + self.free_the_dead(now=now)

    def free_the_dead(self, *, now: int) -> int:
        """Make due again what workers held whose process is gone; gives how many deliveries."""
        silent = sa.and_(workers.c.name != self._worker, workers.c.seen_at <= now - self._store.silent_ms)
        with self._store.read() as connection:
            others = connection.execute(sa.select(workers.c.name).where(silent)).scalars().all()
        freed = 0
        for name in filter(self._store.is_name_free, others):
            freed += self._free(name, now)
            with self._store.write() as connection:
                connection.execute(workers.delete().where(workers.c.name == name))
        return freed

    def _free(self, name: str, now: int) -> int:
        held = sa.and_(WAITING, deliveries.c.state == State.SENDING, deliveries.c.worker == name)
        key = sa.tuple_(*deliveries.primary_key.columns)
        # Found before they are changed: reading all that waits would keep senders waiting.
        with self._store.read() as connection:
            found = [tuple(row) for row in connection.execute(sa.select(*deliveries.primary_key.columns).where(held))]
        freed = 0
        for start in range(0, len(found), CHUNK):
            mine = sa.and_(held, key.in_(found[start : start + CHUNK]))
            with self._store.write() as connection:
                change = deliveries.update().where(mine).values(state=State.DUE, due_at=now)
                freed += connection.execute(change).rowcount
        return freed

    def beat(self, *, now: int) -> None:
        """Say that this worker is alive."""
        alive = self._store.insert(workers).values(name=self._worker, started_at=now, seen_at=now)
        # Inserted again if missing: while a database restarts, somebody may have taken us for dead.
        alive = alive.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now})
        self._store.renew_names()
        with self._store.write() as connection:
            connection.execute(alive)
