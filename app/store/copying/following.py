"""How a copy goes along: batches in the order of keys, and before each whatever has changed in what they passed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.copying import changes
from app.store.copying.comparing import Content, content_of, everything, held
from app.store.copying.target import Progress, Target
from app.store.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from app.store.copying.changes import Key
    from app.store.engine import Store

BATCH = 1000  # rows a transaction
FEW = 200  # changes that may be left to be copied while senders wait


class Following:
    """Keeps the target what the source was at one moment, of each table up to a key."""

    def __init__(self, source: Store, target: Store) -> None:
        """Take both; nothing is touched yet."""
        self._source = source
        self._target = Target(target)
        self._tables = metadata.sorted_tables
        self._applied = dict.fromkeys((table.name for table in self._tables), 0)
        self._proved: dict[str, Content] = {}  # what is compared already, less what has changed since
        self._changed: dict[str, set[Key]] = {table.name: set() for table in self._tables}
        self._progress = Progress("")

    def _batch(self, table: sa.Table) -> int:
        keys = list(table.primary_key.columns)
        rows = everything(table).order_by(*keys).limit(BATCH)
        last = self._progress.came_to.get(table.name)
        if last is not None:
            given = (sa.literal(value, key.type) for key, value in zip(keys, last, strict=True))
            rows = rows.where(sa.tuple_(*keys) > sa.tuple_(*given))
        with self._source.read() as source, self._target.store.write() as target:
            self._apply(source, target)
            found = [held(row) for row in source.execute(rows)]
            self._target.put(target, table, found)
            self._progress.came_to[table.name] = list(_key(table, found[-1])) if len(found) == BATCH else True
            self._target.keep(target, self._progress)
        return len(found)

    def _catch_up(self) -> None:
        """Copy what changed, until little is left, or no less than the time before: then it comes in that fast."""
        before = math.inf
        while FEW < (number := self._pass()) < before:
            before = number

    def _pass(self) -> int:
        """Copy what changed until now; gives how many rows."""
        with self._source.read() as source, self._target.store.write() as target:
            number = self._apply(source, target)
        self._forget()
        return number

    def _apply(self, source: Connection, target: Connection) -> int:
        """Copy what changed, as far as batches came: first what is gone, then what is there; gives how many rows."""
        there: dict[str, list[tuple[Any, ...]]] = {}
        gone: dict[str, list[Key]] = {}
        for table in self._tables:
            name = table.name
            changed = changes.keys_changed(source, table, after=self._applied[name])
            keys = [key for _, key in changed]
            self._applied[name] = max([self._applied[name], *(number for number, _ in changed)])
            self._note_changed(target, table, keys)
            rows = list(changes.rows_of(source, table, keys))
            gone[name] = list(set(keys) - {_key(table, row) for row in rows})
            there[name] = [row for row in rows if self._has_passed(table, _key(table, row))]
        for table in reversed(self._tables):
            self._target.remove(target, table, gone[table.name])
        for table in self._tables:
            self._target.put(target, table, there[table.name])
        return sum(map(len, (*there.values(), *gone.values())))

    def _note_changed(self, target: Connection, table: sa.Table, keys: list[Key]) -> None:
        """Take what is going to change out of what is compared already."""
        if self._proved:
            fresh = list(set(keys) - self._changed[table.name])
            self._proved[table.name] -= content_of(changes.rows_of(target, table, fresh))
            self._changed[table.name].update(fresh)

    def _has_passed(self, table: sa.Table, key: Key) -> bool:
        """Whether a batch came that far; a row beyond comes with its own, after the row that it belongs to."""
        last = self._progress.came_to.get(table.name)
        return last is True or (last is not None and key <= tuple(last))

    def _forget(self) -> None:
        with self._source.write(durable=False) as connection:
            for table in self._tables:
                changes.forget(connection, table, until=self._applied[table.name])


def _key(table: sa.Table, row: tuple[Any, ...]) -> Key:
    columns = list(table.columns)
    return tuple(row[columns.index(key)] for key in table.primary_key.columns)
