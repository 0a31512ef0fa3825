"""From SQLite to PostgreSQL while leads come in: compared to the last row, resumed where it was cut off.

Rows are copied in the order of their keys, in batches that each carry how far they came. What changes meanwhile the
source notes itself (`changes`), and it is copied before the next batch: so what the target has of a table is always
what the source had at one moment, up to a key. Then all of it is compared. At the end, under the source's write lock,
the last changes are copied and compared, and the source closes for good.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store.copying import changes
from app.store.copying.comparing import Content, content, content_of, counts
from app.store.copying.following import Following
from app.store.copying.target import Progress
from app.store.tables import LONGEST_OFFER, WAITING, State, deliveries, meta, receipts, to_ms
from app.store.versions import COPYING, MOVED

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from app.store.engine import Store


class CopyFault(Exception):  # noqa: N818  (said to a person)
    """The copy can't be made, or is not the same; the message says what to do."""


class Copy(Following):
    """One copy of a SQLite store in a PostgreSQL database."""

    def __init__(self, source: Store, target: Store, *, now: Callable[[], datetime]) -> None:
        """Take both; nothing is touched yet."""
        super().__init__(source, target)
        self._now = now

    def prepare(self) -> bool:
        """Begin, or take up what was begun; tells whether the source has closed already.

        Raises:
            CopyFault: there is something else in the target, or the source has moved elsewhere.
            StoreUnavailable: one of the two can't be used.

        """
        self._source.upgrade()
        self._target.store.upgrade()
        moved, ours, theirs = _mark(self._source, MOVED), _mark(self._source, COPYING), self._target.progress()
        if theirs is None:
            if moved is not None:
                msg = f"{self._source.name} was copied to {moved} already and takes nothing more."
                raise CopyFault(msg)
            self._begin()
            return False
        if ours != theirs.id:
            msg = f"{self._target.store.name} holds a part of another store's copy. Name an empty database."
            raise CopyFault(msg)
        self._progress = theirs
        return moved is not None

    def _begin(self) -> None:
        held = self._target.held()
        if held:
            msg = (
                f"{self._target.store.name} is not empty: there are rows in {', '.join(held)}. Name an empty database."
            )
            raise CopyFault(msg)
        self._progress = Progress(secrets.token_hex(8))
        with self._source.write() as connection:
            abandon_in(connection)  # an earlier copy's, that nobody finished
            # Earlier versions kept longer ones, which PostgreSQL's index does not take.
            short = sa.func.substr(receipts.c.offer, 1, LONGEST_OFFER)
            connection.execute(receipts.update().where(receipts.c.offer != short).values(offer=short))
            connection.execute(meta.insert().values(name=COPYING, value=self._progress.id.encode()))
            changes.begin(connection)
        self._target.begin(self._progress)

    def left(self) -> int:
        """Tell how many rows there are still to be copied, about."""
        rest = [table.name for table in self._tables if self._progress.came_to.get(table.name) is not True]
        with self._source.read() as connection:
            return sum(number for name, number in counts(connection).items() if name in rest)

    def total(self) -> int:
        """Tell how many rows the source has."""
        with self._source.read() as connection:
            return sum(counts(connection).values())

    def run(self, copied: Callable[[int], None]) -> None:
        """Copy every table, then what changed meanwhile; `copied` hears of each batch how many rows it had."""
        for table in self._tables:
            while self._progress.came_to.get(table.name) is not True:
                copied(self._batch(table))
            self._forget()
        with self._target.store.write() as connection:
            self._target.index(connection, unique=False)
        self._catch_up()

    def prove(self, compared: Callable[[int], None], *, closed: bool = False) -> dict[str, Content]:
        """Compare everything as it is at one moment, while leads go on coming in; `compared` hears of each table.

        Raises:
            CopyFault: something is not the same.

        """
        with contextlib.ExitStack() as moment:
            source = self._at_rest(moment) if not closed else moment.enter_context(self._source.read())
            theirs = moment.enter_context(self._target.store.read())
            found = {}
            for table in self._tables:
                found[table.name] = content(source, table)
                _same(table.name, found[table.name], content(theirs, table))
                compared(found[table.name].rows)
        self._proved = dict(found)
        return found

    def _at_rest(self, moment: contextlib.ExitStack) -> Connection:
        """Give a view of the source as it was when the target had all of it."""
        with self._source.write() as connection, self._target.store.write() as target:
            self._apply(connection, target)
            source = moment.enter_context(self._source.read())
            source.execute(sa.select(meta).limit(1))  # SQLite's view begins with the first look
        return source

    def quieten(self, *, seconds: int) -> int:
        """Let what workers have under way end, for so long at most; gives how many deliveries did not."""
        with self._source.write() as connection:
            changes.pause_claims(connection, seconds=seconds + 30)
        ends = time.monotonic() + seconds
        while (busy := self._busy()) and time.monotonic() < ends:
            time.sleep(0.1)
        self._catch_up()
        return busy

    def _busy(self) -> int:
        under_way = sa.and_(WAITING, deliveries.c.state == State.SENDING, deliveries.c.due_at > to_ms(self._now()))
        with self._source.read() as connection:
            query = sa.select(sa.func.count()).select_from(deliveries).where(under_way)
            return int(connection.execute(query).scalar_one())

    def move(self) -> dict[str, Content]:
        """Copy and compare the last changes while nobody can write, and close the source; gives what tables hold.

        Raises:
            CopyFault: something is not the same; the source goes on.

        """
        with self._source.write() as source:
            with self._target.store.write() as target:
                self._apply(source, target)
                found = {table.name: self._whole(table, source, target) for table in self._tables}
                for counted in (counts(source), counts(target)):
                    for name, number in counted.items():
                        _same(f"the number of {name}", found[name].rows, number)
                self._target.index(target, unique=True)
                self._target.finish(target)
            changes.end(source)
            source.execute(meta.insert().values(name=MOVED, value=self._target.store.name.encode()))
            changes.close(source, where_to=self._target.store.name)
        return found

    def _whole(self, table: sa.Table, source: Connection, target: Connection) -> Content:
        """Compare what has changed since all was compared; gives what the table holds now."""
        keys = list(self._changed[table.name])
        ours, theirs = (content_of(changes.rows_of(one, table, keys)) for one in (source, target))
        _same(table.name, ours, theirs)
        return self._proved[table.name] + ours

    def open(self) -> None:
        """Let the target be used: the source is closed, and they are the same."""
        self._target.open()


def abandon(source: Store) -> None:
    """Forget a copy that is not finished: the source goes on as if it had never been begun."""
    with source.write() as connection:
        abandon_in(connection)


def abandon_in(connection: Connection) -> None:
    """Do so in a transaction."""
    changes.end(connection)
    connection.execute(meta.delete().where(meta.c.name == COPYING))


def _mark(store: Store, name: str) -> str | None:
    with store.read() as connection:
        found = connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()
    return None if found is None else bytes(found).decode()


def _same(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        msg = (
            f"The copy differs in {what}: {ours} here, {theirs} there. Nothing was moved; drop the copy and begin anew."
        )
        raise CopyFault(msg)
