"""What changes in a SQLite store while it is copied: triggers note the key of every row written, whoever writes it.

Triggers live in the file, so they hold for processes that run already and for every version of them. The last of them
refuses every write: the store has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.copying.comparing import everything, held
from app.store.engine import SAYS_MOVED
from app.store.tables import State, deliveries, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

LOG = "copying_"  # before a table's name: the log of its changed rows
PAUSE = "copying_pause"
EVENTS = {"insert": ("new",), "update": ("old", "new"), "delete": ("old",)}
AT_ONCE = 200  # keys a statement

Key = tuple[Any, ...]


def begin(connection: Connection) -> None:
    """Note from now on which rows change."""
    for table in metadata.sorted_tables:
        log, names = LOG + table.name, [column.name for column in table.primary_key.columns]
        columns = ", ".join(names)
        connection.exec_driver_sql(
            f'CREATE TABLE "{log}" (seq INTEGER PRIMARY KEY AUTOINCREMENT, {columns}, UNIQUE ({columns}))'
        )
        for event, rows in EVENTS.items():
            notes = " ".join(_note(log, columns, ", ".join(f"{row}.{name}" for name in names)) for row in rows)
            connection.exec_driver_sql(
                f'CREATE TRIGGER "{log}_{event}" AFTER {event.upper()} ON "{table.name}" BEGIN {notes} END'
            )


def _note(log: str, columns: str, values: str) -> str:
    """Give a changed key a new and higher number: so the log is never longer than the table.

    Not by INSERT OR REPLACE: inside a trigger the conflict rule of the statement outside goes before it.
    """
    gone = f'DELETE FROM "{log}" WHERE ({columns}) = ({values});'  # noqa: S608  (names of our own tables)
    return f'{gone} INSERT INTO "{log}" ({columns}) VALUES ({values});'  # noqa: S608  (as above)


def end(connection: Connection) -> None:
    """Stop noting, and leave nothing behind."""
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {PAUSE}")
    for table in metadata.sorted_tables:
        for event in EVENTS:
            connection.exec_driver_sql(f'DROP TRIGGER IF EXISTS "{LOG}{table.name}_{event}"')
        connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{LOG}{table.name}"')


def keys_changed(connection: Connection, table: sa.Table, *, after: int) -> list[tuple[int, Key]]:
    """Give number and key of the rows that changed, in the order of the numbers."""
    log = _log(table)
    found = connection.execute(sa.select(log).where(log.c.seq > after).order_by(log.c.seq))
    return [(row[0], tuple(row[1:])) for row in found]


def forget(connection: Connection, table: sa.Table, *, until: int) -> None:
    """Drop what is copied."""
    log = _log(table)
    connection.execute(log.delete().where(log.c.seq <= until))


def rows_of(connection: Connection, table: sa.Table, keys: Sequence[Key]) -> Iterator[tuple[Any, ...]]:
    """Give the rows that have these keys, where there are any."""
    key = sa.tuple_(*table.primary_key.columns)
    for start in range(0, len(keys), AT_ONCE):
        found = connection.execute(everything(table).where(key.in_(keys[start : start + AT_ONCE])))
        yield from map(held, found)


def pause_claims(connection: Connection, *, seconds: int) -> None:
    """Have no worker claim anything for so long: what is under way ends, and nothing new begins.

    It ends by itself, so that a copy that was killed does not stop the deliveries.
    """
    now = "CAST(strftime('%s', 'now') AS INTEGER)"
    ends = int(connection.exec_driver_sql(f"SELECT {now} + {seconds:d}").scalar_one())
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {PAUSE}")
    connection.exec_driver_sql(
        f'CREATE TRIGGER {PAUSE} BEFORE UPDATE ON "{deliveries.name}" '
        f"WHEN new.claims > old.claims AND new.state = '{State.SENDING}' AND {now} < {ends} "
        "BEGIN SELECT RAISE(IGNORE); END"
    )


def close(connection: Connection, *, where_to: str) -> None:
    """Refuse every write from now on, in words that say where the leads are."""
    said = f"{SAYS_MOVED}: this store was copied to {where_to} and takes nothing more; name that one in [store] url"
    quoted = said.replace("'", "''")
    for table in metadata.sorted_tables:
        for event in EVENTS:
            connection.exec_driver_sql(
                f'CREATE TRIGGER "moved_{table.name}_{event}" BEFORE {event.upper()} ON "{table.name}" '
                f"BEGIN SELECT RAISE(ABORT, '{quoted}'); END"
            )


def _log(table: sa.Table) -> sa.TableClause:
    keys = (sa.column(column.name, column.type) for column in table.primary_key.columns)
    return sa.table(LOG + table.name, sa.column("seq", sa.Integer), *keys)
