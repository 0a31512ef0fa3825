"""The store on PostgreSQL: any number of hosts."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql

from app.store.engine import BUSY_SECONDS, Store
from app.store.statements import driver_of
from app.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sqlalchemy.engine import Connection, Engine

    from app.settings.model import Encryption
    from app.store.statements import Among, Many, Wakeup

MIGRATION_LOCK = 0x1EAD31BE  # PostgreSQL advisory locks are numbers; workers' names are the second one beside it
KEY_MS = 3000  # how long a lead waits to hear whether another host takes the same one in
IDLE_MS = 60_000  # after which the server ends a transaction whose host says nothing more
GIVES_WAY, GIVES_WAY_MOST = 12, 0.25  # times as long as it wrote, and seconds
GIVES_WAY_FOR = 1.0  # seconds
# A server whose host vanished says nothing: without these a request would wait for hours. The last is milliseconds.
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
}

# What an index leaves out is the same here. Said here, so that who has SQLite need not load this dialect.
for _table in metadata.tables.values():
    for _index in _table.indexes:
        _index.dialect_options["postgresql"]["where"] = _index.dialect_options["sqlite"]["where"]


class PostgresStore(Store):
    """PostgreSQL through psycopg; LISTEN/NOTIFY wakes workers on any host."""

    CHANNEL = "leadwire"
    # A server that restarts drops the locks of the living too: a free name alone proves nothing.
    silent_ms = 15_000

    def __init__(self, url: sa.URL, encryption: Encryption | None = None) -> None:
        """Take the URL, password included."""
        self.name = f"PostgreSQL {url.host or 'local socket'}/{url.database}"
        engine = sa.create_engine(
            url,
            pool_size=20,
            pool_timeout=BUSY_SECONDS,
            pool_recycle=1800,
            connect_args=_PATIENCE,
            hide_parameters=True,  # they are people's data, and an exception's text goes anywhere
        )
        super().__init__(engine, encryption=encryption)
        self._gives_way_until = 0.0
        # The default would show each statement another moment.
        self._snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._lazy = engine.execution_options(leadwire_lazy=True)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        self._names: dict[str, Connection] = {}

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401
        """Make PostgreSQL's insert."""
        return postgresql.insert(table)

    def many(self, table: sa.Table, columns: Sequence[str], finish: Callable[[Any], Any]) -> Many:
        """Send all rows as one array a column, in one statement however many they are."""
        given = [sa.bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in columns]
        rows_of = sa.func.unnest(*given).table_valued(*columns, name="given").render_derived()
        insert = postgresql.insert(table).from_select(columns, sa.select(*(rows_of.c[name] for name in columns)))
        # In binary: in text, every byte of a sealed lead would be two, and escaped.
        text = re.sub(r"%\((\w+)\)s", r"%(\1)b", str(finish(insert).compile(self.engine)))
        return _Many(text, columns)

    def among(self, column: sa.Column[Any]) -> Among:
        """Send the values as one array."""
        wanted = sa.bindparam("wanted", type_=postgresql.ARRAY(column.type))
        return _Among(str(sa.select(column.table).where(column == sa.func.any(wanted)).compile(self.engine)))

    def add_and_ask(
        self, connection: Connection, add: Many, rows: Sequence[tuple[Any, ...]], ask: Among, values: Collection[Any]
    ) -> tuple[int, Sequence[tuple[Any, ...]]]:
        """Do so in one round trip; each statement still sees what was committed before it."""
        with driver_of(connection).pipeline():
            # Who has the same key under way may be cut off: everybody else must not wait for the end of that.
            driver_of(connection).execute(f"SET LOCAL lock_timeout = {KEY_MS}")
            added = cast("_Many", add).begin(connection, rows)
            self.notify(connection)
            found = cast("_Among", ask).begin(connection, values).fetchall()
        return int(added.rowcount), found

    @contextlib.contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """Do as every store, and then wait a little, if this process gives way."""
        begun = time.monotonic()
        with super().write(durable=durable) as connection:
            yield connection
        if begun < self._gives_way_until:
            time.sleep(min(GIVES_WAY * (time.monotonic() - begun), GIVES_WAY_MOST))

    def give_way(self) -> None:
        """Begin, or go on, to do so."""
        self._gives_way_until = time.monotonic() + GIVES_WAY_FOR

    def notify(self, connection: Connection) -> None:
        """Say it inside the transaction: it is heard when, and only if, that commits."""
        driver_of(connection).execute(f"NOTIFY {self.CHANNEL}")

    def wake(self) -> None:
        """Do nothing: `notify` did."""

    def _reader(self) -> Engine:
        return self._snapshot

    def _writer(self, *, durable: bool) -> Engine:
        return self.engine if durable else self._lazy

    def listen(self) -> Wakeup:
        """Listen on a connection of its own."""
        return _Notifications(self.engine, self.CHANNEL)

    def close(self) -> None:
        """Close connections and give up names."""
        for connection in self._names.values():
            connection.close()
        self._names = {}
        super().close()

    @contextlib.contextmanager
    def _migration_lock(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            yield connection

    def is_name_free(self, name: str) -> bool:
        """Try the name's advisory lock."""
        if not self._lock_name(name):
            return False
        connection = self._names.pop(name)
        connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK, sa.func.hashtext(name))))
        connection.close()
        return True

    def renew_names(self) -> None:
        """Lock our names again whose session, and with it the lock, went with a restart of the server."""
        for name, connection in list(self._names.items()):
            try:
                connection.execute(sa.select(1))
            except exc.SQLAlchemyError:
                del self._names[name]
                connection.invalidate()
                connection.close()
                self._lock_name(name)

    def _lock_name(self, name: str) -> bool:
        with self._unavailable():
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try_lock = sa.select(sa.func.pg_try_advisory_lock(MIGRATION_LOCK, sa.func.hashtext(name)))
            taken = False
            try:
                taken = bool(connection.execute(try_lock).scalar())
            finally:
                if taken:
                    self._names[name] = connection  # the lock lives as long as its session
                else:
                    connection.close()
            return taken


def _prepare(connection: Any, _: object) -> None:  # noqa: ANN401
    connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MS}")
    connection.commit()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("leadwire_lazy"):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


class _Many:
    """As `Store.many`; `begin` need not wait for the answer."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self._text, self._columns = text, columns

    def begin(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Any:  # noqa: ANN401  (psycopg's cursor)
        values = zip(*rows, strict=True)
        given = dict(zip(self._columns, map(list, values), strict=True))
        return driver_of(connection).execute(self._text, given)

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        return int(self.begin(connection, rows).rowcount)


class _Among:
    """As `Store.among`, likewise."""

    def __init__(self, text: str) -> None:
        self._text = text

    def begin(self, connection: Connection, values: Collection[Any]) -> Any:  # noqa: ANN401
        return driver_of(connection).execute(self._text, {"wanted": list(values)})

    def __call__(self, connection: Connection, values: Collection[Any]) -> Sequence[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self.begin(connection, values).fetchall() if values else []
        return found


class _Notifications:
    """LISTEN on a connection of its own, opened again when the server went away."""

    def __init__(self, engine: Engine, channel: str) -> None:
        self._engine = engine
        self._channel = channel
        self._connection: Any = None  # psycopg's own: SQLAlchemy has no name for notifications
        self._lost = exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error
        with contextlib.suppress(*self._lost):
            self._listening()  # now: what comes before the first `wait` is heard by it

    def wait(self, timeout: float) -> None:
        try:
            for _ in self._listening().notifies(timeout=timeout, stop_after=1):
                pass
        except self._lost:
            # The lanes look by themselves too, so a lost LISTEN costs promptness, not leads.
            self.close()
            time.sleep(min(timeout, 1.0))

    def _listening(self) -> Any:  # noqa: ANN401
        if self._connection is None:
            pooled = self._engine.raw_connection()
            connection = pooled.driver_connection
            pooled.detach()
            self._connection = connection
            self._connection.autocommit = True
            self._connection.execute(f"LISTEN {self._channel}")
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
