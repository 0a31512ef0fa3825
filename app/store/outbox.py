"""Giving out: what is due is claimed under a lease, and what became of it is recorded under the claim's number.

The number is a fencing token: a worker that slept past its lease finds that its claim no longer stands and records
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.retry import Verdict
from app.store.claims import CLAIM_DUE, CLAIM_FAR, RECEIPTS, STANDING, Claim, Ledger, Result, claims_of
from app.store.counts import Counts
from app.store.parking import LaneState, Parking
from app.store.problems import Evidence
from app.store.shifts import Shift
from app.store.tables import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sqlalchemy.engine import Connection, Row

    from app.store.counts import Usage
    from app.store.engine import Store

CLAIM_GROUP = 100  # deliveries a transaction: senders wait behind it
__all__ = ["Claim", "LaneState", "Outbox", "Result"]


class Outbox(Parking, Shift):
    """The way out of the store, for one worker."""

    def __init__(self, store: Store, *, worker: str, lease: timedelta, horizon: timedelta) -> None:
        """Take the worker's name, how long it may hold a lead, and the longest honest wait."""
        Parking.__init__(self, store, horizon_ms=round(horizon.total_seconds() * 1000))
        Shift.__init__(self, store, worker=worker)
        self.lease_ms = round(lease.total_seconds() * 1000)
        self._counts = Counts(store)
        self._ledger = Ledger(store)

    def claim(self, destination: str, *, limit: int, now: int) -> list[Claim]:
        """Claim up to `limit` deliveries that are due (or whose lease is over), the longest waiting first."""
        taken: dict[str, Row[Any]] = {}
        while len(taken) < limit:
            wanted = min(limit - len(taken), CLAIM_GROUP)
            rows = self._taken(destination, wanted, now)
            taken |= {row.receipt_id: row for row in rows}
            if len(rows) < wanted:
                break
        if not taken:
            return []
        # After the claim and not in its transaction: senders wait behind that.
        with self._store.read() as connection:
            found = connection.execute(RECEIPTS, {"b_ids": list(taken)}).all()
        claims, broken = claims_of(found, taken, self._store)
        if broken:
            self.record(destination, broken, now=now)
        return claims

    def _taken(self, destination: str, limit: int, now: int) -> Sequence[Row[Any]]:
        values = {
            "b_name": destination,
            "b_limit": limit,
            "b_now": now,
            "b_worker": self._worker,
            "b_lease": now + self.lease_ms,
        }
        with self._store.write() as connection:
            # One after the other and not OR: that would read every row that waits for later, at every claim.
            due = connection.execute(CLAIM_DUE, {**values, "b_edge": now}).all()
            return due or connection.execute(CLAIM_FAR, {**values, "b_edge": now + self._horizon}).all()

    def record(
        self,
        destination: str,
        results: Sequence[Result],
        *,
        now: int,
        usage: Usage | None = None,
        durable: bool = True,
    ) -> list[Result]:
        """Write down what became of claims, and what it means for the lane; gives those whose claim still stood.

        What is not `durable` a power cut may undo, until the next durable write: then these leads are sent again.
        """
        with self._store.write(durable=durable) as connection:
            standing = self._standing(connection, destination, results)
            kept = [result for result in results if standing.get(result.claim.receipt_id) == result.claim.number]
            self._ledger.write(connection, destination, kept, now=now)
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
        return {id_: number for id_, number in connection.execute(STANDING, ours)}  # noqa: C416  (rows are no pairs to mypy)
