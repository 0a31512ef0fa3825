"""Giving out: what is due is claimed under a lease, and what became of it is recorded under the claim's number.

The number is a fencing token: a worker that slept past its lease finds that its claim no longer stands and records
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.lead import Lead
from app.retry import PROBE_WAITS, Verdict, probe_wait
from app.store.counts import Counts
from app.store.problems import Evidence, ProblemLog
from app.store.tables import WAITING, State, attempts, deliveries, lanes, receipts, workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sqlalchemy.engine import Connection

    from app.store.counts import Usage
    from app.store.engine import Store

LONGEST_PROBE_MS = round(max(PROBE_WAITS).total_seconds() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that is ours until its lease ends; `number` counts its claims. Times in milliseconds."""

    receipt_id: str
    number: int
    tries: int
    received_at: int
    source: str
    test: bool
    email_domain: str | None  # set: a withheld lead
    lead: Lead


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What becomes of a claim; `code` None: no failure. `attempted` False: it was only put off."""

    claim: Claim
    state: str
    due_at: int
    tries: int
    verdict: Verdict
    code: str | None
    raw_code: str | None
    status: int | None
    remote_id: str | None
    duration_ms: int
    attempted: bool = True
    evidence: str | None = None  # what the system said, scrubbed of persons and secrets


@dataclass(frozen=True, slots=True)
class LaneState:
    """How a destination's lane stands. `next_at` (ms): the next probe where parked, else the next due delivery."""

    parked: bool
    probes: int
    next_at: int | None


class Outbox:
    """The way out of the store, for one worker."""

    def __init__(self, store: Store, *, worker: str, lease: timedelta, horizon: timedelta) -> None:
        """Take the worker's name, how long it may hold a lead, and the longest honest wait."""
        self._store = store
        self._worker = worker
        self._lease = round(lease.total_seconds() * 1000)
        self._horizon = round(horizon.total_seconds() * 1000)
        self._problems = ProblemLog(store)
        self._counts = Counts(store)

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

    def claim(self, destination: str, *, limit: int, now: int) -> list[Claim]:
        """Claim up to `limit` deliveries that are due (or whose lease is over), the longest waiting first."""
        values = {
            "b_name": destination,
            "b_limit": limit,
            "b_now": now,
            "b_worker": self._worker,
            "b_lease": now + self._lease,
        }
        with self._store.write() as connection:
            # One after the other and not OR: that would read every row that waits for later, at every claim.
            taken = connection.execute(_CLAIM_DUE, {**values, "b_edge": now}).all()
            if not taken:
                taken = connection.execute(_CLAIM_FAR, {**values, "b_edge": now + self._horizon}).all()
            if not taken:
                return []
            rows = {row.receipt_id: row for row in taken}
            found = connection.execute(_RECEIPTS, {"b_ids": list(rows)})
            return [
                Claim(
                    receipt_id=receipt.id,
                    number=rows[receipt.id].claims,
                    tries=rows[receipt.id].tries,
                    received_at=receipt.received_at,
                    source=receipt.source,
                    test=receipt.test,
                    email_domain=receipt.email_domain,
                    lead=Lead.from_dict(json.loads(receipt.lead or "{}")),
                )
                for receipt in found
            ]

    def record(
        self, destination: str, results: Sequence[Result], *, now: int, usage: Usage | None = None
    ) -> list[Result]:
        """Write down what became of claims, and what it means for the lane; gives those whose claim still stood."""
        with self._store.write() as connection:
            standing = self._standing(connection, destination, results)
            kept = [result for result in results if standing.get(result.claim.receipt_id) == result.claim.number]
            if kept:
                connection.execute(_SETTLE, [_settled(destination, result, now) for result in kept])
            tried = [_attempt_row(destination, result, now) for result in kept if result.attempted]
            if tried:
                connection.execute(attempts.insert(), tried)
            self._move_lane(connection, destination, kept, now)
            self._note(connection, destination, kept, now)
            sent = sum(result.state == State.SENT for result in kept)
            if sent or usage is not None:
                self._counts.sent(connection, destination, number=sent, usage=usage, now=now)
        return kept

    def _note(self, connection: Connection, destination: str, results: Sequence[Result], now: int) -> None:
        """Keep the evidence of each cause in the remediation log."""
        causes = {
            result.code: result
            for result in results
            if result.code is not None and result.attempted and result.verdict is not Verdict.DONE
        }
        for code, result in sorted(causes.items()):
            self._problems.noted(
                connection,
                destination,
                Evidence(code=code, status=result.status, raw_code=result.raw_code, text=result.evidence),
                now=now,
            )

    def _standing(self, connection: Connection, destination: str, results: Sequence[Result]) -> dict[str, int]:
        ours = {"b_name": destination, "b_ids": [result.claim.receipt_id for result in results]}
        return {row.receipt_id: row.claims for row in connection.execute(_STANDING, ours)}

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

    def start(self, *, now: int) -> int:
        """Begin a worker's life: leads that dead workers held are due again, parked lanes are probed at once.

        Gives how many deliveries were freed.
        """
        with self._store.write() as connection:
            # Our name's lock says that nobody else is alive under it, so no lease needs to run out.
            freed = self._free(connection, self._worker, now)
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
            with self._store.write() as connection:
                freed += self._free(connection, name, now)
                connection.execute(workers.delete().where(workers.c.name == name))
        return freed

    def _free(self, connection: Connection, name: str, now: int) -> int:
        held = sa.and_(WAITING, deliveries.c.state == State.SENDING, deliveries.c.worker == name)
        return connection.execute(deliveries.update().where(held).values(state=State.DUE, due_at=now)).rowcount

    def beat(self, *, now: int) -> None:
        """Say that this worker is alive."""
        alive = self._store.insert(workers).values(name=self._worker, started_at=now, seen_at=now)
        # Inserted again if missing: while a database restarts, somebody may have taken us for dead.
        alive = alive.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now})
        self._store.renew_names()
        with self._store.write() as connection:
            connection.execute(alive)


# Built once: making a statement costs more than a small one takes to run.
_NAME: sa.BindParameter[str] = sa.bindparam("b_name")
_LANE = sa.select(lanes).where(lanes.c.destination == _NAME)
_FIRST_DUE = sa.select(sa.func.min(deliveries.c.due_at)).where(deliveries.c.destination == _NAME, WAITING)
_LAST_DUE = sa.select(sa.func.max(deliveries.c.due_at)).where(deliveries.c.destination == _NAME, WAITING)
_RECEIPTS = (
    sa.select(receipts)
    .where(receipts.c.id.in_(sa.bindparam("b_ids", expanding=True)))
    .order_by(receipts.c.received_at, receipts.c.id)
)


def _claim(due: sa.ColumnElement[bool]) -> sa.Executable:
    picked = (
        sa.select(deliveries.c.receipt_id)
        .where(deliveries.c.destination == _NAME, WAITING, due)
        .order_by(deliveries.c.due_at)
        .limit(sa.bindparam("b_limit"))
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    return (
        sa.update(deliveries)
        .where(deliveries.c.destination == _NAME, deliveries.c.receipt_id.in_(sa.select(picked.c.receipt_id)))
        .values(
            state=State.SENDING,
            claims=deliveries.c.claims + 1,
            worker=sa.bindparam("b_worker"),
            due_at=sa.bindparam("b_lease"),
            updated_at=sa.bindparam("b_now"),
        )
        .returning(deliveries.c.receipt_id, deliveries.c.claims, deliveries.c.tries)
    )


_CLAIM_DUE = _claim(deliveries.c.due_at <= sa.bindparam("b_edge"))
# A time beyond the horizon was written while the clock was wrong.
_CLAIM_FAR = _claim(deliveries.c.due_at > sa.bindparam("b_edge"))

_STANDING = (
    sa.select(deliveries.c.receipt_id, deliveries.c.claims)
    .where(
        deliveries.c.destination == _NAME,
        deliveries.c.state == State.SENDING,
        deliveries.c.receipt_id.in_(sa.bindparam("b_ids", expanding=True)),
    )
    .order_by(deliveries.c.receipt_id)  # everybody locks in this order
    .with_for_update()
)

_SETTLE = (
    deliveries.update()
    .where(deliveries.c.receipt_id == sa.bindparam("b_receipt"), deliveries.c.destination == sa.bindparam("b_name"))
    .values(
        state=sa.bindparam("b_state"),
        due_at=sa.bindparam("b_due_at"),
        tries=sa.bindparam("b_tries"),
        # What is put off keeps the cause it had.
        code=sa.func.coalesce(
            sa.bindparam("b_code"), sa.case((sa.bindparam("b_attempted"), None), else_=deliveries.c.code)
        ),
        remote_id=sa.bindparam("b_remote_id"),
        updated_at=sa.bindparam("b_now"),
    )
)


def _settled(destination: str, result: Result, now: int) -> dict[str, object]:
    return {
        "b_receipt": result.claim.receipt_id,
        "b_name": destination,
        "b_state": result.state,
        "b_due_at": result.due_at,
        "b_tries": result.tries,
        "b_code": result.code,
        "b_attempted": result.attempted,
        "b_remote_id": result.remote_id,
        "b_now": now,
    }


def _attempt_row(destination: str, result: Result, now: int) -> dict[str, object]:
    return {
        "receipt_id": result.claim.receipt_id,
        "destination": destination,
        "number": result.claim.number,
        "at": now,
        "code": result.code,
        "status": result.status,
        "raw_code": result.raw_code,
        "verdict": result.verdict if result.code else "sent",
        "duration_ms": result.duration_ms,
    }
