"""The store on PostgreSQL: any number of hosts."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql

from app.store.engine import BUSY_SECONDS, Store, Wakeup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

MIGRATION_LOCK = 0x1EAD31BE  # PostgreSQL advisory locks are numbers; workers' names are the second one beside it
# A server whose host vanished says nothing: without these a request would wait for hours. The last is milliseconds.
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
}


class PostgresStore(Store):
    """PostgreSQL through psycopg; LISTEN/NOTIFY wakes workers on any host."""

    CHANNEL = "leadwire"
    # A server that restarts drops the locks of the living too: a free name alone proves nothing.
    silent_ms = 15_000

    def __init__(self, url: sa.URL) -> None:
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
        super().__init__(engine)
        # The default would show each statement another moment.
        self._snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._names: dict[str, Connection] = {}

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401
        """Make PostgreSQL's insert."""
        return postgresql.insert(table)

    def notify(self, connection: Connection) -> None:
        """Say it inside the transaction: it is heard when, and only if, that commits."""
        connection.execute(sa.text(f"NOTIFY {self.CHANNEL}"))

    def wake(self) -> None:
        """Do nothing: `notify` did."""

    def _reader(self) -> Engine:
        return self._snapshot

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
