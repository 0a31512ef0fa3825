"""The empty PostgreSQL database that becomes the copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from app.store.copying.changes import AT_ONCE, Key
from app.store.copying.comparing import everything
from app.store.tables import meta, metadata
from app.store.versions import COPYING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store
    from app.store.statements import Many


class Progress(msgspec.Struct):
    """How far a copy came: of each table the last key, or True when it is through."""

    id: str
    came_to: dict[str, Any] = msgspec.field(default_factory=dict)


class Target:
    """Where rows are copied to."""

    def __init__(self, store: Store) -> None:
        """Take the store; nothing is touched yet."""
        self.store = store
        self._put: dict[str, Many] = {}

    def progress(self) -> Progress | None:
        """Tell how far a copy came that was begun here; None: none was."""
        with self.store.read() as connection:
            kept = connection.execute(sa.select(meta.c.value).where(meta.c.name == COPYING)).scalar()
        return None if kept is None else msgspec.msgpack.decode(kept, type=Progress)

    def keep(self, connection: Connection, progress: Progress) -> None:
        """Keep how far it came, with the rows in one transaction."""
        row = self.store.insert(meta).values(name=COPYING, value=msgspec.msgpack.encode(progress))
        connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))

    def held(self) -> list[str]:
        """Name the tables that have rows; what a fresh database says of itself is none."""
        with self.store.read() as connection:
            return [
                table.name
                for table in metadata.sorted_tables
                if table is not meta and connection.execute(sa.select(table).limit(1)).first() is not None
            ]

    def begin(self, progress: Progress) -> None:
        """Mark it as a copy that is not whole. Its own keys go: no row was made with them."""
        with self.store.write() as connection:
            connection.execute(meta.delete().where(meta.c.name.in_(everything(meta).with_only_columns(meta.c.name))))
            self.keep(connection, progress)
            # Made again at the end: that is quicker, and rows come in the order of their keys, in which what is unique
            # at every moment may not be.
            for table in metadata.sorted_tables:
                for index in table.indexes:
                    index.drop(connection)

    def put(self, connection: Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows as they are in the source, whatever is there under their keys."""
        if table.name not in self._put:
            self._put[table.name] = self._many(table)
        for start in range(0, len(rows), AT_ONCE):
            self._put[table.name](connection, rows[start : start + AT_ONCE])

    def _many(self, table: sa.Table) -> Many:
        keys = [column.name for column in table.primary_key.columns]
        columns = [column.name for column in table.columns]
        return self.store.many(
            table,
            columns,
            lambda row: row.on_conflict_do_update(
                index_elements=keys, set_={name: row.excluded[name] for name in columns if name not in keys}
            ),
        )

    def remove(self, connection: Connection, table: sa.Table, keys: Sequence[Key]) -> None:
        """Delete rows by their keys, where they are."""
        key = sa.tuple_(*table.primary_key.columns)
        for start in range(0, len(keys), AT_ONCE):
            connection.execute(table.delete().where(key.in_(keys[start : start + AT_ONCE])))

    def index(self, connection: Connection, *, unique: bool) -> None:
        """Make the indexes."""
        for table in metadata.sorted_tables:
            for index in table.indexes:
                if bool(index.unique) is unique:
                    index.create(connection, checkfirst=True)

    def finish(self, connection: Connection) -> None:
        """Have numbers that the database gives go on after those that are taken."""
        for table in metadata.sorted_tables:
            column = table.autoincrement_column
            if column is None or column.autoincrement is not True:
                continue
            counter = sa.func.pg_get_serial_sequence(table.name, column.name)
            highest = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(counter, highest, False)))  # noqa: FBT003  (PostgreSQL's own)

    def open(self) -> None:
        """Say that it is whole: from now on it is a store like any other."""
        with self.store.write() as connection:
            connection.execute(meta.delete().where(meta.c.name == COPYING))
