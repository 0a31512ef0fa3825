"""The remediation log's rows: opened by the first failure of a cause, closed once it is gone, kept as history."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
import uuid_utils

from app.store.auditing import audited
from app.store.desk import problems
from app.store.tables import iso

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from app.store.auditing import Who
    from app.store.engine import Store

ProblemRow: TypeAlias = "Row[Any]"
OPEN = problems.c.closed_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a failure looked like; `text` is scrubbed of persons and secrets."""

    code: str
    status: int | None = None
    raw_code: str | None = None
    text: str | None = None


class ProblemLog:
    """Rows of `problems`."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        row = store.insert(problems)
        new = row.excluded
        self._noted = row.on_conflict_do_update(
            index_elements=["destination", "code"],
            index_where=sa.text("closed_at IS NULL"),
            set_={
                "last_at": new.last_at,
                "status": sa.func.coalesce(new.status, problems.c.status),
                "raw_code": sa.func.coalesce(new.raw_code, problems.c.raw_code),
                "evidence": sa.func.coalesce(new.evidence, problems.c.evidence),
            },
        )

    def noted(
        self, connection: Connection, destination: str, found: Evidence, *, now: int, since: int | None = None
    ) -> None:
        """Open the row of a cause, or keep the latest evidence in the open one; `destination` "" is Leadwire itself."""
        row = {
            "id": str(uuid_utils.uuid7()),
            "destination": destination,
            "code": found.code,
            "opened_at": now if since is None else since,
            "last_at": now,
            "status": found.status,
            "raw_code": found.raw_code,
            "evidence": found.text,
        }
        connection.execute(self._noted, row)

    def open_rows(self) -> dict[tuple[str, str], Row[Any]]:
        """Give the open rows by destination and code."""
        with self._store.read() as connection:
            rows = connection.execute(sa.select(problems).where(OPEN)).all()
        return {(row.destination, row.code): row for row in rows}

    def closed(self, *, before: str | None, limit: int) -> list[Row[Any]]:
        """Give what is over, the latest first, after the row with id `before`."""
        query = sa.select(problems).where(~OPEN).order_by(problems.c.closed_at.desc(), problems.c.id.desc())
        if before is not None:
            end = sa.select(problems.c.closed_at).where(problems.c.id == before).scalar_subquery()
            query = query.where(sa.tuple_(problems.c.closed_at, problems.c.id) < sa.tuple_(end, before))
        with self._store.read() as connection:
            return list(connection.execute(query.limit(limit)))

    def acknowledge(self, id_: str, *, text: str, now: int, who: Who) -> bool:
        """Note that somebody takes care of an open problem; tells whether it is there."""
        values = {"acknowledged_at": now, "acknowledged_by": who.actor, "note": text}
        return self._changed(id_, values, "acknowledge", now=now, who=who)

    def tick(self, id_: str, step: int, *, done: bool, now: int, who: Who) -> bool:
        """Tick a remedy's step (from 1) off, or on again; tells whether the open problem is there."""
        with audited(self._store) as (connection, note):
            mine = sa.and_(problems.c.id == id_, OPEN)
            row = connection.execute(sa.select(problems.c.done).where(mine).with_for_update()).first()
            if row is None:
                return False
            steps = set(json.loads(row.done)) - {step} | ({step} if done else set())
            connection.execute(problems.update().where(mine).values(done=json.dumps(sorted(steps))))
            note("step-done" if done else "step-undone", f"{id_} {step}", now=now, who=who)
        return True

    def _changed(self, id_: str, values: dict[str, Any], action: str, *, now: int, who: Who) -> bool:
        with audited(self._store) as (connection, note):
            change = problems.update().where(problems.c.id == id_, OPEN).values(**values)
            changed = connection.execute(change).rowcount > 0
            if changed:
                note(action, id_, now=now, who=who)
        return changed


def acknowledged(row: Row[Any] | None) -> dict[str, Any] | None:
    """Say who takes care of a problem since when, for a row of it."""
    if row is None or row.acknowledged_at is None:
        return None
    return {"at": iso(row.acknowledged_at), "by": row.acknowledged_by, "note": row.note}
