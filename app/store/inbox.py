"""Taking in: whatever came, on disk before anyone is answered, and the same lead only once.

What an answer needs is one row a lead, not yet sorted in: `sorting` makes receipts and deliveries of these, behind the
answers. Many are kept in one transaction, because on most disks the fsync is the price and not the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from app.log import logger, where_from
from app.store.arrival import Arrival, Letter, Receipt, keyed_hash, letter, opened
from app.store.engine import Contended, StoreUnavailable
from app.store.sorting import Sorter
from app.store.tables import Status, duplicate_keys, inbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from app.lead import Lead
    from app.store.engine import Store

log = logger("store")
_in_order = msgspec.json.Encoder(order="deterministic").encode  # whatever order a sender's extra fields came in


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What became of a letter: on disk, as the same as `first` or as new; or, with a `failure`, not kept."""

    first: str | None = None
    failure: str | None = None


class Inbox:
    """The way into the store."""

    def __init__(self, store: Store, *, window_ms: int) -> None:
        """Take the store and how long the same lead counts as the same (0: never)."""
        self._store = store
        self._window_ms = window_ms
        self._sorter = Sorter(store)
        # A commit whose answer got lost is tried again with the same ids: what is there already stays.
        columns = ("id", "duplicate_of", "key", "arrival")
        self._sorted = store.among(duplicate_keys.c.key)
        self._add = store.many(inbox, columns, lambda row: row.on_conflict_do_nothing())

    def duplicate_key(self, lead: Lead, *, source: str) -> bytes | None:
        """Give the key under which the same lead is found again; None where duplicates are not looked for."""
        if not self._window_ms:
            return None
        return keyed_hash(self._store, _in_order([source, lead]).decode().casefold())

    def letter(self, arrival: Arrival) -> Letter:
        """Write an arrival down for `keep`, sealed."""
        return letter(arrival, self._store)

    def put(self, arrival: Arrival) -> Receipt:
        """Keep an arrival, and sort it in if nothing is in the way; returns once it is on disk.

        Raises:
            StoreUnavailable: it is not kept (or, where a connection broke while committing, it is not known).

        """
        (kept,) = self.keep([self.letter(arrival)])
        if kept.failure is not None:
            raise StoreUnavailable(kept.failure)
        self._sorter.catch_up()
        return receipt(arrival, kept.first)

    def keep(self, letters: Sequence[Letter]) -> list[Kept]:
        """Keep many in one transaction, to be sorted in later; those that can't be written don't cost the others."""
        try:
            try:
                firsts = self._keep(letters)
            except Contended:
                raise
            except StoreUnavailable:
                firsts = self._keep(letters)
        except StoreUnavailable as exc:
            if isinstance(exc, Contended) and len(letters) > 1:
                return [kept for one in letters for kept in self.keep([one])]
            return [Kept(failure=str(exc))] * len(letters)
        except Exception as exc:  # noqa: BLE001  (a fault of one row, whatever the driver calls it)
            if len(letters) > 1:
                return [kept for one in letters for kept in self.keep([one])]
            name = type(exc).__name__
            log.error("arrival.lost", lead=letters[0].id, exception=name, frames=where_from(exc))
            return [Kept(failure=f"{self._store.name}: {name}")]
        self._store.wake()
        return [Kept(firsts.get(one.id)) for one in letters]

    def _keep(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Write a row for each; gives the first one's id by the id of each that came later.

        The rows come before the question who was first: a key that another host writes at the same moment is waited for
        then, and one that it has moved on meanwhile is found where `sorting` puts it.
        """
        owners: dict[bytes, str] = {}
        for one in letters:
            if one.duplicate_key is not None:
                owners.setdefault(one.duplicate_key, one.id)
        # In the order of the keys, so that two hosts never wait for each other crosswise.
        new = [one for one in letters if one.duplicate_key is None or owners[one.duplicate_key] == one.id]
        new.sort(key=lambda one: one.duplicate_key or b"")
        rows = [(one.id, None, one.duplicate_key, one.arrival) for one in new]
        edges = {one.duplicate_key: one.received_at - self._window_ms for one in new if one.duplicate_key}
        with self._store.write() as connection:
            added, found = self._store.add_and_ask(connection, self._add, rows, self._sorted, edges)
            if added < len(rows):
                self._release(connection, edges)
                self._add(connection, rows)
                unsorted = sa.select(inbox.c.key, inbox.c.id).where(inbox.c.key.in_(owners))
                owners |= {bytes(key): id_ for key, id_ in connection.execute(unsorted)}
                found = self._sorted(connection, edges)
            owners |= {key: id_ for key, id_, seen_at in found if seen_at > edges[key]}
            firsts = {one.id: owners[one.duplicate_key] for one in letters if one.duplicate_key is not None}
            later = [one for one in letters if firsts.get(one.id, one.id) != one.id]
            if later:
                connection.execute(inbox.delete().where(inbox.c.id.in_([one.id for one in later])))
                self._add(connection, [(one.id, firsts[one.id], None, one.arrival) for one in later])
        return {one.id: firsts[one.id] for one in later}

    def _release(self, connection: Connection, edges: Mapping[bytes, int]) -> None:
        """Take these keys from rows that are so old that they don't count, though still unsorted."""
        rows = connection.execute(sa.select(inbox).where(inbox.c.key.in_(edges))).all()
        old = [one.id for one in rows if opened(one.arrival, self._store).received_at <= edges[bytes(one.key)]]
        if old:
            connection.execute(inbox.update().where(inbox.c.id.in_(old)).values(key=None))


def receipt(arrival: Arrival, first: str | None) -> Receipt:
    """Make the answer to an arrival; `first` is the id of the same lead that came before it."""
    return Receipt(arrival.id, arrival.status) if first is None else Receipt(first, Status.DUPLICATE)
