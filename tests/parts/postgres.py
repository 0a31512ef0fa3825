"""PostgreSQL, and with it the store on both databases, for every test as good as new.

SQLite's file is copied from a migrated one. On PostgreSQL making a database costs a quarter of a second, so that each
test process has one and empties it before every test.

LEADWIRE_TEST_POSTGRES names another server (a URL whose user may make databases); else the one of this machine is
taken, and started where Debian's cluster stands still.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field

import psycopg
import pytest
import sqlalchemy as sa

from app.store import open_store
from app.store.tables import metadata
from tests.parts import unavailable

START_SECONDS = 30
SOCKET = "/var/run/postgresql"


def _candidates():
    given = os.environ.get("LEADWIRE_TEST_POSTGRES")
    if given:
        return [given]
    user = getpass.getuser()
    return [f"postgresql://{user}@127.0.0.1/postgres", f"postgresql://{user}@/postgres?host={SOCKET}"]


def _answering():
    for url in _candidates():
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.Error:
            continue
        return url
    return None


def _run(*command):
    # Fixed commands of Debian's, without a shell; whether they worked is seen by the server's answer.
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def _start_cluster():
    """Start Debian's first cluster and give this user a role in it, as far as this user may."""
    if os.environ.get("LEADWIRE_TEST_POSTGRES") or not shutil.which("pg_ctlcluster"):
        return
    clusters = _run("pg_lsclusters", "--no-header").stdout.split()
    if len(clusters) >= 2:
        _run("pg_ctlcluster", clusters[0], clusters[1], "start")
        if os.geteuid() == 0:
            _run("runuser", "-u", "postgres", "--", "createuser", "--superuser", getpass.getuser())


@dataclass
class Server:
    """A running PostgreSQL; `url` leads to its maintenance database."""

    url: str
    made: list[str] = field(default_factory=list)

    def url_of(self, name):
        return sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def create(self):
        """Make an empty database and give its URL."""
        name = f"leadwire_test_{os.getpid()}_{secrets.token_hex(4)}"
        self.sql(f'CREATE DATABASE "{name}"')
        self.made.append(name)
        return self.url_of(name)

    def drop(self, url):
        """Drop a database, whoever is still connected."""
        name = sa.make_url(url).database
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.made.remove(name)

    def sql(self, statement):
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def kick(self, url):
        """Break every connection to a database; gives how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query, (sa.make_url(url).database,)).fetchone()[0]


def running():
    """Give the server in which databases can be made, started if need be; None where there is none."""
    url = _answering()
    if url is None:
        _start_cluster()
        give_up = time.monotonic() + START_SECONDS
        while (url := _answering()) is None and time.monotonic() < give_up and shutil.which("pg_ctlcluster"):
            time.sleep(0.2)
    return Server(url) if url is not None else None


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server in which databases can be made."""
    server = running()
    if server is None:
        unavailable("PostgreSQL", "install Debian's postgresql, or name a server in LEADWIRE_TEST_POSTGRES")
    yield server
    for name in list(server.made):
        server.drop(server.url_of(name))


@pytest.fixture(scope="session")
def postgres_database(postgres_server):
    """The URL of this process's migrated database, in whatever state the last test left its rows."""
    url = postgres_server.create()
    _migrate(url)
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """A migrated SQLite file that others are copied from."""
    path = tmp_path_factory.mktemp("template") / "leadwire.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url):
    store = open_store(url)
    store.migrate()
    store.close()


@pytest.fixture
def postgres_url(postgres_server, postgres_database):
    """A migrated PostgreSQL database without a row in it or a connection to it."""
    postgres_server.kick(postgres_database)
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
    return postgres_database


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    """A migrated SQLite database of this test's own."""
    shutil.copy(sqlite_template, tmp_path / "leadwire.db")
    return f"sqlite:///{tmp_path}/leadwire.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """Which database: whatever asks for this runs on both."""
    return request.param


@pytest.fixture
def store_url(database, request):
    """A migrated database with nothing in it, on both."""
    return request.getfixturevalue("sqlite_url" if database == "sqlite" else "postgres_url")


@pytest.fixture
def empty_url(database, request, tmp_path):
    """A database without a schema, on both."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path}/new/leadwire.db"
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
def opened():
    """Open stores by URL; afterwards each must have all its connections back, and is closed."""
    stores = []

    def open_one(url):
        stores.append(open_store(url))
        return stores[-1]

    yield open_one
    for store in stores:
        store.keyring.close()  # a look for newer keys may be under way
    lent = [store.engine.pool.checkedout() - len(getattr(store, "_names", ())) * _per_name(store) for store in stores]
    for store in stores:
        store.close()
    assert not any(lent), "connections were not given back to their pool"


def _per_name(store):
    """How many connections a worker's name holds on purpose."""
    return 0 if store.engine.dialect.name == "sqlite" else 1


@pytest.fixture
def store(store_url, opened):
    """A migrated store on both databases."""
    return opened(store_url)
