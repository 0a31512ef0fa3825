"""The store as everything else sees it: a database with our schema, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy import exc

from app.store import desk as _desk  # noqa: F401  (its tables belong to the schema too)
from app.store.tables import meta, metadata, receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

    from app.settings import Secret

SCHEMA_VERSION = "0002"  # the newest migration; a test holds it to migrations/versions
BUSY_SECONDS = 10


class StoreUnavailable(Exception):  # noqa: N818  (a state of the world, not a mistake of ours)
    """The database can't be used right now (away, full, locked); the message has no data in it."""


class Wakeup(Protocol):
    """How a worker hears at once that something is waiting."""

    def wait(self, timeout: float) -> None:
        """Sleep until something came or `timeout` seconds are over."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


def open_store(url: str, password: Secret | None = None) -> Store:
    """Open the store that `url` names, without touching it yet."""
    if url.startswith("sqlite:"):
        from app.store.sqlite import SqliteStore  # noqa: PLC0415  (only the database in use; and it inherits from here)

        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    from app.store.postgres import PostgresStore  # noqa: PLC0415

    target = sa.make_url(url).set(drivername="postgresql+psycopg")
    return PostgresStore(target.set(password=password.reveal()) if password else target)


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

    def __init__(self, engine: Engine) -> None:
        """Take an engine that is configured for its database."""
        self.engine = engine
        self._salt: bytes | None = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection with one consistent view.

        Raises:
            StoreUnavailable: the database can't be read.

        """
        with self._unavailable(), self._reader().connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a write transaction, committed and on disk when the block ends well.

        Raises:
            StoreUnavailable: nothing was written (or, if the connection broke while committing, it is not known).

        """
        with self._unavailable(), self._exclusive(), self._writer().begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema to this version's, one process at a time; quick when it is there already.

        Raises:
            StoreUnavailable: it can't be reached, or a newer version of this program has changed it.

        """
        with self._unavailable():
            if self._is_current():
                return
            with self._migration_lock() as connection:
                if not self._is_current():
                    _run_migrations(connection)

    def salt(self) -> bytes:
        """Give this store's own key for hashes; made once, kept in the store."""
        if self._salt is None:
            with self.write() as connection:
                # Processes that start together on an empty store all come here: the first one's stays.
                first = self.insert(meta).values(name="salt", value=secrets.token_bytes(32))
                connection.execute(first.on_conflict_do_nothing())
                kept = connection.execute(sa.select(meta.c.value).where(meta.c.name == "salt")).scalar_one()
            self._salt = bytes(kept)
        return self._salt

    def check_writable(self) -> None:
        """Write and take back one row.

        Raises:
            StoreUnavailable: it can't be written.

        """
        try:
            self._write_probe()
        except StoreUnavailable:
            self._write_probe()  # after a restart of the database every pooled connection fails once

    def _write_probe(self) -> None:
        with self.write() as connection:
            name = f"probe-{secrets.token_hex(4)}"
            connection.execute(meta.insert().values(name=name, value=b""))
            connection.execute(meta.delete().where(meta.c.name == name))

    def scrub(self) -> None:
        """Have what was deleted leave the files too, as far as that is ours to do (PostgreSQL's vacuum is not)."""

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401  (the dialects' inserts share no typed base)
        """Make an insert that knows `on_conflict_do_…`, which both databases spell alike."""
        raise NotImplementedError

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

    def _writer(self) -> Engine:
        return self.engine

    def _exclusive(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _migration_lock(self) -> contextlib.AbstractContextManager[Connection]:
        raise NotImplementedError

    def _is_current(self) -> bool:
        version = self._version()
        if version is not None and version > SCHEMA_VERSION:
            msg = f"{self.name}: its schema is {version}, of a newer program; this one knows up to {SCHEMA_VERSION}"
            raise StoreUnavailable(msg)
        return version == SCHEMA_VERSION

    def _version(self) -> str | None:
        with self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    @contextlib.contextmanager
    def _unavailable(self) -> Iterator[None]:
        """Turn the driver's ways to be away into one; data faults (a programmer's mistake) pass as they are."""
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.InternalError) as error:
            msg = f"{self.name}: {_reason(error)}"
            raise StoreUnavailable(msg) from None
        except exc.DBAPIError as error:
            # SQLite says a plain DatabaseError of a file that is no database, or a broken one.
            if not error.connection_invalidated and type(error) is not exc.DatabaseError:
                raise
            msg = f"{self.name}: {_reason(error)}"
            raise StoreUnavailable(msg) from None
        except OSError as error:
            msg = f"{self.name}: {error.strerror or type(error).__name__}"
            raise StoreUnavailable(msg) from None


def _reason(error: exc.SQLAlchemyError) -> str:
    """The first line of what the driver said: later ones may quote a row."""
    return (str(getattr(error, "orig", error)).splitlines() or [type(error).__name__])[0]


def _run_migrations(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  (slow to import, needed once a version)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    command.upgrade(config, "head")
