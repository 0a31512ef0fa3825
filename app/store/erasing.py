"""Erasing: a person is forgotten wherever the store has something of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from app.store.auditing import Note, Who, audited
from app.store.desk import alerts, problems
from app.store.mentions import mentioning, unsorted_of, without
from app.store.sorting import NOTHING
from app.store.tables import (
    WAITING,
    State,
    Status,
    attempts,
    deliveries,
    duplicate_keys,
    inbox,
    quarantine,
    receipts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store

CHUNK = 500  # leads a transaction: senders wait behind it
_TEXTS = (problems, ("evidence", "note")), (alerts, ("text",))


class Erased(NamedTuple):
    """What was erased, counted by where it stood, and what destinations hold still."""

    counts: dict[str, int]
    held: list[dict[str, Any]]


class Erasing:
    """The part of acts that forgets a person."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def find_person(self, email: str, key: bytes) -> list[str]:
        """Give the ids of everything that holds an address: the lead's own, or anywhere in its text."""
        own = sa.select(receipts.c.id).where(receipts.c.person == key)
        with self._store.read() as connection:
            ids = set(connection.execute(own).scalars())
        return sorted(ids | mentioning(self._store, email) | unsorted_of(self._store, email, key))

    def erase(self, ids: Sequence[str], *, now: int, who: Who, email: str | None = None) -> Erased:
        """Forget who these leads were, and the address in what is told of problems; gives who else holds them.

        What was tried and not confirmed may have arrived too: it is among them, not `certain`, and is not sent again.
        """
        counts = dict.fromkeys(("leads", "quarantined", "unsorted", "deliveries", "attempts", "duplicate_keys"), 0)
        held: list[dict[str, Any]] = []
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            with audited(self._store) as (connection, note):
                held += _held(connection, chunk)
                for name, number in _erased(connection, chunk, now).items():
                    counts[name] += number
                note("erase", *chunk, now=now, who=who)
        counts["problem_texts"] = self._erase_told(email, now=now, who=who) if email else 0
        self._store.scrub()
        return Erased(counts, held)

    def received_at(self, ids: Sequence[str]) -> dict[str, int]:
        """Tell when leads came in (ms)."""
        query = sa.select(receipts.c.id, receipts.c.received_at)
        with self._store.read() as connection:
            chunks = (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
            rows = [row for chunk in chunks for row in connection.execute(query.where(receipts.c.id.in_(chunk)))]
        return {row.id: row.received_at for row in rows}

    def record_erasures(self, targets: Sequence[str], *, now: int, who: Who) -> None:
        """Leave an entry of each record that was erased at a destination: lead and destination."""
        with audited(self._store) as (_, note):
            note("erase-there", *targets, now=now, who=who)

    def _erase_told(self, email: str, *, now: int, who: Who) -> int:
        """Take an address out of evidence, notes and alerts, which are to have none; gives out of how many."""
        with audited(self._store) as (connection, note):
            return sum(_erase_texts(connection, note, table, names, email, now, who) for table, names in _TEXTS)


def _held(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    tried = sa.or_(deliveries.c.state.in_([State.SENT, State.SENDING]), deliveries.c.claims > 0)
    query = sa.select(deliveries).where(deliveries.c.receipt_id.in_(ids), tried).order_by(*deliveries.primary_key)
    return [
        {
            "id": row.receipt_id,
            "destination": row.destination,
            "remote_id": row.remote_id,
            "certain": row.state == State.SENT,
        }
        for row in connection.execute(query)
    ]


def _erased(connection: Connection, ids: Sequence[str], now: int) -> dict[str, int]:
    """Erase; gives the rows of each kind. What waited is cancelled, and counted as such."""
    mine = deliveries.c.receipt_id.in_(ids)
    given_up = {"state": State.DISCARDED, "updated_at": now}
    cancelled = connection.execute(deliveries.update().where(mine, WAITING).values(**given_up)).rowcount
    connection.execute(deliveries.update().where(mine, deliveries.c.state != State.SENT).values(**given_up))
    told = sa.or_(receipts.c.person.is_not(None), *(receipts.c[name].is_not(None) for name in NOTHING))
    there = receipts.c.id.in_(ids)
    leads = connection.execute(sa.select(sa.func.count()).where(there, told)).scalar_one()
    connection.execute(receipts.update().where(there).values(status=Status.ERASED, person=None, **NOTHING))
    gone = {
        "quarantined": quarantine.delete().where(quarantine.c.id.in_(ids)),
        "unsorted": inbox.delete().where(inbox.c.id.in_(ids)),
        "attempts": attempts.delete().where(attempts.c.receipt_id.in_(ids)),
        "duplicate_keys": duplicate_keys.delete().where(duplicate_keys.c.receipt_id.in_(ids)),
    }
    counts = {name: connection.execute(statement).rowcount for name, statement in gone.items()}
    return {"leads": leads, "deliveries": cancelled, **counts}


def _erase_texts(
    connection: Connection, note: Note, table: sa.Table, names: Sequence[str], email: str, now: int, who: Who
) -> int:
    changed = 0
    key = list(table.primary_key.columns)
    for row in connection.execute(sa.select(*key, *(table.c[name] for name in names)).order_by(*key)).all():
        old = {name: getattr(row, name) for name in names if getattr(row, name) is not None}
        new = {name: without(text, email) for name, text in old.items()}
        if new != old:
            same = [column == getattr(row, column.name) for column in key]
            connection.execute(table.update().where(*same).values(**new))
            note("erase", f"{row.id} {table.name}", now=now, who=who)
            changed += 1
    return changed
