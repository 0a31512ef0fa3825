"""A SQLite store moves to PostgreSQL while it is in use, and both hold the same, whatever happens meanwhile."""

import random
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.lead import Lead
from app.settings import Secret
from app.settings.model import Encryption
from app.store import StoreUnavailable, open_store
from app.store.copying import Copy, CopyFault, abandon, changes, following
from app.store.copying.comparing import content
from app.store.desk import problems
from app.store.tables import LONGEST_OFFER, State, audit, deliveries, meta, metadata, receipts, workers
from app.wiring import utc_now
from tests.parts.arrivals import (
    NOW,
    arrival,
    dead,
    failed,
    id_of,
    inbox,
    keep,
    lead_of,
    outbox,
    result,
    rows,
    settle,
    unreadable,
)


@pytest.fixture
def empty_postgres(postgres_server):
    """Make empty PostgreSQL databases."""
    made = []

    def make():
        made.append(postgres_server.create())
        return made[-1]

    yield make
    for url in made:
        postgres_server.drop(url)


@pytest.fixture
def goal(empty_postgres):
    return empty_postgres()


@pytest.fixture
def source(sqlite_url, opened):
    return opened(sqlite_url)


@pytest.fixture
def target(goal, opened):
    return opened(goal)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    """So that a few leads are many batches."""
    monkeypatch.setattr(following, "BATCH", 3)


def fill(store, *, number=20):
    """Leads in several states, with what texts may hold, and bodies that are none."""
    for one in range(1, number + 1):
        person = Lead(email=f"{one}@contoso.com", company="\u0141\u00f3d\u017a \U0001f642", extra={"note": "\x00"})
        keep(store, lead_of(store, one, person, to=("crm", "table")))
    keep(store, unreadable(number + 1), unreadable(number + 2, body=None))
    settle(store, lambda claim: dead(claim) if claim.receipt_id[7] in "13579" else failed(claim, due=NOW + 1000))


def same(source, target):
    with source.read() as ours, target.read() as theirs:
        tables = metadata.sorted_tables
        return [content(ours, table) for table in tables] == [content(theirs, table) for table in tables]


def copied(source, target):
    """A copy that is compared, but not moved."""
    copy = Copy(source, target, now=utc_now)
    assert copy.prepare() is False
    copy.run(lambda _: None)
    copy.prove(lambda _: None)
    return copy


def moved(source, target):
    """All steps, as the command takes them; gives what each table holds."""
    copy = copied(source, target)
    copy.quieten(seconds=0)
    found = copy.move()
    copy.open()
    return found


def test_a_copy_holds_the_same_and_is_used_like_the_store_it_was_made_of(source, target, goal):
    fill(source)
    found = moved(source, target)
    assert same(source, target)
    assert (found["receipts"].rows, found["deliveries"].rows, found["quarantine"].rows) == (22, 40, 2)
    key = Path(f"{source.path}.key")
    used = open_store(goal, encryption=Encryption(key=Secret(key.read_text(), reference=f"file:{key}"), previous=None))
    used.migrate()
    keep(used, lead_of(used, 900, Lead(email="900@contoso.com"), to=("crm",)))
    claims = outbox(used).claim("crm", limit=100, now=NOW)
    assert sorted(claim.lead.email for claim in claims) == sorted(f"{one}@contoso.com" for one in (*range(1, 21), 900))
    used.close()


def test_what_only_sqlite_can_hold_is_copied_as_far_as_postgresql_can(source, target):
    fill(source)
    long = "".join(chr(0x20AC + number) for number in range(9000))  # nothing that an index could compress
    odd = {1: {"offer": long}, 2: {"lead_source": "App\0Source"}, 3: {"lead_source": long}}
    with source.write() as connection:
        for number, values in odd.items():
            connection.execute(receipts.update().where(receipts.c.id == id_of(number)).values(**values))
    moved(source, target)
    with target.read() as connection:
        kept = {row.id: row for row in connection.execute(sa.select(receipts))}
    assert kept[id_of(1)].offer == long[:LONGEST_OFFER]
    assert kept[id_of(2)].lead_source == "AppSource"
    assert kept[id_of(3)].lead_source == long


def test_what_the_database_numbers_itself_goes_on_after_what_was_copied(source, target):
    def note(store):
        with store.write() as connection:
            row = audit.insert().values(at=1, actor="someone", action="replay", target="", why="")
            return connection.execute(row).inserted_primary_key[0]

    for _ in range(3):
        note(source)
    moved(source, target)
    assert note(target) == 4


def test_indexes_and_constraints_are_those_of_any_store(source, target, opened, empty_postgres):
    fill(source, number=2)
    moved(source, target)
    other = opened(empty_postgres())
    other.migrate()
    queries = (
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1",
    )
    for query in queries:
        found = []
        for store in (target, other):
            with store.read() as connection:
                found.append([tuple(row) for row in connection.exec_driver_sql(query)])
        assert found[0] == found[1]


def test_what_changes_meanwhile_is_copied_too_whatever_it_is(source, target):
    """Seeded: leads come, are claimed, sent, erased and purged, problems open and close, between any two batches."""
    fill(source, number=30)
    dice = random.Random(7)
    fresh = iter(range(1000, 9000))

    def change(_=None):
        kind = dice.choice(["new", "send", "delete", "problem", "beat"])
        some = dice.choice(rows(source, receipts))["id"]
        with source.write() as connection:
            if kind == "delete":
                connection.execute(receipts.delete().where(receipts.c.id == some))
            elif kind == "problem":
                # Closed and opened again: for a moment both are in the target, out of order.
                connection.execute(problems.update().values(closed_at=NOW))
                new = {"id": id_of(next(fresh)), "destination": "crm", "code": "network.timeout"}
                connection.execute(problems.insert().values(**new, opened_at=NOW, last_at=NOW))
            elif kind == "beat":
                row = source.insert(workers).values(name="host-1", started_at=NOW, seen_at=dice.randrange(NOW))
                again = row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": row.excluded.seen_at})
                connection.execute(again)
        if kind == "new":
            keep(source, lead_of(source, next(fresh), Lead(email="new@contoso.com"), to=("crm",)))
        elif kind == "send":
            settle(source, result, destination="crm", limit=3)

    copy = Copy(source, target, now=utc_now)
    copy.prepare()
    copy.run(change)
    for _ in range(30):
        change()
    copy.prove(change)
    assert not same(source, target)
    for _ in range(30):
        change()
    found = copy.move()
    copy.open()
    assert same(source, target)
    with source.read() as connection:
        assert {table.name: content(connection, table) for table in metadata.sorted_tables} == found


def test_a_copy_that_was_cut_off_anywhere_goes_on_where_it_was(source, target):
    class Cut(Exception):  # noqa: N818
        pass

    fill(source)
    left = []
    for number in range(1, 200):
        copy = Copy(source, target, now=utc_now)
        assert copy.prepare() is False
        left.append(copy.left())
        batches = iter(range(2))

        def cut(_, batches=batches, number=number):
            keep(source, lead_of(source, 1000 + number, Lead(email="new@contoso.com"), to=("crm",)))
            if next(batches, None) is None:
                raise Cut

        try:
            copy.run(cut)
        except Cut:
            continue
        break
    assert len(left) > 10
    assert left[-1] < left[0]
    copy.prove(lambda _: None)
    copy.move()
    assert same(source, target)


def test_half_a_copy_is_not_used_and_a_whole_one_is_no_target_again(source, target):
    fill(source, number=2)
    copy = copied(source, target)
    with pytest.raises(StoreUnavailable, match="is being copied into it"):
        target.migrate()
    copy.move()
    with pytest.raises(StoreUnavailable, match="is being copied into it"):
        target.migrate()
    again = Copy(source, target, now=utc_now)  # cut off between the last two steps
    assert again.prepare() is True
    again.prove(lambda _: None, closed=True)
    again.open()
    target.migrate()
    with pytest.raises(CopyFault, match=r"was copied to PostgreSQL .* already"):
        Copy(source, target, now=utc_now).prepare()


def test_a_source_that_has_moved_takes_nothing_more_and_says_where_to(source, target, sqlite_url, opened):
    fill(source, number=2)
    running = opened(sqlite_url)
    keep(running, arrival(500))
    before = rows(running, receipts)
    moved(source, target)
    where_to = f"copied to {target.name}"
    with pytest.raises(StoreUnavailable, match=where_to):
        inbox(running).put(arrival(501))
    with pytest.raises(StoreUnavailable, match=where_to):
        running.check_writable()
    with pytest.raises(StoreUnavailable, match=where_to):
        outbox(running).claim("crm", limit=1, now=NOW)
    with pytest.raises(StoreUnavailable, match=where_to):
        opened(sqlite_url).migrate()
    assert rows(running, receipts) == before


def test_a_difference_is_found_and_nothing_is_moved(source, target):
    fill(source, number=3)
    copy = Copy(source, target, now=utc_now)
    copy.prepare()
    copy.run(lambda _: None)
    with target.write() as connection:
        connection.execute(receipts.update().where(receipts.c.id == id_of(2)).values(offer="another"))
    with pytest.raises(CopyFault, match="differs in receipts"):
        copy.prove(lambda _: None)
    keep(source, arrival(500))


def test_a_row_that_is_lost_after_the_comparison_is_found_before_the_source_closes(source, target):
    fill(source, number=3)
    copy = copied(source, target)
    with target.write() as connection:
        connection.execute(deliveries.delete().where(deliveries.c.receipt_id == id_of(2)))
    with pytest.raises(CopyFault, match="differs in the number of deliveries"):
        copy.move()
    keep(source, arrival(500))


def test_a_target_with_leads_of_its_own_is_refused(source, target):
    target.migrate()
    keep(target, arrival(1))
    with pytest.raises(CopyFault, match=r"is not empty: .*receipts"):
        Copy(source, target, now=utc_now).prepare()
    with source.read() as connection:
        assert not [name for name in sa.inspect(connection).get_table_names() if name.startswith(changes.LOG)]


def test_a_target_that_is_half_another_store_s_copy_is_refused(source, target, sqlite_template, tmp_path, opened):
    other = tmp_path / "other.db"
    other.write_bytes(sqlite_template.read_bytes())
    Copy(opened(f"sqlite:///{other}"), target, now=utc_now).prepare()
    with pytest.raises(CopyFault, match="a part of another store's copy"):
        Copy(source, target, now=utc_now).prepare()


def test_before_the_source_closes_workers_end_what_they_have_and_begin_nothing(source, target):
    fill(source, number=4)
    box = outbox(source, lease=60)
    real = round(utc_now().timestamp() * 1000)
    mine = box.claim("crm", limit=2, now=real)
    copy = copied(source, target)
    ended = threading.Timer(0.3, lambda: box.record("crm", [result(claim) for claim in mine], now=real))
    ended.start()
    assert copy.quieten(seconds=20) == 0
    ended.join()
    assert box.claim("crm", limit=2, now=real) == []
    copy.move()
    assert [row["state"] for row in rows(target, deliveries) if row["destination"] == "crm"].count(State.SENT) == 2


def test_what_does_not_end_in_time_is_told_and_moved_with_its_lease(source, target):
    fill(source, number=4)
    outbox(source, lease=60).claim("crm", limit=2, now=round(utc_now().timestamp() * 1000))
    copy = copied(source, target)
    assert copy.quieten(seconds=0) == 2
    copy.move()
    assert len([row for row in rows(target, deliveries) if row["state"] == State.SENDING]) == 2


def test_the_pause_of_a_copy_that_was_killed_ends_by_itself(source):
    fill(source, number=2)
    with source.write() as connection:
        changes.pause_claims(connection, seconds=-1)
    assert len(outbox(source).claim("crm", limit=5, now=NOW + 60_000)) == 2


def test_an_abandoned_copy_leaves_nothing_behind_in_the_source(source, target):
    fill(source, number=2)

    def schema():
        with source.read() as connection:
            return sorted(connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%%'"))

    before, known = schema(), rows(source, meta)
    copied(source, target)
    assert schema() != before
    abandon(source)
    assert (schema(), rows(source, meta)) == (before, known)
