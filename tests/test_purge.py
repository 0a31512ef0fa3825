"""What is too old goes by itself, once a day and for good; what waits stays, and a purge that fails is told."""

import threading
import time

import pytest
import sqlalchemy as sa

from app.alerts.troubles import PURGE_FAILING, Troubles
from app.lead import Lead
from app.operations.upkeep import Upkeep
from app.store import open_store
from app.store.acts import Acts
from app.store.auditing import verify
from app.store.desk import alerts, problems
from app.store.problems import Evidence, ProblemLog
from app.store.purging import AGAIN_MS, EVERY_MS, LONGEST_MS, PurgeBook
from app.store.tables import attempts, audit, deliveries, receipts
from app.worker import Worker
from tests.parts.arrivals import DAY, NOW, SOMEONE, arrival, id_of, keep, result, rows, settle, together, unreadable
from tests.parts.desk import desk  # noqa: F401  (a fixture)

OLD = NOW - 400 * DAY


def purge(store, before=NOW):
    return Acts(store).purge(leads=before, tests=before, bodies=before, tries=before, keys=before, now=NOW, who=SOMEONE)


# For good


def test_nothing_of_what_was_purged_is_in_any_file(sqlite_url, tmp_path, opened):
    """Also what is not sealed: names of offers, record ids, codes, evidence, in tables and in indexes."""
    store = opened(sqlite_url)
    marks = {name: f"canary-of-{name}" for name in ("offer", "remote", "raw", "evidence", "alert", "error")}
    leads = [arrival(number, at=OLD, lead=Lead(last_name="x", offer_id=marks["offer"])) for number in range(1, 40)]
    keep(store, *leads, unreadable(50, at=OLD, duplicate_key=b"canary-of-a--key"))
    settle(store, lambda claim: result(claim, remote_id=marks["remote"], raw_code=marks["raw"]), now=OLD)
    with store.write() as connection:
        connection.execute(sa.text("UPDATE quarantine SET error = :it"), {"it": f'{{"title": "{marks["error"]}"}}'})
        found = Evidence(code="x", text=marks["evidence"])
        ProblemLog(store).noted(connection, "table", found, now=OLD)
        connection.execute(problems.update().values(closed_at=OLD))
        (row,) = connection.execute(sa.select(problems.c.id)).all()
        told = {"id": id_of(1), "channel": "mail", "problem_id": row.id, "kind": "opened", "made_at": OLD}
        connection.execute(alerts.insert().values(**told, text=marks["alert"], due_at=OLD, sent_at=OLD))
        seals = [bytes(one) for one in connection.execute(sa.select(receipts.c.sealed)).scalars() if one]
    wanted = [*(mark.encode() for mark in marks.values()), b"canary-of-a--key", *(seal[:40] for seal in seals)]
    assert len(wanted) == 7 + 39
    assert all(one in _files(tmp_path) for one in wanted)
    counts = purge(store)
    assert (counts["leads"], counts["quarantined"], counts["attempts"]) == (39, 1, 0)  # attempts went with the leads
    assert [one for one in wanted if one in _files(tmp_path)] == []


def _files(folder):
    return b"".join(path.read_bytes() for path in folder.glob("leadwire.db*") if path.is_file())


# What waits


@pytest.mark.parametrize("late", ["replayed", "owed to one more"])
def test_a_lead_that_begins_to_wait_while_it_is_purged_stays(store_url, opened, late):
    mine, theirs = opened(store_url), opened(store_url)
    keep(mine, arrival(1, at=OLD), arrival(2, at=OLD))
    settle(mine, result, now=OLD)
    theirs.salt()
    purging = threading.Thread(target=purge, args=(theirs,))
    first = deliveries.c.receipt_id == id_of(1)
    with mine.write() as connection:
        if late == "replayed":
            connection.execute(deliveries.update().where(first).values(state="due"))
        else:
            owed = {"destination": "crm", "state": "due", "due_at": NOW, "updated_at": NOW}
            connection.execute(deliveries.insert().values(receipt_id=id_of(1), **owed))
        purging.start()
        time.sleep(0.5)
    purging.join(20)
    assert [row["id"] for row in rows(mine, receipts)] == [id_of(1)]


def test_what_is_purged_leaves_a_count_in_the_audit_and_the_chain_holds(store):
    keep(store, arrival(1, at=OLD, to=()), unreadable(2, at=OLD))
    purge(store)
    (row,) = rows(store, audit)
    assert (row["action"], row["target"]) == (
        "purge", '{"leads": 1, "test_leads": 0, "quarantined": 1, "attempts": 0}',
    )  # fmt: skip
    assert verify(store).fault is None


# By itself


def test_the_first_purge_is_due_a_day_after_the_first_look_then_every_day(store):
    book = PurgeBook(store)
    assert not book.begin(now=NOW)
    assert not book.begin(now=NOW + EVERY_MS - 1)
    assert book.begin(now=NOW + EVERY_MS)
    book.end(now=NOW + EVERY_MS + 5)
    assert not book.begin(now=NOW + 2 * EVERY_MS + 4)
    assert book.begin(now=NOW + 2 * EVERY_MS + 5)


def test_one_host_of_many_does_it(store_url, opened):
    store = opened(store_url)
    assert not PurgeBook(store).begin(now=NOW)
    assert sorted(together(6, begin, store_url, NOW + EVERY_MS)) == [False] * 5 + [True]


def begin(url, now):
    store = open_store(url)
    try:
        return PurgeBook(store).begin(now=now)
    finally:
        store.close()


def test_one_that_was_cut_off_is_taken_up_again_after_an_hour_and_told_if_it_never_ends(store):
    book = PurgeBook(store)
    book.begin(now=NOW - EVERY_MS)
    for hour in range(7):
        assert book.begin(now=NOW + hour * AGAIN_MS)
        assert not book.begin(now=NOW + hour * AGAIN_MS + 1)
    assert book.failing(now=NOW + LONGEST_MS) is None
    assert book.failing(now=NOW + LONGEST_MS + 1).unfinished_since == NOW
    book.end(now=NOW + LONGEST_MS + 2)
    assert book.failing(now=NOW + LONGEST_MS + 3) is None


def test_a_moment_that_was_written_while_a_clock_was_wrong_does_not_hold_it_up(store):
    book = PurgeBook(store)
    book.begin(now=NOW + 1000 * DAY)
    assert book.begin(now=NOW)


def upkeep(desk):  # noqa: F811
    return Upkeep(desk.store, lambda: desk.operations, now=lambda: desk.moment)


def test_what_retention_says_is_purged_by_itself_a_day_later(desk):  # noqa: F811
    keep(desk.store, arrival(1, at=NOW - 179 * DAY, to=()), arrival(2, at=NOW - 178 * DAY, to=()))
    assert not upkeep(desk).look()
    desk.later(days=1, minutes=1)
    assert upkeep(desk).look()
    assert [row["id"] for row in rows(desk.store, receipts)] == [id_of(2)]
    (act,) = desk.operations.audit(action="purge")
    assert act["actor"] == "leadwire:upkeep"
    assert not upkeep(desk).look()


def test_a_purge_that_fails_is_told_as_a_problem_until_one_is_done(desk, capsys):  # noqa: F811
    keep(desk.store, arrival(1, at=OLD, to=()))
    refuse = "CREATE TRIGGER broken BEFORE DELETE ON receipts BEGIN SELECT RAISE(ABORT, 'someone@contoso.com'); END"
    with desk.store.write() as connection:
        connection.exec_driver_sql(refuse)
    upkeep(desk).look()
    desk.later(days=2)
    assert not upkeep(desk).look()
    logged = capsys.readouterr().out
    assert "purge.failed" in logged
    assert "contoso" not in logged
    (trouble,) = failing(desk)
    assert trouble.evidence == "It failed: IntegrityError."
    desk.later(minutes=30)
    assert not upkeep(desk).look()
    with desk.store.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER broken")
    desk.later(minutes=31)
    assert upkeep(desk).look()
    assert failing(desk) == []
    assert rows(desk.store, receipts) == []


def failing(desk):  # noqa: F811
    """What the watch sees of it."""
    now = round(desk.moment.timestamp() * 1000)
    troubles = Troubles(desk.store, desk.wiring.settings.alerts, {"table": "file", "crm": "file"}).now(
        now, beside_worker=True
    )
    return [one for one in troubles if one.code == PURGE_FAILING]


def test_it_goes_on_when_the_store_is_away_for_a_moment(desk):  # noqa: F811
    """The thread is the same afterwards: what it meets is logged."""
    stopping = threading.Event()
    own = upkeep(desk)
    desk.store.close()
    desk.store.path.rename(desk.store.path.with_suffix(".away"))
    thread = threading.Thread(target=own.run, args=(stopping,))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_worker_sees_to_it(desk):  # noqa: F811
    worker = Worker(desk.wiring)
    running = threading.Thread(target=worker.run)
    running.start()
    give_up = time.monotonic() + 10
    while "upkeep" not in {one.name for one in threading.enumerate()} and time.monotonic() < give_up:
        time.sleep(0.05)
    assert "upkeep" in {one.name for one in threading.enumerate()}
    worker.stop()
    running.join(10)


def test_attempts_go_by_their_own_age_although_the_lead_stays(desk):  # noqa: F811
    keep(desk.store, arrival(1, at=NOW - 10 * DAY))
    settle(desk.store, result, now=NOW - 200 * DAY)
    desk.operations.purge(who=SOMEONE)
    assert rows(desk.store, attempts) == []
    assert len(rows(desk.store, receipts)) == 1
