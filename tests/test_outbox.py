"""Giving out: each delivery to one worker at a time, the longest waiting first, a parked destination left alone."""

import threading
from collections import Counter

import pytest
import sqlalchemy as sa

from app.lead import Lead
from app.retry import Verdict
from app.store.outbox import LaneState
from app.store.searching import Filter
from app.store.tables import attempts, deliveries, lanes, receipts, workers
from app.store.views import Views
from tests.parts.arrivals import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    arrival,
    dead,
    failed,
    held,
    id_of,
    keep,
    outbox,
    result,
    rows,
    settle,
)

LEASE = 180_000


def claimed(store, *, now=NOW, limit=100, worker="worker-1"):
    return outbox(store, worker).claim("table", limit=limit, now=now)


def ids(claims):
    return [claim.receipt_id for claim in claims]


def state_of(store, number=1):
    return rows(store, deliveries, deliveries.c.receipt_id == id_of(number))[0]


# Claiming


def test_a_claim_carries_the_lead_and_its_story(store):
    lead = Lead(last_name="One", extra={"a": ["b"]})
    keep(store, arrival(1, lead=lead, test=True, at=NOW - 5))
    claim = claimed(store)[0]
    assert (claim.receipt_id, claim.lead, claim.test, claim.source) == (id_of(1), lead, True, "marketplace")
    assert (claim.number, claim.tries, claim.received_at, claim.email_domain) == (1, 0, NOW - 5, None)


def test_only_what_is_due_is_claimed_the_longest_waiting_first_and_no_more_than_asked(store):
    waits = {1: NOW, 2: NOW - 50, 3: NOW + 1, 4: NOW - 100, 5: NOW - 1}
    keep(store, *(arrival(number, at=at) for number, at in waits.items()))
    assert ids(claimed(store, limit=2)) == [id_of(4), id_of(2)]
    assert ids(claimed(store)) == [id_of(5), id_of(1)]
    assert claimed(store) == []
    assert ids(claimed(store, now=NOW + 1)) == [id_of(3)]


def test_another_destinations_deliveries_are_left_alone(store):
    keep(store, arrival(1, to=["mail"]), arrival(2, to=["mail", "table"]))
    assert ids(claimed(store)) == [id_of(2)]
    assert {
        (row["receipt_id"], row["state"]) for row in rows(store, deliveries, deliveries.c.destination == "mail")
    } == {
        (id_of(1), "due"),
        (id_of(2), "due"),
    }


def test_four_workers_at_once_never_claim_the_same(store, store_url, opened):
    with store.write() as connection:
        connection.execute(receipts.insert(), [_receipt(number) for number in range(500)])
        connection.execute(deliveries.insert(), [_delivery(number) for number in range(500)])
    taken, start = [], threading.Barrier(4)

    def work(number):
        box = outbox(opened(store_url), f"worker-{number}")
        start.wait()
        while claims := box.claim("table", limit=7, now=NOW):
            taken.extend(ids(claims))
            box.record("table", [result(claim) for claim in claims], now=NOW)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(taken) == Counter(id_of(number) for number in range(500))
    assert {(row["state"], row["claims"]) for row in rows(store, deliveries)} == {("sent", 1)}
    assert len(rows(store, attempts)) == 500


def _receipt(number):
    return {"id": id_of(number), "received_at": NOW, "source": "marketplace", "status": "accepted", "test": False}


def _delivery(number, due=NOW, **more):
    values = {"receipt_id": id_of(number), "destination": "table", "state": "due", "due_at": due, "updated_at": NOW}
    return {**values, **more}


# Leases


def test_a_lease_that_ended_is_claimed_again_under_a_higher_number(store):
    keep(store, arrival())
    first = claimed(store)[0]
    assert claimed(store, now=NOW + LEASE - 1, worker="worker-2") == []
    again = claimed(store, now=NOW + LEASE, worker="worker-2")[0]
    assert (first.number, again.number) == (1, 2)


def test_who_slept_past_the_lease_records_nothing(store):
    keep(store, arrival())
    first = claimed(store)[0]
    again = claimed(store, now=NOW + LEASE, worker="worker-2")[0]
    before = state_of(store)
    assert outbox(store).record("table", [held(first)], now=NOW + LEASE) == []
    assert state_of(store) == before
    assert rows(store, attempts) == rows(store, lanes) == []
    sent = result(again, remote_id="row-1")
    assert outbox(store, "worker-2").record("table", [sent], now=NOW + LEASE) == [sent]
    assert outbox(store).record("table", [result(first, remote_id="row-2")], now=NOW + LEASE) == []
    assert (state_of(store)["state"], state_of(store)["remote_id"]) == ("sent", "row-1")


def test_of_a_batch_only_the_claims_that_still_stand_are_recorded(store):
    keep(store, arrival(1), arrival(2))
    claims = claimed(store)
    with store.write() as connection:
        connection.execute(deliveries.update().where(deliveries.c.receipt_id == id_of(1)).values(claims=9))
    kept = outbox(store).record("table", [result(claim) for claim in claims], now=NOW)
    assert ids(one.claim for one in kept) == [id_of(2)]


def test_what_was_recorded_can_be_read_back(store):
    keep(store, arrival())
    claim = claimed(store)[0]
    outcome = failed(claim, due=NOW + 5000)
    assert outbox(store).record("table", [outcome], now=NOW + 70) == [outcome]
    row = state_of(store)
    assert (row["state"], row["due_at"], row["tries"], row["code"], row["updated_at"]) == (
        "due", NOW + 5000, 1, "network.timeout", NOW + 70,
    )  # fmt: skip
    tried = rows(store, attempts)[0]
    assert (tried["number"], tried["at"], tried["code"], tried["verdict"], tried["duration_ms"]) == (
        1, NOW + 70, "network.timeout", "retry", 7,
    )  # fmt: skip
    claim = claimed(store, now=NOW + 5000)[0]
    assert (claim.number, claim.tries) == (2, 1)


def test_what_was_only_put_off_is_no_attempt(store):
    keep(store, arrival())
    postponed = result(claimed(store)[0], "due", due=NOW + HOUR, verdict=Verdict.RETRY, attempted=False)
    outbox(store).record("table", [postponed], now=NOW)
    assert rows(store, attempts) == []
    assert outbox(store).lane("table", now=NOW) == LaneState(parked=False, probes=0, next_at=NOW + HOUR)


def test_a_worker_that_starts_again_has_what_its_name_held(store):
    keep(store, arrival(1), arrival(2))
    claimed(store, limit=1, worker="worker-1")
    claimed(store, limit=1, worker="worker-2")
    # worker-2 is alive: somebody holds its name.
    assert store._lock_name("worker-2")
    assert outbox(store, "worker-1").start(now=NOW + 10) == 1
    assert [row["state"] for row in rows(store, deliveries)] == ["due", "sending"]
    assert claimed(store, now=NOW + 10)[0].number == 2


def test_a_worker_shows_that_it_lives(store):
    box = outbox(store)
    box.start(now=NOW)
    box.beat(now=NOW + 15)
    assert rows(store, workers) == [{"name": "worker-1", "started_at": NOW, "seen_at": NOW + 15}]
    box.start(now=NOW + 20)
    assert Views(store).worker_seen_at() == NOW + 20


def test_a_time_that_a_wrong_clock_wrote_does_not_keep_a_lead_waiting(store):
    keep(store, arrival(1, at=NOW + 365 * DAY), arrival(2, at=NOW + 24 * HOUR))
    assert outbox(store).lane("table", now=NOW).next_at == 0
    assert ids(claimed(store)) == [id_of(1)]
    assert outbox(store).lane("table", now=NOW).next_at == NOW + LEASE


# Parking


def test_a_lane_says_when_to_come_again(store):
    box = outbox(store)
    assert box.lane("table", now=NOW) == LaneState(parked=False, probes=0, next_at=None)
    keep(store, arrival(1, at=NOW + 70), arrival(2, at=NOW + 50))
    assert box.lane("table", now=NOW).next_at == NOW + 50
    assert box.lane("mail", now=NOW).next_at is None


def test_a_hold_parks_the_destination_and_no_other(store):
    keep(store, arrival(1, to=["table", "mail"]))
    settle(store, held)
    assert outbox(store).lane("table", now=NOW) == LaneState(parked=True, probes=0, next_at=NOW + MINUTE)
    assert not outbox(store).lane("mail", now=NOW).parked


def test_probes_follow_after_1_2_5_10_and_then_every_15_minutes(store):
    keep(store, arrival())
    settle(store, held)
    box, now, waits = outbox(store), NOW, []
    for _ in range(6):
        at = box.lane("table", now=now).next_at
        assert not box.take_probe("table", now=at - 1)
        assert box.take_probe("table", now=at)
        box.record_probe("table", code="azure_table.table-not-found", now=NOW)
        waits.append((at - now) // MINUTE)
        now = at
    assert waits == [1, 2, 5, 10, 15, 15]
    lane = rows(store, lanes)[0]
    assert (lane["since"], lane["code"], lane["probes"]) == (NOW, "azure_table.table-not-found", 6)


def test_of_four_workers_one_gets_the_probe(store, store_url, opened):
    keep(store, arrival())
    settle(store, held)
    boxes = [outbox(opened(store_url), f"worker-{number}") for number in range(4)]
    won, start = [], threading.Barrier(4)

    def probe(box):
        start.wait()
        won.append(box.take_probe("table", now=NOW + MINUTE))

    threads = [threading.Thread(target=probe, args=(box,)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]


def test_nobody_probes_what_is_not_parked(store):
    assert not outbox(store).take_probe("table", now=NOW)


def _probed_green(store, now=NOW + MINUTE):
    box = outbox(store)
    assert box.take_probe("table", now=now)
    box.record_probe("table", code=None, now=NOW)
    return box


def test_a_green_probe_lets_the_lane_flow_and_the_first_success_forgets_the_trouble(store):
    keep(store, arrival(1), arrival(2))
    settle(store, held)
    box = _probed_green(store)
    assert box.lane("table", now=NOW + MINUTE) == LaneState(parked=False, probes=1, next_at=NOW)
    assert rows(store, lanes)[0]["since"] == NOW
    settle(store, result, limit=1, now=NOW + MINUTE)
    assert rows(store, lanes) == []
    assert box.lane("table", now=NOW + MINUTE).probes == 0


def test_trouble_that_comes_back_after_a_green_probe_is_the_old_trouble(store):
    """A check that is green though every lead fails must not be asked every minute."""
    keep(store, arrival())
    settle(store, held)
    _probed_green(store)
    later = NOW + 2 * MINUTE
    settle(store, held, now=later)
    assert outbox(store).lane("table", now=later) == LaneState(parked=True, probes=1, next_at=later + 2 * MINUTE)
    assert rows(store, lanes)[0]["since"] == NOW


@pytest.mark.parametrize("how", [dead, lambda claim: failed(claim, due=NOW)], ids=["dead", "retry"])
def test_only_a_success_forgets_the_trouble(store, how):
    keep(store, arrival())
    settle(store, held)
    _probed_green(store)
    settle(store, how, now=NOW + MINUTE)
    assert rows(store, lanes)[0]["probes"] == 1


def test_a_success_that_was_under_way_does_not_unpark(store):
    keep(store, arrival(1), arrival(2))
    first, second = claimed(store)
    outbox(store).record("table", [held(first)], now=NOW)
    outbox(store).record("table", [result(second)], now=NOW)
    assert outbox(store).lane("table", now=NOW).parked


def test_in_a_batch_a_hold_weighs_more_than_a_success(store):
    keep(store, arrival(1), arrival(2))
    first, second = claimed(store)
    outbox(store).record("table", [result(first), held(second)], now=NOW)
    assert outbox(store).lane("table", now=NOW).parked
    assert [row["state"] for row in rows(store, deliveries)] == ["sent", "due"]


def test_a_worker_that_starts_has_parked_destinations_probed_at_once(store):
    keep(store, arrival())
    settle(store, held)
    outbox(store).start(now=NOW + 5)
    assert outbox(store).lane("table", now=NOW + 5) == LaneState(parked=True, probes=0, next_at=NOW + 5)


def test_what_waits_for_a_parked_destination_is_shown_as_held(store):
    keep(store, arrival(1, to=["table", "mail"]), arrival(2))
    settle(store, held, limit=1)
    views = Views(store)
    assert [one["deliveries"] for one in views.leads(Filter())] == [{"table": "held"}, {"table": "held", "mail": "due"}]
    assert len(views.leads(Filter(state="held"))) == 2
    assert len(views.leads(Filter(state="due"))) == 1
    cause = views.causes()[0]
    assert (cause.destination, cause.waiting, cause.parked, cause.next_try) == ("table", 2, True, NOW + MINUTE)
    assert views.waiting()["table"] == (2, NOW)


# How the databases find it


@pytest.fixture
def full(store):
    """20,000 deliveries that were sent, 2,000 that wait for later, and what the planner wants to know about them."""
    with store.write() as connection:
        connection.execute(receipts.insert(), [_receipt(number) for number in range(22_000)])
        rows_ = [_delivery(number, state="sent") for number in range(20_000)]
        rows_ += [_delivery(number, NOW + 1 + number % DAY) for number in range(20_000, 22_000)]
        connection.execute(deliveries.insert(), rows_)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return store


def _plans(store, action):
    """How the database goes about each statement about deliveries that an action makes."""
    made = []

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, *_):
        made.append((statement, parameters))

    action()
    sa.event.remove(store.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if store.engine.dialect.name == "sqlite" else "EXPLAIN "
    with store.engine.connect() as connection:
        return [
            [" ".join(map(str, row)) for row in connection.exec_driver_sql(explain + statement, parameters)]
            for statement, parameters in made
            if "deliveries" in statement
        ]


def test_looking_and_claiming_read_the_index_of_what_waits_and_never_all_deliveries(full):
    box = outbox(full)
    plans = _plans(full, lambda: (box.lane("table", now=NOW), box.claim("table", limit=10, now=NOW)))
    assert len(plans) == 4
    for plan in plans:
        text = "\n".join(plan)
        assert "deliveries_waiting" in text, text
        assert "SCAN deliveries" not in text, text
        assert "Seq Scan on deliveries" not in text, text


def test_one_claim_takes_what_is_due_from_among_many_that_are_not(full):
    keep(full, arrival(30_000, at=NOW - 5))
    assert ids(claimed(full, limit=10)) == [id_of(30_000)]
    assert claimed(full, limit=10) == []
