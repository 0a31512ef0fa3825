"""Purging: what is older than retention says is deleted, a few rows a transaction, and when that happens by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from app.store.auditing import Who, record
from app.store.desk import problems
from app.store.tables import (
    TESTS,
    UNUSUAL,
    WAITING,
    Status,
    attempts,
    deliveries,
    duplicate_keys,
    meta,
    receipts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store

CHUNK = 500  # rows a transaction: senders wait behind it
BOOK = "purge"  # its name in `meta`
EVERY_MS = 86_400_000
AGAIN_MS = 3_600_000  # what failed, or was cut off, is tried again then
LONGEST_MS = 6 * AGAIN_MS  # what has not ended by then is not going to


class Purging:
    """The part of acts that deletes what is old."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def purge(
        self, *, leads: int, tests: int, bodies: int, tries: int, keys: int, now: int, who: Who
    ) -> dict[str, int]:
        """Delete what is older than each of these moments (ms); what still waits for a destination stays."""
        received, lead = receipts.c.received_at, receipts.c.status != Status.QUARANTINED
        counts = {
            "leads": self._delete_settled(lead, receipts.c.test.is_(False), received < leads),
            # As the partial indexes say it: the few must not be looked for among all that is kept.
            "test_leads": self._delete_settled(lead, TESTS, received < tests),
            "quarantined": self._delete_settled(~lead, UNUSUAL, received < bodies),
            "attempts": self._delete(attempts, attempts.c.at < tries),
        }
        self._delete(duplicate_keys, duplicate_keys.c.seen_at < keys)
        self._delete(problems, problems.c.closed_at < tries)  # their alerts go with them
        record(self._store, "purge", json.dumps(counts), now=now, who=who)
        self._store.scrub()
        return counts

    def _delete_settled(self, *which: sa.ColumnElement[bool] | sa.TextClause) -> int:
        """Delete leads with all that hangs on them, unless they wait; gives how many."""
        mine = deliveries.c.receipt_id == receipts.c.id
        owed = sa.exists().where(mine, WAITING)
        some = sa.select(receipts.c.id).where(*which, ~owed).limit(CHUNK).with_for_update()
        deleted, found = 0, CHUNK
        while found == CHUNK:
            with self._store.write() as connection:
                ids = connection.execute(some).scalars().all()
                gone = set(ids) - _waiting(connection, ids)
                deleted += connection.execute(receipts.delete().where(receipts.c.id.in_(gone))).rowcount
            found = len(ids)
        return deleted

    def _delete(self, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
        key = sa.tuple_(*table.primary_key.columns)
        some = sa.select(*table.primary_key.columns).where(which).limit(CHUNK)
        deleted = 0
        while True:
            with self._store.write() as connection:
                number = connection.execute(table.delete().where(key.in_(some))).rowcount
            deleted += number
            if number < CHUNK:
                return deleted


def _waiting(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Lock the deliveries of leads, and give those that wait: one may be replayed in this moment."""
    locked = sa.select(deliveries.c.receipt_id, WAITING.label("waits")).where(deliveries.c.receipt_id.in_(ids))
    return {row.receipt_id for row in connection.execute(locked.with_for_update()) if row.waits}


class Standing(msgspec.Struct, frozen=True):
    """How it stands with what happens by itself: when it is due, since when one is unfinished and why. In ms."""

    due_at: int
    unfinished_since: int | None = None
    reason: str | None = None


class PurgeBook:
    """When to purge by itself: once a day, on one of however many hosts."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def begin(self, *, now: int) -> bool:
        """Take the day's purge if it is due; tells whether to do it. The first is due a day after the first look."""
        standing = self._read()
        if standing is not None and not _is_due(standing, now):
            return False
        with self._store.write() as connection:
            row = self._store.insert(meta).values(name=BOOK, value=msgspec.json.encode(Standing(now + EVERY_MS)))
            connection.execute(row.on_conflict_do_nothing())
            standing = _locked(connection)
            if not _is_due(standing, now):
                return False
            since = now if standing.unfinished_since is None else standing.unfinished_since
            _keep(connection, Standing(now + AGAIN_MS, since, standing.reason))
        return True

    def end(self, *, now: int) -> None:
        """Note that it is done."""
        with self._store.write() as connection:
            _keep(connection, Standing(now + EVERY_MS))

    def fail(self, reason: str) -> None:
        """Note that it failed, to be told; `reason` has nothing personal."""
        with self._store.write() as connection:
            _keep(connection, msgspec.structs.replace(_locked(connection), reason=reason))

    def failing(self, *, now: int) -> Standing | None:
        """Give how it stands if somebody must see to it: it failed, or began long ago and did not end."""
        standing = self._read()
        if standing is None or standing.unfinished_since is None:
            return None
        return standing if standing.reason or now - standing.unfinished_since > LONGEST_MS else None

    def _read(self) -> Standing | None:
        with self._store.read() as connection:
            value = connection.execute(sa.select(meta.c.value).where(meta.c.name == BOOK)).scalar()
        return None if value is None else _decoded(value)


def _is_due(standing: Standing, now: int) -> bool:
    # Further off than it may be, it was written while a clock was wrong.
    return not now < standing.due_at <= now + EVERY_MS


def _locked(connection: Connection) -> Standing:
    row = sa.select(meta.c.value).where(meta.c.name == BOOK).with_for_update()
    return _decoded(connection.execute(row).scalar_one())


def _keep(connection: Connection, standing: Standing) -> None:
    value = msgspec.json.encode(standing)
    connection.execute(meta.update().where(meta.c.name == BOOK).values(value=value))


def _decoded(value: bytes) -> Standing:
    return msgspec.json.decode(bytes(value), type=Standing)
