"""Figures for machines, which ask every few seconds: what they were once, and what has been counted since.

Counting a million leads takes a second. It is done once a process, and again after a person changed something: every
such act leaves an audit row. In between only arrivals, successes and recent failures are added, which is exact.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa

from app.store.causes import Causes
from app.store.desk import arrivals, throughput
from app.store.tables import DEAD, DISCARDED, WAITING, State, attempts, audit, deliveries, lanes, receipts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store

_Key = TypeVar("_Key")
RECENT_MS = 300_000  # an attempt is written down within two minutes of its time, and hosts' clocks differ


class Leads(NamedTuple):
    """How many bodies of a kind there are."""

    source: str
    status: str
    test: bool
    number: int


class Deliveries(NamedTuple):
    """How many deliveries of a destination are in a state."""

    destination: str
    state: str
    number: int


class Failures(NamedTuple):
    """How many attempts of a destination failed for one reason."""

    destination: str
    code: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """How a destination stands."""

    parked: bool
    oldest_waiting_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts for machines."""

    leads: Sequence[Leads]
    deliveries: Sequence[Deliveries]
    failures: Sequence[Failures]
    lanes: dict[str, LaneFigures]


@dataclass(slots=True, kw_only=True)
class _Base:
    """What was counted once: leads and sent less what the counters said then, failures before `until` (ms)."""

    acts: int
    leads: Counter[tuple[str, str, bool]]
    sent: Counter[str]
    failures: Counter[tuple[str, str]]
    until: int


class FigureBook:
    """Counts; only reads."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._causes = Causes(store)
        self._lock = threading.Lock()
        self._base: _Base | None = None

    def now(self, *, names: Sequence[str], now: int) -> Figures:
        """Give the figures as they are now (ms)."""
        with self._lock, self._store.read() as connection:
            base = self._brought_forward(connection, now)
            leads = base.leads + _arrived(connection)
            sent = base.sent + _sent(connection)
            failures = base.failures + _failed(connection, attempts.c.at >= base.until)
            parked = set(connection.execute(sa.select(lanes.c.destination).where(lanes.c.parked)).scalars())
            states = _unsent(connection, parked) + Counter({(name, "sent"): one for name, one in sent.items()})
        return Figures(
            leads=[Leads(*kind, number) for kind, number in sorted(leads.items())],
            deliveries=[Deliveries(name, state, number) for (name, state), number in sorted(states.items())],
            failures=[Failures(name, code, number) for (name, code), number in sorted(failures.items())],
            lanes=self._standing(names, parked, now),
        )

    def _standing(self, names: Sequence[str], parked: set[str], now: int) -> dict[str, LaneFigures]:
        oldest = {name: one.since for name, one in self._causes.waiting().items()}
        return {
            name: LaneFigures(parked=name in parked, oldest_waiting_seconds=max(0, now - oldest.get(name, now)) / 1000)
            for name in {*names, *oldest}
        }

    def _brought_forward(self, connection: Connection, now: int) -> _Base:
        """Give the base: counted anew after an act, else with the failures that have become old."""
        acts = connection.execute(sa.select(sa.func.max(audit.c.id))).scalar() or 0
        base, until = self._base, now - RECENT_MS
        if base is None or base.acts != acts:
            base = self._base = _counted(connection, acts=acts, until=until)
        elif until > base.until:
            grown = _failed(connection, sa.and_(attempts.c.at >= base.until, attempts.c.at < until))
            base.failures, base.until = base.failures + grown, until
        return base


def _counted(connection: Connection, *, acts: int, until: int) -> _Base:
    """Read everything."""
    kinds = receipts.c.source, receipts.c.status, receipts.c.test
    leads = _grouped(connection, sa.select(*kinds, sa.func.count()).group_by(*kinds))
    name = deliveries.c.destination
    sent = sa.select(name, sa.func.count()).where(deliveries.c.state == State.SENT).group_by(name)
    return _Base(
        acts=acts,
        leads=_less(leads, _arrived(connection)),
        sent=_less(Counter({key: number for (key,), number in _grouped(connection, sent).items()}), _sent(connection)),
        failures=_failed(connection, attempts.c.at < until),
        until=until,
    )


def _arrived(connection: Connection) -> Counter[tuple[str, str, bool]]:
    kinds = arrivals.c.source, arrivals.c.status, arrivals.c.test
    return _grouped(connection, sa.select(*kinds, sa.func.sum(arrivals.c.number)).group_by(*kinds))


def _sent(connection: Connection) -> Counter[str]:
    rows = connection.execute(sa.select(throughput.c.destination, throughput.c.sent))
    return Counter({row.destination: row.sent for row in rows})


def _failed(connection: Connection, when: sa.ColumnElement[bool]) -> Counter[tuple[str, str]]:
    kinds = attempts.c.destination, attempts.c.code
    return _grouped(
        connection, sa.select(*kinds, sa.func.count()).where(attempts.c.code.is_not(None), when).group_by(*kinds)
    )


def _unsent(connection: Connection, parked: set[str]) -> Counter[tuple[str, str]]:
    """Count by state what isn't sent, from the indexes of what waits, is dead or was discarded."""
    kinds = deliveries.c.destination, deliveries.c.state
    found: Counter[tuple[str, str]] = Counter()
    for which in (WAITING, DEAD, DISCARDED):
        query = sa.select(*kinds, sa.func.count()).where(which).group_by(*kinds)
        for (destination, state), number in _grouped(connection, query).items():
            shown = State.HELD if state == State.DUE and destination in parked else state
            found[destination, str(shown)] += number
    return found


def _grouped(connection: Connection, query: sa.Select[Any]) -> Counter[Any]:
    return Counter({tuple(kind): int(number) for *kind, number in connection.execute(query)})


def _less(one: Counter[_Key], other: Counter[_Key]) -> Counter[_Key]:
    """Subtract; what has gone since it was counted comes out below nothing."""
    left = Counter(one)
    left.subtract(other)
    return left
