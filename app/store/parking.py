"""A destination's lane: whether it flows, when to look again, and the probes of one that is parked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.retry import PROBE_WAITS, Verdict, probe_wait
from app.store.problems import Evidence, ProblemLog
from app.store.tables import WAITING, State, deliveries, lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.claims import Result
    from app.store.engine import Store

LONGEST_PROBE_MS = round(max(PROBE_WAITS).total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class LaneState:
    """How a destination's lane stands. `next_at` (ms): the next probe where parked, else the next due delivery."""

    parked: bool
    probes: int
    next_at: int | None


class Parking:
    """How lanes stand."""

    def __init__(self, store: Store, *, horizon_ms: int) -> None:
        """Take the longest honest wait."""
        self._store = store
        self._horizon = horizon_ms
        self._problems = ProblemLog(store)

    def lane(self, destination: str, *, now: int) -> LaneState:
        """Look how a lane stands, without a lock."""
        name = {"b_name": destination}
        with self._store.read() as connection:
            row = connection.execute(_LANE, name).first()
            if row is not None and row.parked:
                far = row.next_probe_at > now + LONGEST_PROBE_MS  # set while the clock was wrong
                return LaneState(parked=True, probes=row.probes, next_at=now if far else row.next_probe_at)
            first = connection.execute(_FIRST_DUE, name).scalar()
            last = connection.execute(_LAST_DUE, name).scalar()
        probes = row.probes if row is not None else 0
        # A time beyond the horizon was written while the clock was wrong: that one is due at once.
        return LaneState(parked=False, probes=probes, next_at=0 if last and last > now + self._horizon else first)

    def _move_lane(self, connection: Connection, destination: str, results: Sequence[Result], now: int) -> None:
        held = next((result for result in results if result.verdict is Verdict.HOLD), None)
        if held is not None:
            self._park(connection, destination, code=held.code or "uncatalogued", now=now)
        elif any(result.state == State.SENT for result in results):
            in_trouble = lanes.c.destination == destination, lanes.c.parked.is_(False)
            connection.execute(lanes.delete().where(*in_trouble))

    def _park(self, connection: Connection, destination: str, *, code: str, now: int) -> None:
        row = connection.execute(sa.select(lanes).where(lanes.c.destination == destination)).first()
        probes = row.probes if row is not None else 0
        values = {
            "parked": True,
            "since": row.since if row is not None and row.since is not None else now,
            "code": code,
            "probes": probes,
            "next_probe_at": now + round(probe_wait(probes).total_seconds() * 1000),
        }
        park = self._store.insert(lanes).values(destination=destination, **values)
        connection.execute(park.on_conflict_do_update(index_elements=["destination"], set_=values))

    def take_probe(self, destination: str, *, now: int) -> bool:
        """Claim the right to probe a parked destination now; one worker gets it."""
        time_for_it = sa.or_(lanes.c.next_probe_at <= now, lanes.c.next_probe_at > now + LONGEST_PROBE_MS)
        with self._store.write() as connection:
            row = connection.execute(
                sa.select(lanes.c.probes)
                .where(lanes.c.destination == destination, lanes.c.parked, time_for_it)
                .with_for_update()
            ).first()
            if row is None:
                return False
            probes = row.probes + 1
            later = now + round(probe_wait(probes).total_seconds() * 1000)
            change = lanes.update().where(lanes.c.destination == destination)
            connection.execute(change.values(probes=probes, next_probe_at=later))
            return True

    def record_probe(
        self,
        destination: str,
        *,
        code: str | None,
        now: int,
        status: int | None = None,
        raw_code: str | None = None,
        evidence: str | None = None,
    ) -> None:
        """Unpark after a green probe (`code` None), else note what the probe ran into."""
        change = lanes.update().where(lanes.c.destination == destination)
        with self._store.write() as connection:
            connection.execute(change.values(parked=False) if code is None else change.values(code=code))
            if code is not None:
                found = Evidence(code=code, status=status, raw_code=raw_code, text=evidence)
                self._problems.noted(connection, destination, found, now=now)


# Built once: making a statement costs more than a small one takes to run.
_NAME: sa.BindParameter[str] = sa.bindparam("b_name")
_LANE = sa.select(lanes).where(lanes.c.destination == _NAME)
_FIRST_DUE = sa.select(sa.func.min(deliveries.c.due_at)).where(deliveries.c.destination == _NAME, WAITING)
_LAST_DUE = sa.select(sa.func.max(deliveries.c.due_at)).where(deliveries.c.destination == _NAME, WAITING)
