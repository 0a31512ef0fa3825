"""What can be seen: leads, problems, quarantine, figures. Only reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.arrival import body_bytes, lead_text
from app.store.causes import Causes
from app.store.desk import alerts, checks
from app.store.figures import FigureBook
from app.store.searching import Search
from app.store.tables import (
    SHOWN_STATE,
    UNUSUAL,
    WITH_LANE,
    Status,
    attempts,
    audit,
    deliveries,
    iso,
    lanes,
    quarantine,
    receipts,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from app.store.causes import Cause, Waiting
    from app.store.engine import Store
    from app.store.figures import Figures
    from app.store.searching import Filter

CHUNK = 1000  # ids a statement
QUARANTINED = sa.and_(receipts.c.status == Status.QUARANTINED, UNUSUAL)


class Views:
    """Everything that reads for people."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        self._search = Search(store)
        self._causes = Causes(store)
        self._figures = FigureBook(store)

    def leads(self, wanted: Filter) -> list[dict[str, Any]]:
        """Give leads, newest first, with the state at each destination; nothing personal."""
        with self._store.read() as connection:
            rows = self._search.leads(connection, wanted)
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
        text = lead_text(self._store, row)
        lead = json.loads(text) if text else None
        return {**_summary(row), "lead": lead, "deliveries": found}

    def _states(self, connection: Connection, ids: list[str]) -> dict[str, list[tuple[str, str, str | None]]]:
        query = (
            sa.select(deliveries.c.receipt_id, deliveries.c.destination, SHOWN_STATE, deliveries.c.remote_id)
            .select_from(WITH_LANE)
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

    def offers(self) -> list[str]:
        """Give every offer there is a lead of."""
        return self._search.offers()

    def causes(self) -> list[Cause]:
        """Give every destination in trouble, one row a reason, the longest lasting first."""
        return self._causes.now()

    def standing(self) -> dict[tuple[str, str], bool]:
        """Tell which causes there are, by destination and code, and whether each is parked; counts nothing."""
        return self._causes.standing()

    def owed(self) -> list[str]:
        """Name every destination that something waits for."""
        return self._causes.owed()

    def waiting(self) -> dict[str, Waiting]:
        """Count what waits for each destination, and since when the oldest does."""
        return self._causes.waiting()

    def quarantined(self, *, limit: int | None = None, before: str | None = None) -> list[dict[str, Any]]:
        """Give what waits in quarantine, the latest first, from after `before` on; bodies by `body` only."""
        query = (
            sa.select(receipts.c.received_at, receipts.c.source, quarantine)
            .join(quarantine, quarantine.c.id == receipts.c.id)
            .where(QUARANTINED)
            .order_by(receipts.c.received_at.desc(), receipts.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            last = sa.select(receipts.c.received_at).where(receipts.c.id == before).scalar_subquery()
            query = query.where(sa.tuple_(receipts.c.received_at, receipts.c.id) < sa.tuple_(last, before))
        with self._store.read() as connection:
            return [
                {
                    "id": row.id,
                    "received_at": iso(row.received_at),
                    "source": row.source,
                    "content_type": row.content_type,
                    "length": row.length,
                    "kept": row.data_key is not None or row.unsealed is not None,
                    **json.loads(row.error),
                }
                for row in connection.execute(query)
            ]

    def quarantined_count(self) -> int:
        """Count what waits in quarantine."""
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(receipts).where(QUARANTINED)).scalar_one()

    def last_received_at(self) -> int | None:
        """When the latest body came in, whatever became of it (ms)."""
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.max(receipts.c.received_at))).scalar()

    def audit(
        self,
        *,
        before: int | None,
        limit: int,
        target: str | None = None,
        action: str | None = None,
        actor: str | None = None,
    ) -> list[dict[str, Any]]:
        """Give who did what, the latest first; `target` is a lead's id, or the first word of another."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        if target is not None:
            query = query.where(audit.c.subject == target)
        if action is not None:
            query = query.where(audit.c.action == action)
        if actor is not None:
            query = query.where(audit.c.actor == actor)
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        names = ("id", "actor", "action", "target", "why")
        return [{"at": iso(row.at), **{name: getattr(row, name) for name in names}} for row in rows]

    def body(self, id_: str) -> tuple[str, str, bytes | None] | None:
        """Give source, content type and body of what is quarantined under `id_`."""
        query = (
            sa.select(receipts.c.source, quarantine)
            .join(quarantine, quarantine.c.id == receipts.c.id)
            .where(receipts.c.id == id_, receipts.c.status == Status.QUARANTINED)
        )
        with self._store.read() as connection:
            row = connection.execute(query).first()
        return (row.source, row.content_type, body_bytes(self._store, row)) if row else None

    def parked(self) -> set[str]:
        """Name the destinations that are parked."""
        with self._store.read() as connection:
            return set(connection.execute(sa.select(lanes.c.destination).where(lanes.c.parked)).scalars())

    def checks(self) -> Sequence[Row[Any]]:
        """Give the latest result of `check` for each destination."""
        with self._store.read() as connection:
            return connection.execute(sa.select(checks).order_by(checks.c.destination)).all()

    def alerts_failing(self) -> int:
        """Count the alerts that were tried and haven't gone out yet."""
        failing = (
            sa.select(sa.func.count())
            .select_from(alerts)
            .where(alerts.c.sent_at.is_(None), alerts.c.failure.is_not(None))
        )
        with self._store.read() as connection:
            return connection.execute(failing).scalar_one()

    def worker_seen_at(self) -> int | None:
        """When a worker last gave a sign of life (ms)."""
        with self._store.read() as connection:
            return connection.execute(sa.select(sa.func.max(workers.c.seen_at))).scalar()

    def figures(self, *, names: Sequence[str], now: int) -> Figures:
        """Count for machines."""
        return self._figures.now(names=names, now=now)


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
