"""Problems: the remediation log, its notes and ticks, and trying a destination for real."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.operations.base import OWN, Base, NotPossible
from app.store.problems import acknowledged
from app.store.tables import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.store.acts import Who
    from app.store.problems import ProblemRow

REMOVED = "leadwire.destination-removed"


class Problems(Base):
    """The verbs of the remediation log."""

    def problems(self) -> list[dict[str, Any]]:
        """The remediation log: one row a destination and cause, in the catalogue's words of today."""
        rows = self._problem_log.open_rows()
        found = []
        for cause in self._views.causes():
            if cause.parked and cause.destination not in self.kinds:
                continue  # nobody probes it any more: `_removed` says what waits there
            row = rows.pop((cause.destination, cause.code), None)
            found.append(
                self._problem(
                    cause.destination,
                    cause.code,
                    row,
                    since=cause.since,
                    next_try=cause.next_try,
                    leads_waiting=cause.waiting,
                    dead=cause.dead,
                    held=cause.parked,
                )
            )
        own = [
            self._problem(name, code, row, since=row.opened_at, leads_waiting=row.most_waiting)
            for (name, code), row in rows.items()
            if _own(code)
        ]
        return own + found + self._removed(rows)

    def problem_count(self) -> int:
        """How many rows `problems` would give; what waits is not counted for it, so it is quick."""
        standing = self._views.standing()
        causes = {key for key, parked in standing.items() if key[0] in self.kinds or not parked}
        own = [key for key in self._problem_log.open_rows() if key not in causes and _own(key[1])]
        return len(causes) + len(own) + len(self._unknown())

    def _problem(
        self,
        destination: str,
        code: str,
        row: ProblemRow | None,
        *,
        since: int,
        next_try: int | None = None,
        leads_waiting: int = 0,
        dead: int = 0,
        held: bool = False,
    ) -> dict[str, Any]:
        entry = self.catalogue.get(code)
        return {
            "destination": destination or None,
            "type": self.kinds.get(destination),
            "code": code,
            "title": entry.title,
            "since": iso(since),
            "leads_waiting": leads_waiting,
            "dead": dead,
            "held": held,
            "next_try": iso(next_try),
            "owner": entry.owner,
            "cause": entry.cause,
            "remedy": list(entry.remedy),
            "doc": entry.doc,
            "id": row.id if row is not None else None,
            "status": row.status if row is not None else None,
            "raw_code": row.raw_code if row is not None else None,
            "evidence": row.evidence if row is not None else None,
            "acknowledged": acknowledged(row),
            "done": json.loads(row.done) if row is not None else [],
        }

    def _removed(self, rows: Mapping[tuple[str, str], ProblemRow]) -> list[dict[str, Any]]:
        """What waits for destinations that the configuration no longer has."""
        if not self._unknown():
            return []
        return [
            self._problem(
                name, REMOVED, rows.get((name, REMOVED)), since=one.since, leads_waiting=one.number, held=True
            )
            for name, one in self._views.waiting().items()
            if name not in self.kinds
        ]

    def _unknown(self) -> list[str]:
        return [name for name in self._views.owed() if name not in self.kinds]

    def closed_problems(self, *, before: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """What is over, the latest first; `before` is the id of the last one seen."""
        return [
            {
                "id": row.id,
                "destination": row.destination or None,
                "code": row.code,
                "title": self.catalogue.get(row.code).title,
                "since": iso(row.opened_at),
                "closed_at": iso(row.closed_at),
                "most_waiting": row.most_waiting,
                "raw_code": row.raw_code,
                "evidence": row.evidence,
                "acknowledged": acknowledged(row),
            }
            for row in self._problem_log.closed(before=before, limit=limit)
        ]

    def acknowledge(self, id_: str, *, note: str, who: Who) -> None:
        """Say that somebody takes care of an open problem: it is not reminded of any more.

        Raises:
            NotPossible: it is not open.

        """
        if not self._problem_log.acknowledge(id_, text=note, now=self._now(), who=who):
            raise _over(id_)

    def tick(self, id_: str, step: int, *, done: bool, who: Who) -> None:
        """Tick a step of an open problem's remedy (from 1) off, or on again.

        Raises:
            NotPossible: it is not open, or has no such step.

        """
        row = next((one for one in self._problem_log.open_rows().values() if one.id == id_), None)
        if row is None:
            raise _over(id_)
        steps = len(self.catalogue.get(row.code).remedy)
        if not 1 <= step <= steps:
            msg = f"The remedy of {row.code} has steps 1 to {steps}; {step} is none of them."
            raise NotPossible(msg)
        if not self._problem_log.tick(id_, step, done=done, now=self._now(), who=who):
            raise _over(id_)

    def check(self, destination: str, *, who: Who) -> dict[str, Any]:
        """Try a destination for real: address, credentials, permission; no lead is written there.

        Where all is well, what waits for it is tried at once.

        Raises:
            NotPossible: it is not configured.

        """
        self.see_configured(destination)
        code, detail = self.try_destination(destination)
        now = self._now()
        self._acts.keep_check(destination, code=code, detail=detail, now=now, who=who)
        if code is None:
            self._acts.try_now({destination}, now=now)
        return self._checked(destination, code=code, detail=detail, at=now, actor=who.actor)

    def checks(self) -> dict[str, dict[str, Any]]:
        """Give the latest result of `check` for each configured destination that was ever tried."""
        return {
            row.destination: self._checked(
                row.destination, code=row.code, detail=row.detail, at=row.at, actor=row.actor
            )
            for row in self._views.checks()
            if row.destination in self.kinds
        }

    def _checked(self, destination: str, *, code: str | None, detail: str, at: int, actor: str) -> dict[str, Any]:
        found = {
            "name": destination,
            "type": self.kinds[destination],
            "ok": code is None,
            "code": code,
            "detail": detail,
            "at": iso(at),
            "actor": actor,
        }
        if code is not None:
            entry = self.catalogue.get(code)
            found |= {"title": entry.title, "remedy": list(entry.remedy)}
        return found


def _own(code: str) -> bool:
    """Whether a problem is seen by the watch and not by a delivery."""
    return code.startswith("leadwire.") and code != REMOVED


def _over(id_: str) -> NotPossible:
    return NotPossible(f"No problem {id_} is open. It may have been mended meanwhile.")


__all__ = ["OWN", "REMOVED", "Problems"]
