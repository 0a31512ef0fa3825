"""What is wrong right now: one row a destination and cause, read from lanes and deliveries as they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from app.store.desk import problems
from app.store.tables import DEAD, WAITING, deliveries, lanes, receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from app.store.engine import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One destination in trouble for one reason. Times in milliseconds."""

    destination: str
    code: str
    since: int
    waiting: int
    dead: int
    next_try: int | None
    parked: bool


class Waiting(NamedTuple):
    """How much waits for a destination, and since when the oldest does (ms)."""

    number: int
    since: int


class Causes:
    """Looks for trouble; only reads."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def now(self) -> list[Cause]:
        """Give every destination in trouble, one row a reason, the longest lasting first."""
        with self._store.read() as connection:
            parked = list(self._parked(connection))
            names = [cause.destination for cause in parked]
            retrying = list(self._retrying(connection, names))
            dead = list(self._dead(connection))
        merged: dict[tuple[str, str], Cause] = {}
        for cause in (*parked, *retrying, *dead):
            key = (cause.destination, cause.code)
            merged[key] = _together(merged[key], cause) if key in merged else cause
        return sorted(merged.values(), key=lambda cause: cause.since)

    def _parked(self, connection: Connection) -> Iterator[Cause]:
        for lane in connection.execute(sa.select(lanes).where(lanes.c.parked)):
            count = sa.select(sa.func.count()).where(deliveries.c.destination == lane.destination, WAITING)
            yield Cause(
                destination=lane.destination,
                code=lane.code,
                since=lane.since,
                waiting=connection.execute(count).scalar_one(),
                dead=0,
                next_try=lane.next_probe_at,
                parked=True,
            )

    def _retrying(self, connection: Connection, parked: list[str]) -> Iterator[Cause]:
        query = (
            sa.select(deliveries.c.destination, deliveries.c.code, sa.func.count(), sa.func.min(deliveries.c.due_at))
            .where(WAITING, deliveries.c.code.is_not(None), deliveries.c.destination.not_in(parked))
            .group_by(deliveries.c.destination, deliveries.c.code)
        )
        for destination, code, waiting, next_try in connection.execute(query).all():
            yield Cause(
                destination=destination,
                code=code,
                since=self._since(connection, destination, code),
                waiting=waiting,
                dead=0,
                next_try=next_try,
                parked=False,
            )

    def _since(self, connection: Connection, destination: str, code: str) -> int:
        """When it began, as the remediation log has it; what failed before there was one says it by itself."""
        mine = problems.c.destination == destination, problems.c.code == code, problems.c.closed_at.is_(None)
        opened = connection.execute(sa.select(problems.c.opened_at).where(*mine)).scalar()
        if opened is not None:
            return int(opened)
        failing = deliveries.c.destination == destination, deliveries.c.code == code, WAITING
        return int(connection.execute(sa.select(sa.func.min(deliveries.c.updated_at)).where(*failing)).scalar_one())

    def _dead(self, connection: Connection) -> Iterator[Cause]:
        query = (
            sa.select(
                deliveries.c.destination, deliveries.c.code, sa.func.min(deliveries.c.updated_at), sa.func.count()
            )
            .where(DEAD)
            .group_by(deliveries.c.destination, deliveries.c.code)
        )
        for destination, code, since, dead in connection.execute(query):
            yield Cause(
                destination=destination, code=code, since=since, waiting=0, dead=dead, next_try=None, parked=False
            )

    def standing(self) -> dict[tuple[str, str], bool]:
        """Tell by destination and code what `now` gives a row for, and whether it is parked; counts nothing."""
        with self._store.read() as connection:
            parked = connection.execute(sa.select(lanes.c.destination, lanes.c.code).where(lanes.c.parked)).all()
            names = {lane.destination for lane in parked}
            retrying = [one for one in _kinds(connection, WAITING) if one[0] not in names]
            dead = _kinds(connection, DEAD)
        return dict.fromkeys([*dead, *retrying], False) | {(lane.destination, lane.code): True for lane in parked}

    def owed(self) -> list[str]:
        """Name every destination that something waits for."""
        with self._store.read() as connection:
            return _steps(connection, deliveries.c.destination, WAITING)

    def waiting(self) -> dict[str, Waiting]:
        """Count what waits for each destination, and since when the oldest does."""
        # Ids sort by time, so the first of them is the oldest; its row alone is read.
        oldest = (
            sa.select(
                deliveries.c.destination,
                sa.func.count().label("number"),
                sa.func.min(deliveries.c.receipt_id).label("first"),
            )
            .where(WAITING)
            .group_by(deliveries.c.destination)
            .subquery()
        )
        query = sa.select(oldest.c.destination, oldest.c.number, receipts.c.received_at)
        query = query.join_from(oldest, receipts, receipts.c.id == oldest.c.first)
        with self._store.read() as connection:
            return {row.destination: Waiting(row.number, row.received_at) for row in connection.execute(query)}


def _kinds(connection: Connection, where: sa.ColumnElement[bool]) -> list[tuple[str, str]]:
    """Give destinations with their codes, from an index that begins with these two."""
    coded = sa.and_(where, deliveries.c.code.is_not(None))
    name, code = deliveries.c.destination, deliveries.c.code
    names = _steps(connection, name, coded)
    return [(one, other) for one in names for other in _steps(connection, code, sa.and_(coded, name == one))]


def _steps(connection: Connection, column: sa.Column[Any], where: sa.ColumnElement[bool]) -> list[str]:
    """Give what stands in a column, from one to the next in the index: a look for each, and not for each row."""
    first = sa.select(column).where(where).order_by(column).limit(1)
    after = first.where(column > sa.bindparam("b_last", type_=column.type))
    found, row = [], connection.execute(first).first()
    while row is not None:
        found.append(str(row[0]))
        row = connection.execute(after, {"b_last": row[0]}).first()
    return found


def _together(one: Cause, other: Cause) -> Cause:
    tries = [moment for moment in (one.next_try, other.next_try) if moment is not None]
    return replace(
        one,
        since=min(one.since, other.since),
        waiting=one.waiting + other.waiting,
        dead=one.dead + other.dead,
        next_try=min(tries) if tries else None,
        parked=one.parked or other.parked,
    )
