"""The store on SQLite: one file, one host, any number of processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import threading
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import sqlite

from app.store.engine import BUSY_SECONDS, Store
from app.store.statements import driver_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection, Engine

    from app.settings.model import Encryption
    from app.store.statements import Among, Many, Wakeup


MAX_PARAMETERS = 2000  # a statement
CONTENDED = 0.1  # seconds for which a process that met others at the lock goes on letting them first
GIVES_WAY = 8  # times as long as it wrote
GIVES_WAY_LEAST, GIVES_WAY_MOST = 0.001, 0.05  # seconds


class SqliteStore(Store):
    """SQLite in WAL mode; a blocking file lock in front of every write keeps processes in line.

    SQLite's own busy handler sleeps in steps, so that processes which meet in it starve; a lock that the kernel
    hands on does not.
    """

    def __init__(self, path: Path, encryption: Encryption | None = None) -> None:
        """Name the file; it and its folder are made when first used."""
        self.path = path
        self.name = f"SQLite {path}"
        self._thread_lock = threading.Lock()
        self._lock_file: int | None = None
        self._file: tuple[int, int] | None = None  # the database as it was when we opened it
        self._names: list[int] = []
        self._behind = False
        self._met_others = 0.0
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS},
            pool_size=20,
            pool_reset_on_return=None,  # every connection is left with its transaction ended
            hide_parameters=True,  # they are people's data, and an exception's text goes anywhere
        )
        event.listen(engine, "do_connect", self._before_connect)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        super().__init__(engine, encryption=encryption, own_key_file=path.with_name(f"{path.name}.key"))
        self._immediate = engine.execution_options(leadwire_synchronous="FULL")
        self._lazy = engine.execution_options(leadwire_synchronous="NORMAL")

    def insert(self, table: sa.Table) -> Any:  # noqa: ANN401
        """Make SQLite's insert."""
        return sqlite.insert(table)

    def many(self, table: sa.Table, columns: Sequence[str], finish: Callable[[Any], Any]) -> Many:
        """Put as many rows as may be into one statement.

        The driver lets go of the interpreter at every step of a statement, and `executemany` is a statement a row: in a
        process of several threads each would wait for the interpreter again, while others wait for the lock.
        """
        row = finish(sqlite.insert(table).values({name: sa.bindparam(name) for name in columns}))
        compiled = row.compile(self.engine)
        if compiled.positiontup != list(columns):
            msg = f"{table.name}: a row is {columns}, the statement takes {compiled.positiontup}"
            raise ValueError(msg)
        one = f"({', '.join('?' * len(columns))})"
        before, after = str(compiled).split(f"VALUES {one}")
        most = MAX_PARAMETERS // len(columns)

        def run(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
            changed = 0
            for some in (rows[start : start + most] for start in range(0, len(rows), most)):
                text = f"{before}VALUES {', '.join([one] * len(some))}{after}"
                changed += driver_of(connection).execute(text, tuple(chain.from_iterable(some))).rowcount
            return changed

        return run

    def among(self, column: sa.Column[Any]) -> Among:
        """Have few texts for any number of values, so that the driver knows them: the last value fills up."""
        before = str(sa.select(column.table).compile(self.engine))

        def run(connection: Connection, values: Collection[Any]) -> Sequence[tuple[Any, ...]]:
            if not values:
                return []
            wanted = list(values)
            wanted += wanted[-1:] * ((1 << (len(wanted) - 1).bit_length()) - len(wanted))
            text = f"{before} WHERE {column.name} IN ({', '.join('?' * len(wanted))})"
            found: list[tuple[Any, ...]] = driver_of(connection).execute(text, wanted).fetchall()
            return found

        return run

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

    def stand_behind(self) -> None:
        """Have this process leave the lock alone for a while after each write, as long as others want it too.

        The kernel hands the lock to whoever asks first: a process of many threads would ask again before the one that
        it has just woken comes round to it.
        """
        self._behind = True

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
        self._see_same_file()
        # Only where there is no file yet: closing a descriptor of it would drop every lock that SQLite has on it in
        # this process, and another one that closes the store would take itself for the last and remove our log.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._file = _identity(self.path.stat())

    def _see_same_file(self) -> None:
        """Refuse to go on in a file that was removed or replaced: what is written there is gone at the next start."""
        if self._file is None:
            return
        try:
            same = _identity(self.path.stat()) == self._file
        except FileNotFoundError:
            same = False
        if not same:
            raise OSError(errno.ESTALE, "the file was removed or replaced under a running process; restart Leadwire")

    def _writer(self, *, durable: bool) -> Engine:
        return self._immediate if durable else self._lazy

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._thread_lock:
            if self._lock_file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._take(self._lock_file)
            begun = time.monotonic()
            try:
                self._see_same_file()
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)
                if self._behind:
                    self._give_way(begun)

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._met_others = time.monotonic()

    def _give_way(self, begun: float) -> None:
        """Keep the threads of this process away from the lock, if others were met there lately."""
        now = time.monotonic()
        if now - self._met_others < CONTENDED:
            time.sleep(min(max(GIVES_WAY * (now - begun), GIVES_WAY_LEAST), GIVES_WAY_MOST))

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


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


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
    synchronous = connection.get_execution_options().get("leadwire_synchronous")
    if synchronous is None:
        connection.exec_driver_sql("BEGIN")
        return
    if connection.info.get("synchronous") != synchronous:
        connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
        connection.info["synchronous"] = synchronous
    connection.exec_driver_sql("BEGIN IMMEDIATE")
