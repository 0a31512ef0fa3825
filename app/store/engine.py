"""Opening the store. The only module that knows which database it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy import event, exc

from app.store.tables import meta, metadata, receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

    from app.settings import Secret

SCHEMA_VERSION = "0001"  # the newest migration; a test holds it to migrations/versions
MIGRATION_LOCK = 0x1EAD31BE  # PostgreSQL advisory locks are numbers
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
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
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


class SqliteStore(Store):
    """SQLite in WAL mode; a blocking file lock in front of every write keeps processes in line.

    SQLite's own busy handler sleeps in steps, so that processes which meet in it starve; a lock that the kernel
    hands on does not.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it and its folder are made when first used."""
        self.path = path
        self.name = f"SQLite {path}"
        self._thread_lock = threading.Lock()
        self._lock_file: int | None = None
        self._names: list[int] = []
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS},
            pool_size=20,
            hide_parameters=True,  # they are people's data, and an exception's text goes anywhere
        )
        event.listen(engine, "do_connect", self._before_connect)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        super().__init__(engine)
        self._immediate = engine.execution_options(leadwire_begin="BEGIN IMMEDIATE")

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401
        """Make SQLite's insert."""
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  (only the dialect in use)

        return sqlite.insert(table)

    def notify(self, connection: Connection) -> None:
        """Do nothing: a pipe can't join a transaction, so `wake` follows the commit."""

    def wake(self) -> None:
        """Put a byte into the named pipe; without a reader there is nobody to wake."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(descriptor, b"\0")
            finally:
                os.close(descriptor)

    def listen(self) -> Wakeup:
        """Read the named pipe beside the database."""
        return _Pipe(self._pipe)

    def scrub(self) -> None:
        """Empty the write-ahead log: secure_delete has overwritten what was deleted, but the log still tells it."""
        # A broken disk says so at the next write; that a reader is in the way, the pragma only tells in its row.
        ignored = contextlib.suppress(self.engine.dialect.loaded_dbapi.Error)
        connect = self.engine.raw_connection
        with self._unavailable(), self._exclusive(), ignored, contextlib.closing(connect()) as connection:
            # Senders wait behind this, so a long reader is not waited for: the log is emptied by the next one then.
            for pragma in ("busy_timeout=1000", "wal_checkpoint(TRUNCATE)", f"busy_timeout={BUSY_SECONDS * 1000}"):
                connection.cursor().execute(f"PRAGMA {pragma}").close()

    def close(self) -> None:
        """Close connections and locks."""
        super().close()
        for descriptor in (self._lock_file, *self._names):
            if descriptor is not None:
                os.close(descriptor)
        self._lock_file, self._names = None, []

    @property
    def _pipe(self) -> str:
        return f"{self.path}.wake"

    def _before_connect(self, *_: object) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Leads are personal data: nobody else on this machine reads them. WAL and SHM copy the file's mode.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))

    def _writer(self) -> Engine:
        return self._immediate

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._thread_lock:
            if self._lock_file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def _migration_lock(self) -> Iterator[Connection]:
        with self._exclusive(), self._immediate.begin() as connection:
            yield connection

    def is_name_free(self, name: str) -> bool:
        """Try the name's lock file."""
        if not self._lock_name(name):
            return False
        os.close(self._names.pop())
        return True

    def _lock_name(self, name: str) -> bool:
        descriptor = os.open(f"{self.path}.{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._names.append(descriptor)
        return True


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
        self._names: list[Connection] = []

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401
        """Make PostgreSQL's insert."""
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415  (only the dialect in use)

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
        for connection in self._names:
            connection.close()
        self._names = []
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
        connection = self._names.pop()
        connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK, sa.func.hashtext(name))))
        connection.close()
        return True

    def _lock_name(self, name: str) -> bool:
        with self._unavailable():
            connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try_lock = sa.select(sa.func.pg_try_advisory_lock(MIGRATION_LOCK, sa.func.hashtext(name)))
            taken = False
            try:
                taken = bool(connection.execute(try_lock).scalar())
            finally:
                if taken:
                    self._names.append(connection)  # the lock lives as long as its session
                else:
                    connection.close()
            return taken


class _Pipe:
    """A named pipe that stays open at both ends, so that it never reads as ended."""

    def __init__(self, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self, timeout: float) -> None:
        if select.select([self._descriptor], [], [], timeout)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._descriptor, 65536)

    def close(self) -> None:
        os.close(self._descriptor)


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


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401
    connection.isolation_level = None  # we begin transactions ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("leadwire_begin", "BEGIN"))


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
