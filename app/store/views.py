"""What can be seen: leads, problems, quarantine, figures. Only reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.tables import (
    DEAD,
    WAITING,
    State,
    Status,
    attempts,
    deliveries,
    iso,
    lanes,
    quarantine,
    receipts,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection, Row

    from app.store.engine import Store

CHUNK = 1000  # ids a statement

# `held` as people see it: waiting at a destination that is parked.
SHOWN_STATE = sa.case(
    (sa.and_(deliveries.c.state == State.DUE, lanes.c.parked), sa.literal(State.HELD.value)), else_=deliveries.c.state
)
# What a state implies, where that leads into a partial index.
_INDEXED: dict[str, sa.ColumnElement[bool]] = {
    State.DUE: WAITING,
    State.SENDING: WAITING,
    State.HELD: WAITING,
    State.DEAD: DEAD,
}
_WITH_LANE = deliveries.outerjoin(lanes, lanes.c.destination == deliveries.c.destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which leads: by what became of them (a status or a delivery's state), test or not, since when (ms)."""

    state: str | None = None
    test: bool | None = None
    since: int | None = None
    limit: int = 100


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """How a destination stands."""

    parked: bool
    oldest_waiting_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts for machines; rows have source, status, test / destination, state / destination, code, and number."""

    leads: Sequence[Row[Any]]
    deliveries: Sequence[Row[Any]]
    failures: Sequence[Row[Any]]
    lanes: dict[str, LaneFigures]


class Views:
    """Everything that reads for people."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def leads(self, wanted: Filter) -> list[dict[str, Any]]:
        """Give leads, newest first, with the state at each destination; nothing personal."""
        query = sa.select(receipts).order_by(receipts.c.id.desc()).limit(wanted.limit)
        if wanted.test is not None:
            query = query.where(receipts.c.test.is_(wanted.test))
        if wanted.since is not None:
            query = query.where(receipts.c.received_at >= wanted.since)
        if wanted.state is not None:
            query = query.where(sa.or_(sa.false(), *_what_became(wanted.state)))
        with self._store.read() as connection:
            rows = connection.execute(query).all()
            states = self._states(connection, [row.id for row in rows])
        return [
            {**_summary(row), "deliveries": {name: state for name, state, _ in states.get(row.id, [])}} for row in rows
        ]

    def show(self, id_: str) -> dict[str, Any] | None:
        """Give one lead with its deliveries and their attempts, as the contract writes it."""
        with self._store.read() as connection:
            row = connection.execute(sa.select(receipts).where(receipts.c.id == id_)).first()
            if row is None:
                return None
            tried = connection.execute(
                sa.select(attempts).where(attempts.c.receipt_id == id_).order_by(attempts.c.number)
            ).all()
            states = self._states(connection, [id_]).get(id_, [])
        found = [
            {
                "destination": name,
                "state": state,
                "remote_id": remote_id,
                "attempts": [_attempt(one) for one in tried if one.destination == name],
            }
            for name, state, remote_id in states
        ]
        lead = json.loads(row.lead) if row.lead else None
        return {**_summary(row), "lead": lead, "deliveries": found}

    def _states(self, connection: Connection, ids: list[str]) -> dict[str, list[tuple[str, str, str | None]]]:
        query = (
            sa.select(deliveries.c.receipt_id, deliveries.c.destination, SHOWN_STATE, deliveries.c.remote_id)
            .select_from(_WITH_LANE)
            .where(deliveries.c.receipt_id.in_(sa.bindparam("b_ids", expanding=True)))
            .order_by(deliveries.c.destination)
        )
        states: dict[str, list[tuple[str, str, str | None]]] = {}
        for start in range(0, len(ids), CHUNK):  # PostgreSQL takes 65,535 parameters
            for receipt_id, destination, state, remote_id in connection.execute(
                query, {"b_ids": ids[start : start + CHUNK]}
            ):
                states.setdefault(receipt_id, []).append((destination, state, remote_id))
        return states

    def causes(self) -> list[Cause]:
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
            waiting = connection.execute(count).scalar_one()
            yield Cause(
                destination=lane.destination,
                code=lane.code,
                since=lane.since,
                waiting=waiting,
                dead=0,
                next_try=lane.next_probe_at,
                parked=True,
            )

    def _retrying(self, connection: Connection, parked: list[str]) -> Iterator[Cause]:
        failing = sa.and_(WAITING, deliveries.c.code.is_not(None), deliveries.c.destination.not_in(parked))
        first_at = (
            sa.select(sa.func.min(attempts.c.at))
            .where(
                attempts.c.receipt_id == deliveries.c.receipt_id,
                attempts.c.destination == deliveries.c.destination,
                attempts.c.code == deliveries.c.code,
            )
            .scalar_subquery()
        )
        query = (
            sa.select(
                deliveries.c.destination,
                deliveries.c.code,
                sa.func.min(sa.func.coalesce(first_at, deliveries.c.updated_at)),
                sa.func.count(),
                sa.func.min(deliveries.c.due_at),
            )
            .where(failing)
            .group_by(deliveries.c.destination, deliveries.c.code)
        )
        for destination, code, since, waiting, next_try in connection.execute(query):
            yield Cause(
                destination=destination,
                code=code,
                since=since,
                waiting=waiting,
                dead=0,
                next_try=next_try,
                parked=False,
            )

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

    def waiting_by_destination(self) -> dict[str, tuple[int, int]]:
        """Count what waits for each destination, and since when the oldest does (ms)."""
        oldest = sa.func.min(receipts.c.received_at)
        query = (
            sa.select(deliveries.c.destination, sa.func.count(), oldest)
            .join(receipts, receipts.c.id == deliveries.c.receipt_id)
            .where(WAITING)
            .group_by(deliveries.c.destination)
        )
        with self._store.read() as connection:
            return {name: (number, since) for name, number, since in connection.execute(query)}

    def quarantined(self) -> list[dict[str, Any]]:
        """Give what waits in quarantine, oldest first; bodies by `body` only."""
        query = (
            sa.select(receipts.c.received_at, receipts.c.source, quarantine)
            .join(quarantine, quarantine.c.id == receipts.c.id)
            .where(receipts.c.status == Status.QUARANTINED)
            .order_by(receipts.c.id)
        )
        with self._store.read() as connection:
            return [
                {
                    "id": row.id,
                    "received_at": iso(row.received_at),
                    "source": row.source,
                    "content_type": row.content_type,
                    "length": row.length,
                    "kept": row.body is not None,
                    **json.loads(row.error),
                }
                for row in connection.execute(query)
            ]

    def body(self, id_: str) -> tuple[str, str, bytes | None] | None:
        """Give source, content type and body of what is quarantined under `id_`."""
        query = (
            sa.select(receipts.c.source, quarantine.c.content_type, quarantine.c.body)
            .join(quarantine, quarantine.c.id == receipts.c.id)
            .where(receipts.c.id == id_, receipts.c.status == Status.QUARANTINED)
        )
        with self._store.read() as connection:
            row = connection.execute(query).first()
        return (row.source, row.content_type, None if row.body is None else bytes(row.body)) if row else None

    def worker_seen_at(self) -> int | None:
        """When a worker last gave a sign of life (ms)."""
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.max(workers.c.seen_at))).scalar()

    def figures(self, *, names: Sequence[str], now: int) -> Figures:
        """Count for machines."""
        number = sa.func.count().label("number")
        kinds = receipts.c.source, receipts.c.status, receipts.c.test
        state = SHOWN_STATE.label("state")
        failed = attempts.c.destination, attempts.c.code
        with self._store.read() as connection:
            leads = connection.execute(sa.select(*kinds, number).group_by(*kinds)).all()
            counted = connection.execute(
                sa.select(deliveries.c.destination, state, number)
                .select_from(_WITH_LANE)
                .group_by(deliveries.c.destination, state)
            ).all()
            failures = connection.execute(
                sa.select(*failed, number).where(attempts.c.code.is_not(None)).group_by(*failed)
            ).all()
            parked = set(connection.execute(sa.select(lanes.c.destination).where(lanes.c.parked)).scalars())
        oldest = {name: since for name, (_, since) in self.waiting_by_destination().items()}
        standing = {
            name: LaneFigures(parked=name in parked, oldest_waiting_seconds=max(0, now - oldest.get(name, now)) / 1000)
            for name in {*names, *oldest}
        }
        return Figures(leads=leads, deliveries=counted, failures=failures, lanes=standing)


def _what_became(state: str) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of which one must hold; `discarded` is both: a body that a person gave up, and a delivery."""
    if state in list(Status):
        yield receipts.c.status == state
    if state in list(State):
        there = sa.select(deliveries.c.receipt_id).select_from(_WITH_LANE).where(SHOWN_STATE.in_([state]))
        yield receipts.c.id.in_(there.where(_INDEXED[state]) if state in _INDEXED else there)


def _summary(row: Row[Any]) -> dict[str, Any]:
    summary = {
        "id": row.id,
        "status": row.status,
        "test": row.test,
        "received_at": iso(row.received_at),
        "source": row.source,
        "lead_source": row.lead_source,
        "action_code": row.action_code,
        "offer": row.offer,
    }
    if row.duplicate_of:
        summary["duplicate_of"] = row.duplicate_of
    if row.email_domain:
        summary["email_domain"] = row.email_domain
    return summary


def _attempt(row: Row[Any]) -> dict[str, Any]:
    return {
        "at": iso(row.at),
        "code": row.code,
        "status": row.status,
        "raw_code": row.raw_code,
        "verdict": row.verdict,
        "duration_ms": row.duration_ms,
    }


def _together(one: Cause, other: Cause) -> Cause:
    tries = [moment for moment in (one.next_try, other.next_try) if moment is not None]
    return Cause(
        destination=one.destination,
        code=one.code,
        since=min(one.since, other.since),
        waiting=one.waiting + other.waiting,
        dead=one.dead + other.dead,
        next_try=min(tries) if tries else None,
        parked=one.parked or other.parked,
    )
