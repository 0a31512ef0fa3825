"""Opening the store: durable, private, patient with a database that is away, and awake when something comes."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.settings import Secret
from app.store import StoreUnavailable, open_store
from app.store.tables import audit, deliveries, meta
from tests.parts.arrivals import arrival, in_processes, keep, outbox, put_one, rows

HOLD_A_NAME = """
import sys, time
from app.store import open_store
print(open_store(sys.argv[1]).take_worker_name(), flush=True)
time.sleep(60)
"""
FILL_THE_DISK = """
import resource, signal, sys
from app.store import StoreUnavailable, open_store
from tests.parts.arrivals import arrival, keep, rows
from app.store.tables import receipts
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = open_store(sys.argv[1])
keep(store, arrival(1))
limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
try:
    keep(store, arrival(2))
except StoreUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
print(keep(store, arrival(3))[0].status, [row["id"][:8] for row in rows(store, receipts)])
"""


@pytest.fixture
def helper():
    """Start Python with a text and arguments; what still runs afterwards is killed."""
    started = []

    def start(text, *arguments):
        command = [sys.executable, "-c", text, *arguments]
        started.append(subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


# Durable and private


def test_sqlite_waits_for_the_disk_and_keeps_foreign_keys(sqlite_url, opened):
    with opened(sqlite_url).read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")
        }
        assert found == {"synchronous": 2, "journal_mode": "wal"}
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_sqlite_takes_the_write_lock_when_a_write_begins_and_none_for_a_read(sqlite_url, opened):
    """A lock taken in the middle of a transaction can't be waited for."""
    store, statements = opened(sqlite_url), []
    sa.event.listen(store.engine, "connect", lambda connection, _: connection.set_trace_callback(statements.append))
    with store.write() as connection:
        connection.execute(meta.insert().values(name="one", value=b""))
    rows(store, meta)
    assert [one for one in statements if one.startswith("BEGIN")] == ["BEGIN IMMEDIATE", "BEGIN"]


def test_sqlite_files_are_for_their_owner_alone(tmp_path, opened):
    before = os.umask(0)
    try:
        store = opened(f"sqlite:///{tmp_path}/new/leadwire.db")
        store.migrate()
        keep(store, arrival())
        store.take_worker_name()
        store.listen().close()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert {"leadwire.db", "leadwire.db-wal", "leadwire.db-shm", "leadwire.db.lock", "leadwire.db.wake"} <= set(modes)
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("name", ["50%.db", "what?.db", "a b#c.db"])
def test_sqlite_takes_the_path_as_it_is_written(tmp_path, name, opened):
    opened(f"sqlite:///{tmp_path}/{name}").migrate()
    assert (tmp_path / name).exists()


def test_a_write_that_fails_leaves_nothing(store):
    def fail():
        with store.write() as connection:
            connection.execute(meta.insert().values(name="half", value=b""))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "half" not in [row["name"] for row in rows(store, meta)]
    store.check_writable()


def test_a_reader_sees_one_moment_whatever_is_written_meanwhile(store):
    count = sa.select(sa.func.count()).select_from(meta)
    with store.read() as connection:
        before = connection.execute(count).scalar()
        with store.write() as other:
            other.execute(meta.insert().values(name="one", value=b""))
        assert connection.execute(count).scalar() == before
    assert len(rows(store, meta)) == before + 1


def test_the_salt_is_the_same_for_every_process(store, store_url, opened):
    assert store.salt() == opened(store_url).salt()
    assert len(store.salt()) == 32


def test_an_exception_of_the_driver_never_shows_what_was_written(store):
    row = {"at": 1, "actor": "someone@contoso.com", "action": "a", "target": None, "why": ""}
    with pytest.raises(sa.exc.IntegrityError) as caught, store.write() as connection:
        connection.execute(audit.insert(), row)
    first_line = str(caught.value).splitlines()[0]
    assert "target" in first_line
    assert "[parameters:" not in str(caught.value)
    assert "contoso" not in first_line


# Away


def test_a_file_that_is_no_database_is_a_store_that_is_away(tmp_path, opened):
    (tmp_path / "leadwire.db").write_bytes(b"This is not a database. " * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        opened(f"sqlite:///{tmp_path}/leadwire.db").migrate()


def test_a_folder_in_the_files_place_is_a_store_that_is_away(tmp_path, opened):
    (tmp_path / "leadwire.db").mkdir()
    store = opened(f"sqlite:///{tmp_path}/leadwire.db")
    for attempt in (store.migrate, store.check_writable, store.salt):
        with pytest.raises(StoreUnavailable):
            attempt()


def test_a_full_disk_is_said_so_and_once_there_is_room_leads_are_kept_again(sqlite_url, helper):
    process = helper(FILL_THE_DISK, sqlite_url)
    *_, said, after = process.communicate(timeout=60)[0].splitlines()
    assert said.startswith("SQLite ")
    assert "disk" in said
    assert after == "accepted ['00000001', '00000003']"


def test_a_server_that_does_not_answer_is_a_store_that_is_away():
    store = open_store("postgresql://someone@127.0.0.1:1/leadwire", Secret("hunter2"))
    for attempt in (store.migrate, store.check_writable, store.take_worker_name):
        with pytest.raises(StoreUnavailable, match="refused") as caught:
            attempt()
        assert "hunter2" not in str(caught.value)
        assert caught.value.__suppress_context__
    assert "hunter2" not in repr(store.engine)


def test_a_connection_that_the_server_broke_costs_no_lead(postgres_url, postgres_server, opened):
    store = opened(postgres_url)
    keep(store, arrival(1))
    assert postgres_server.kick(postgres_url)
    assert keep(store, arrival(2))[0].status == "accepted"


def test_a_connection_broken_in_the_middle_is_a_store_that_is_away(postgres_url, postgres_server, opened):
    store = opened(postgres_url)

    def read():
        with store.read() as connection:
            postgres_server.kick(postgres_url)
            connection.execute(sa.select(meta))

    with pytest.raises(StoreUnavailable, match="terminating"):
        read()
    store.check_writable()


# Worker names


def test_workers_on_one_store_have_different_names(store_url, opened):
    names = {opened(store_url).take_worker_name() for _ in range(3)}
    assert len(names) == 3


def test_a_closed_store_gives_its_name_back(store_url, opened):
    first, other = opened(store_url), opened(store_url)
    name = first.take_worker_name()
    assert not other.is_name_free(name)
    first.close()
    assert eventually(lambda: other.is_name_free(name))
    assert other.take_worker_name() == name


def test_asking_whether_a_name_is_free_does_not_take_it(store_url, opened):
    store, other = opened(store_url), opened(store_url)
    assert store.is_name_free("host-1")
    assert other.is_name_free("host-1")
    assert store.engine.pool.checkedout() == 0


def test_kill_9_gives_the_name_back(store_url, opened, helper):
    process = helper(HOLD_A_NAME, store_url)
    name = process.stdout.readline().strip()
    store = opened(store_url)
    assert not store.is_name_free(name)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert eventually(lambda: store.is_name_free(name))
    assert store.take_worker_name() == name


def test_a_dead_workers_leases_are_freed_and_a_live_ones_are_not(store, store_url, opened):
    alive = opened(store_url)
    name = alive.take_worker_name()
    keep(store, arrival(1, to=["table"]), arrival(2, to=["mail"]))
    for worker, destination in ((name, "table"), ("gone-7", "mail")):
        box = outbox(store, worker)
        box.start(now=1)
        box.claim(destination, limit=1, now=arrival().received_at)
    assert outbox(store, "here-1").start(now=1 + store.silent_ms) == 1
    assert {row["destination"]: row["state"] for row in rows(store, deliveries)} == {"table": "sending", "mail": "due"}


# Waking


def eventually(holds, *, within=20.0):
    """Whether something comes to hold; generous, because the machine may be busy."""
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if holds():
            return True
        time.sleep(0.02)
    return False


def woken(wakeup, *, within=20.0):
    """How long a listener slept, asked to sleep longer than any test."""
    begun = time.monotonic()
    wakeup.wait(within)
    return time.monotonic() - begun


def test_a_lead_kept_by_another_process_wakes_who_listens(store, store_url):
    wakeup = store.listen()
    try:
        in_processes(1, put_one, store_url)
        assert woken(wakeup) < 10  # at once, in fact: it had come already
        sleeping = threading.Timer(0.2, keep, (store, arrival()))
        sleeping.start()
        assert woken(wakeup) < 10
        sleeping.join()
    finally:
        wakeup.close()


def test_what_was_heard_is_heard_once(store):
    wakeup = store.listen()
    try:
        keep(store, arrival(1), arrival(2))
        assert woken(wakeup) < 10
        eventually(lambda: woken(wakeup, within=0.2) >= 0.2)
        assert woken(wakeup, within=0.3) >= 0.3
    finally:
        wakeup.close()


def test_nobody_listening_is_no_error(store):
    wakeup = store.listen()
    wakeup.close()
    assert keep(store, arrival())[0].status == "accepted"


def test_a_pipe_that_nobody_empties_does_not_stop_leads(sqlite_url, opened):
    store = opened(sqlite_url)
    wakeup = store.listen()
    try:
        for _ in range(70_000):  # a pipe holds 65,536 bytes
            store.wake()
        assert keep(store, arrival())[0].status == "accepted"
    finally:
        wakeup.close()


def test_listening_survives_that_the_server_breaks_the_connection(postgres_url, postgres_server, opened):
    store = opened(postgres_url)
    wakeup = store.listen()
    try:
        assert postgres_server.kick(postgres_url)
        wakeup.wait(0.1)  # finds it broken
        wakeup.wait(0.1)  # listens again
        store.check_writable()
        keep(store, arrival())
        assert woken(wakeup) < 10
    finally:
        wakeup.close()


def test_listening_begins_once_a_server_is_there_and_is_no_error_before():
    wakeup = open_store("postgresql://someone@127.0.0.1:1/leadwire").listen()
    wakeup.wait(0.01)
    wakeup.close()


LOOK_AND_CLOSE = """
import sys
from app.store import open_store
from app.store.tables import receipts
from tests.parts.arrivals import rows
store = open_store(sys.argv[1])
print(len(rows(store, receipts)))
store.close()
"""


def test_who_looks_and_closes_takes_the_log_from_nobody(sqlite_url, helper, opened):
    store = opened(sqlite_url)
    with store.read() as first, store.read() as second:  # two connections of one process
        assert first is not second
    keep(store, arrival(1))
    for number in (2, 3):
        seen = helper(LOOK_AND_CLOSE, sqlite_url).communicate(timeout=60)[0].split()[-1]
        assert seen == str(number - 1)
        keep(store, arrival(number))
    assert helper(LOOK_AND_CLOSE, sqlite_url).communicate(timeout=60)[0].split()[-1] == "3"
