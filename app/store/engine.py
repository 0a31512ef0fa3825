"""The store as everything else sees it: a database with our schema, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from app.store import desk as _desk  # noqa: F401  (its tables belong to the schema too)
from app.store import versions
from app.store.tables import meta, receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sqlalchemy.engine import Connection, Engine

    from app.settings import Secret
    from app.settings.model import Encryption
    from app.store.keyring import Keyring
    from app.store.statements import Among, Many, Wakeup

SCHEMA_VERSION = "0006"  # the newest migration; a test holds it to migrations/versions
BUSY_SECONDS = 10
LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE
LIMIT_EXCEEDED = "54"  # how the SQLSTATEs of a row that no index holds begin; psycopg calls those operational as well
SAYS_MOVED = "leadwire.moved"  # begins what the database says when something is written to a store that has moved


class StoreUnavailable(Exception):  # noqa: N818  (a state of the world, not a mistake of ours)
    """The database can't be used right now (away, full, locked); the message has no data in it."""


class Incompatible(StoreUnavailable):
    """A newer program changed the schema in a way that this one can't work with."""


class Contended(StoreUnavailable):
    """Another host has the same under way, and does not come to an end."""


def open_store(url: str, password: Secret | None = None, encryption: Encryption | None = None) -> Store:
    """Open the store that `url` names, without touching it yet."""
    if url.startswith("sqlite:"):
        from app.store.sqlite import SqliteStore  # noqa: PLC0415  (only the database in use; and it inherits from here)

        return SqliteStore(Path(url.removeprefix("sqlite:///")), encryption)
    from app.store.postgres import PostgresStore  # noqa: PLC0415

    target = sa.make_url(url).set(drivername="postgresql+psycopg")
    return PostgresStore(target.set(password=password.reveal()) if password else target, encryption)


def is_fresh(url: str, password: Secret | None = None) -> bool:
    """Tell whether a store has never taken anything, without changing it.

    Raises:
        StoreUnavailable: it can't be asked.

    """
    if url.startswith("sqlite:"):
        return not Path(url.removeprefix("sqlite:///")).exists()
    store = open_store(url, password)
    try:
        with store.read() as connection:
            if not sa.inspect(connection).has_table(receipts.name):
                return True
            return connection.execute(sa.select(receipts.c.id).limit(1)).first() is None
    finally:
        store.close()


class Store:
    """A database with our schema; `read` and `write` give connections, everything else is the same on both."""

    name: str  # for messages; no password in it
    silent_ms = 0  # how long a worker whose name is free must have given no sign of life to count as dead

    def __init__(
        self, engine: Engine, *, encryption: Encryption | None = None, own_key_file: Path | None = None
    ) -> None:
        """Take an engine that is configured for its database, and where the master key is."""
        self.engine = engine
        self._encryption, self._own_key_file = encryption, own_key_file
        self._making = threading.Lock()
        self._keyring: Keyring | None = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection with one consistent view.

        Raises:
            StoreUnavailable: the database can't be read.

        """
        with self._unavailable(), self._reader().connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """Give a connection in a write transaction, committed and on disk when the block ends well.

        What is not `durable` may be undone by a power cut, until the next transaction that is; never by less.

        Raises:
            StoreUnavailable: nothing was written (or, if the connection broke while committing, it is not known).

        """
        with self._unavailable(), self._exclusive(), self._writer(durable=durable).begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema to this version's, one process at a time; quick when it is there already.

        Raises:
            Incompatible: a newer version of this program has changed it too much for this one.
            StoreUnavailable: it can't be reached, it has moved, or the copy that it is to become is not finished.

        """
        self.upgrade()
        with self.read() as connection:
            reason = versions.why_not_used(connection)
        if reason is not None:
            msg = f"{self.name}: {reason}"
            raise StoreUnavailable(msg)

    def upgrade(self) -> None:
        """Do what `migrate` does, also to a store that is half a copy or has moved."""
        with self._unavailable():
            if self._is_current():
                return
            with self._migration_lock() as connection:
                if not self._is_current():
                    oldest = versions.upgrade(connection)
                    row = self.insert(meta).values(name=versions.COMPATIBLE_FROM, value=oldest.encode())
                    same = {"value": row.excluded.value}
                    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=same))

    def see_compatible(self) -> None:
        """See that no newer program has changed the schema too much for this process.

        Raises:
            Incompatible: one has.
            StoreUnavailable: it can't be asked.

        """
        with self._unavailable():
            self._is_current()

    def salt(self) -> bytes:
        """Give this store's own key for hashes; made once, kept wrapped. Raises what `Keyring.unlock` does."""
        return self.keyring.hash_key()

    @property
    def keyring(self) -> Keyring:
        """The keys that leads are sealed under."""
        if self._keyring is None:
            from app.store.keyring import Keyring  # noqa: PLC0415  (they need this module)
            from app.store.masters import masters  # noqa: PLC0415

            with self._making:
                if self._keyring is None:
                    known = masters(self._encryption, own_file=self._own_key_file, store=self.name)
                    self._keyring = Keyring(self, known)
        return self._keyring

    def check_writable(self) -> None:
        """Write and take back one row.

        Raises:
            StoreUnavailable: it can't be written, or not by this version any more.

        """
        try:
            self._write_probe()
        except StoreUnavailable:
            self._write_probe()  # after a restart of the database every pooled connection fails once

    def _write_probe(self) -> None:
        self.see_compatible()
        with self.write() as connection:
            name = f"probe-{secrets.token_hex(4)}"
            connection.execute(meta.insert().values(name=name, value=b""))
            connection.execute(meta.delete().where(meta.c.name == name))

    def stand_behind(self) -> None:
        """Let other processes write before this one, where only one can at a time."""

    def give_way(self) -> None:
        """Leave the machine to others for a moment, after each write of this process in the next second."""

    def scrub(self) -> None:
        """Have what was deleted leave the files too, as far as that is ours to do (PostgreSQL's vacuum is not)."""

    def close(self) -> None:
        """Close every connection."""
        if self._keyring is not None:
            self._keyring.close()
        self.engine.dispose()

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401  (the dialects' inserts share no typed base)
        """Make an insert that knows `on_conflict_do_…`, which both databases spell alike."""
        raise NotImplementedError

    def many(self, table: sa.Table, columns: Sequence[str], finish: Callable[[Any], Any]) -> Many:
        """Make a statement that inserts many rows at the price of few; `finish` adds what is to happen on conflict."""
        raise NotImplementedError

    def among(self, column: sa.Column[Any]) -> Among:
        """Make a query for a column's values that costs little beside the database's own work."""
        raise NotImplementedError

    def add_and_ask(
        self, connection: Connection, add: Many, rows: Sequence[tuple[Any, ...]], ask: Among, values: Collection[Any]
    ) -> tuple[int, Sequence[tuple[Any, ...]]]:
        """Add rows, wake workers at the commit, and then ask; gives how many were added and what was found."""
        added = add(connection, rows)
        self.notify(connection)
        return added, ask(connection, values)

    def notify(self, connection: Connection) -> None:
        """Arrange that workers wake once `connection`'s transaction is committed, where the database can."""
        raise NotImplementedError

    def wake(self) -> None:
        """Wake the workers, after a commit."""
        raise NotImplementedError

    def listen(self) -> Wakeup:
        """Start to hear of what is committed."""
        raise NotImplementedError

    def take_worker_name(self) -> str:
        """Give a name that no other live worker on this store has, the same again after a restart where possible."""
        for name in (f"{socket.gethostname()}-{number}" for number in range(1, 1000)):
            if self._lock_name(name):
                return name
        msg = "no free worker name"
        raise StoreUnavailable(msg)

    def renew_names(self) -> None:
        """See that our names are still locked, where a lock can get lost under a living process."""

    def is_name_free(self, name: str) -> bool:
        """Tell whether nobody alive has a worker's name."""
        raise NotImplementedError

    def _lock_name(self, name: str) -> bool:
        raise NotImplementedError

    def _reader(self) -> Engine:
        return self.engine

    def _writer(self, *, durable: bool) -> Engine:
        raise NotImplementedError

    def _exclusive(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _migration_lock(self) -> contextlib.AbstractContextManager[Connection]:
        raise NotImplementedError

    def _is_current(self) -> bool:
        """Whether this program can work with the schema as it is: its own, or a newer one that says so."""
        with self.engine.connect() as connection:
            version = versions.version_of(connection)
            if version is None or version <= SCHEMA_VERSION:
                return version == SCHEMA_VERSION
            oldest = versions.oldest_that_fits(connection) or version
        if oldest > SCHEMA_VERSION:
            msg = (
                f"{self.name}: its schema is {version}, of a newer program, and needs {oldest} at least; this one "
                f"knows up to {SCHEMA_VERSION}: upgrade it"
            )
            raise Incompatible(msg)
        return True

    @contextlib.contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Turn the driver's ways to be away into one; data faults (a programmer's mistake) pass as they are."""
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except exc.TimeoutError as error:  # of the pool
            msg = f"{self.name}: {_reason(error)}"
            raise StoreUnavailable(msg) from None
        except (exc.DBAPIError, driver.Error) as error:
            cause = getattr(error, "orig", error)  # none where a statement went to the driver itself
            away = isinstance(cause, (driver.OperationalError, driver.InterfaceError, driver.InternalError))
            # SQLite says a plain DatabaseError of a file that is no database, or a broken one.
            away = away or type(cause) is driver.DatabaseError or getattr(error, "connection_invalidated", False)
            sqlstate = getattr(cause, "sqlstate", None) or ""
            if (not away and SAYS_MOVED not in str(cause)) or sqlstate.startswith(LIMIT_EXCEEDED):
                raise
            msg = f"{self.name}: {_reason(error)}"
            kind = Contended if sqlstate == LOCK_NOT_AVAILABLE else StoreUnavailable
            raise kind(msg) from None
        except OSError as error:
            msg = f"{self.name}: {error.strerror or type(error).__name__}"
            raise StoreUnavailable(msg) from None


def _reason(error: Exception) -> str:
    """The first line of what the driver said: later ones may quote a row."""
    return (str(getattr(error, "orig", error)).splitlines() or [type(error).__name__])[0]
