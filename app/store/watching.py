"""Who watches, and what the watch decides about problems.

A decision and the alerts it makes are one transaction, which begins by locking the lease: whoever decides sees what
was decided before, on whichever host.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import uuid_utils

from app.store.alerts import RECOVERED, queue
from app.store.desk import alerts, problems
from app.store.problems import OPEN
from app.store.tables import meta

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy.engine import Connection, Row

    from app.store.alerts import Queued
    from app.store.engine import Store

LEASE = "watch"
LEASE_MS = 60_000
REMEMBERED_MS = 30 * 86_400_000  # an end that nobody could be told of for so long is told no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A problem that has no row yet. Times in milliseconds."""

    destination: str
    code: str
    since: int
    evidence: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the remediation log holds: open rows, closed ones that may still matter, and whose end was told."""

    open: dict[tuple[str, str], Row[Any]]
    closed: Sequence[Row[Any]]
    over_told: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of the problem row `id`; None leaves a thing as it is.

    `merged` is an open row that ends in this one; `closed_if` closes it unless something failed after that moment;
    `tell` is an alert's kind and what it says, for each of `channels`.
    """

    id: str
    merged: str | None = None
    closed_if: int | None = None
    most_waiting: int | None = None
    alerted: int | None = None
    tell: tuple[str, dict[str, Any]] | None = None
    channels: Sequence[str] = ()


class WatchBook:
    """The lease, and the remediation log as the watch reads and changes it."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def hold(self, holder: str, *, now: int) -> bool:
        """Take or keep the watch; tells whether `holder` has it. Writes only when half of the lease is over."""
        with self._store.read() as connection:
            whose, until = _lease(connection)
        if whose == holder and now + LEASE_MS // 2 < until <= now + LEASE_MS:
            return True
        if whose != holder and now < until <= now + LEASE_MS:
            return False
        with self._store.write() as connection:
            return self._locked(connection, holder, now)

    def let_go(self, holder: str) -> None:
        """Give up the watch, if `holder` has it."""
        with self._store.write() as connection:
            if _lease(connection, lock=True)[0] == holder:
                connection.execute(meta.update().where(meta.c.name == LEASE).values(value=b"{}"))

    def _locked(self, connection: Connection, holder: str, now: int) -> bool:
        """Lock the lease for this transaction and take it, unless another holds it."""
        first = self._store.insert(meta).values(name=LEASE, value=b"{}")
        connection.execute(first.on_conflict_do_nothing())
        whose, until = _lease(connection, lock=True)
        if whose != holder and now < until <= now + LEASE_MS:
            return False
        value = json.dumps({"holder": holder, "until": now + LEASE_MS}).encode()
        connection.execute(meta.update().where(meta.c.name == LEASE).values(value=value))
        return True

    def known(self, *, closed_since: int, now: int) -> Known:
        """Read what stands in the remediation log; `closed_since`: from when on ended problems matter (ms)."""
        with self._store.read() as connection:
            return _known(connection, closed_since, now)

    def decide(
        self,
        holder: str,
        starts: Sequence[Start],
        plan: Callable[[Known], Sequence[Change]],
        *,
        closed_since: int,
        now: int,
    ) -> list[Queued]:
        """Open what begins, then do what `plan` says of the rows as they stand, all or nothing; gives the alerts made.

        Nothing is done where another holds the watch.
        """
        with self._store.write() as connection:
            if not self._locked(connection, holder, now):
                return []
            for start in starts:
                self._open(connection, start, now)
            changes = plan(_known(connection, closed_since, now))
            return [one for change in changes for one in _applied(connection, change, now)]

    def _open(self, connection: Connection, start: Start, now: int) -> None:
        row = {"destination": start.destination, "code": start.code, "evidence": start.evidence}
        new = self._store.insert(problems).values(id=str(uuid_utils.uuid7()), opened_at=start.since, last_at=now, **row)
        # A lane may have noted it in this moment: then its row is the one.
        connection.execute(new.on_conflict_do_nothing())


def _lease(connection: Connection, *, lock: bool = False) -> tuple[str | None, int]:
    query = sa.select(meta.c.value).where(meta.c.name == LEASE)
    found = connection.execute(query.with_for_update() if lock else query).scalar()
    held = json.loads(bytes(found)) if found else {}
    return held.get("holder"), held.get("until", 0)


def _known(connection: Connection, closed_since: int, now: int) -> Known:
    started = connection.execute(sa.select(problems).where(OPEN)).all()
    told = sa.and_(problems.c.alerted > 0, problems.c.closed_at >= now - REMEMBERED_MS)
    ended = connection.execute(
        sa.select(problems).where(sa.or_(problems.c.closed_at >= closed_since, told)).order_by(problems.c.closed_at)
    ).all()
    ids = [row.id for row in (*started, *ended)]
    over = sa.select(alerts.c.problem_id).where(alerts.c.problem_id.in_(ids), alerts.c.kind == RECOVERED)
    return Known(
        open={(row.destination, row.code): row for row in started},
        closed=ended,
        over_told=set(connection.execute(over).scalars()),
    )


def _applied(connection: Connection, change: Change, now: int) -> list[Queued]:
    values: dict[str, Any] = {}
    mine = [problems.c.id == change.id]
    if change.merged is not None:
        values |= _taken_over(connection, change.merged)
    if change.closed_if is not None:
        mine += [OPEN, problems.c.last_at == change.closed_if]
        values["closed_at"] = now
    for name in ("most_waiting", "alerted"):
        if getattr(change, name) is not None:
            values[name] = getattr(change, name)
    if connection.execute(problems.update().where(*mine).values(**values)).rowcount == 0 or change.tell is None:
        return []  # what failed meanwhile is not over
    kind, said = change.tell
    return queue(connection, change.id, kind, said, change.channels, now)


def _taken_over(connection: Connection, id_: str) -> dict[str, Any]:
    """End an open row in favour of an earlier one of the same cause: what it had come to know, for that one."""
    row = connection.execute(sa.select(problems).where(problems.c.id == id_).with_for_update()).one()
    connection.execute(problems.delete().where(problems.c.id == id_))
    names = ["last_at", "status", "raw_code", "evidence"]
    names += ["acknowledged_at", "acknowledged_by", "note"] if row.acknowledged_at is not None else []
    return {"closed_at": None, **{name: getattr(row, name) for name in names}}
