"""One glance: what came in, how each destination stands, what needs a person; and figures for machines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.operations.leads import Leads
from app.operations.problems import Problems
from app.store.tables import Status, iso, to_ms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from app.store.causes import Waiting
    from app.store.figures import Figures

KINDS = ("accepted", "test", "duplicate", "withheld", "quarantined")


class Overview(Leads, Problems):
    """The verbs that sum up."""

    def overview(self, *, days: int = 14, zone: tzinfo = UTC) -> dict[str, Any]:
        """Sum up: leads a day in `zone`, a card a destination, the open problems, what waits in quarantine."""
        found = self.problems()
        return {
            "days": self._days(days, zone),
            "destinations": self.destinations(),
            "problems": found,
            "quarantined": self._views.quarantined_count(),
            "last_lead_at": iso(self._views.last_received_at()),
            "worker_silent_seconds": self.worker_silent_for(),
            "alerts_failing": self._views.alerts_failing(),
        }

    def _days(self, days: int, zone: tzinfo) -> list[dict[str, Any]]:
        today = self.now().astimezone(zone).date()
        shown = [today - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
        counted: list[dict[str, int]] = [dict.fromkeys(KINDS, 0) for _ in shown]
        midnights = [to_ms(datetime.combine(day, datetime.min.time(), tzinfo=zone)) for day in shown]
        for row in self._counts.since(midnights):
            kind = "test" if row.test and row.status == Status.ACCEPTED else row.status
            if kind in KINDS:
                counted[row.period][kind] += row.number
        return [{"day": day.isoformat(), **numbers} for day, numbers in zip(shown, counted, strict=True)]

    def destinations(self) -> list[dict[str, Any]]:
        """Give a card a destination: how it stands, what waits for it, what it took, calls used of those allowed."""
        waiting, lanes = self._views.waiting(), self._counts.lanes()
        parked = self._views.parked()
        names = [*self.kinds, *(name for name in waiting if name not in self.kinds)]
        return [self._card(name, waiting=waiting, lane=lanes.get(name), parked=name in parked) for name in names]

    def _card(self, name: str, *, waiting: Mapping[str, Waiting], lane: Any, parked: bool) -> dict[str, Any]:  # noqa: ANN401
        mine = waiting.get(name)
        state = "removed" if name not in self.kinds else "parked" if parked else "waiting" if mine else "flowing"
        calls = None
        if lane is not None and lane.calls_allowed:
            calls = {
                "used": lane.calls_used,
                "allowed": lane.calls_allowed,
                "of": lane.calls_of,
                "at": iso(lane.calls_at),
            }
        return {
            "name": name,
            "type": self.kinds.get(name),
            "state": state,
            "waiting": mine.number if mine else 0,
            "oldest_waiting_at": iso(mine.since) if mine else None,
            "last_sent_at": iso(lane.last_sent_at) if lane is not None else None,
            "sent": lane.sent if lane is not None else 0,
            "calls": calls,
        }

    def figures(self) -> Figures:
        """Counts for machines."""
        return self._views.figures(names=list(self.kinds), now=self._now())

    def worker_silent_for(self) -> float | None:
        """Give the seconds since a worker last gave a sign of life; None: never."""
        seen = self._views.worker_seen_at()
        return None if seen is None else max(0.0, (self._now() - seen) / 1000)
