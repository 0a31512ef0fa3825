"""One lane, step by step, on a real store with a clock that stands: what becomes of a lead, and of its destination."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from app.catalogue import Catalogue, shipped_folder
from app.delivery import Lane
from app.destinations.base import DeliveryFailed, Postponed, Sent, Usage
from app.lead import Lead
from app.retry import horizon
from app.store import StoreUnavailable, open_store
from app.store.arrival import Arrival
from app.store.counts import Counts
from app.store.inbox import Inbox
from app.store.outbox import Outbox
from app.store.problems import ProblemLog
from app.store.searching import Filter
from app.store.tables import Status, to_ms
from app.store.views import Views

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEDULE = tuple(timedelta(seconds=seconds) for seconds in (0, 10, 100))
PERSON = {"first_name": "Zaphkiel", "email": "zaphkiel@contoso.com"}


class Scripted:
    """A destination that does what the test says, and remembers what it was given."""

    max_batch = 3
    usage = None

    def __init__(self):
        self.calls = []
        self.checks = 0
        self.answer = lambda parcels: [Sent() for _ in parcels]
        self.health = lambda: "well"

    def send(self, parcels):
        self.calls.append([parcel.lead_id for parcel in parcels])
        self.parcels = parcels
        return self.answer(parcels)

    def check(self):
        self.checks += 1
        return self.health()

    def close(self):
        pass


class World:
    """A store, a lane and a clock."""

    def __init__(self, folder):
        self.at = START
        self.store = open_store(f"sqlite:///{folder}/leadwire.db")
        self.store.migrate()
        self.destination = Scripted()
        self.lane = self.lane_of("worker-1")
        self.lane.outbox.start(now=to_ms(self.at))
        self.views = Views(self.store)
        self.inbox = Inbox(self.store, window_ms=0)
        self.count = 0

    def lane_of(self, worker):
        lease = timedelta(seconds=180)
        outbox = Outbox(self.store, worker=worker, lease=lease, horizon=horizon(SCHEDULE))
        return Lane(
            name="crm", type="file", destination=self.destination, outbox=outbox,
            catalogue=Catalogue.load(shipped_folder()), schedule=SCHEDULE, now=lambda: self.at,
        )  # fmt: skip

    def lead(self, **more):
        self.count += 1
        id_ = f"01a1fbc1-6fd5-74b1-83c9-{self.count:012x}"
        arrival = Arrival(
            id=id_, received_at=to_ms(self.at), source="marketplace", status=Status.ACCEPTED,
            lead=Lead(**PERSON), destinations=("crm",),
        )  # fmt: skip
        self.inbox.put(msgspec.structs.replace(arrival, **more))
        return id_

    def step(self, **later):
        self.at += timedelta(**later)
        return self.lane.step()

    def state(self, id_):
        return self.views.show(id_)["deliveries"][0]["state"]

    def problem(self, code):
        return ProblemLog(self.store).open_rows()["crm", code]

    def figures(self):
        return Counts(self.store).lanes()["crm"]

    def attempts(self, id_):
        return self.views.show(id_)["deliveries"][0]["attempts"]

    def fails(self, code, **more):
        self.destination.answer = lambda parcels: [DeliveryFailed(code, **more) for _ in parcels]

    def works(self):
        self.destination.answer = lambda parcels: [Sent("record-1") for _ in parcels]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


def test_what_is_due_is_sent_in_one_call_up_to_the_batch_the_oldest_first(world):
    ids = [world.lead() for _ in range(4)]
    world.step()
    world.step()
    assert world.destination.calls == [ids[:3], ids[3:]]
    assert [world.state(id_) for id_ in ids] == ["sent"] * 4
    assert world.step() is None


def test_the_remote_id_is_kept(world):
    world.works()
    id_ = world.lead()
    world.step()
    assert world.views.show(id_)["deliveries"][0]["remote_id"] == "record-1"


def test_the_delivery_id_is_the_same_at_every_attempt_and_the_second_says_so(world):
    world.fails("network.refused")
    world.lead()
    world.step()
    (first,) = world.destination.parcels
    world.step(seconds=11)
    (second,) = world.destination.parcels
    assert (first.delivery_id, first.redelivery) == (second.delivery_id, False)
    assert second.redelivery is True


def test_a_passing_fault_is_tried_again_within_the_schedule_and_dies_when_patience_is_over(world):
    world.fails("network.refused")
    id_ = world.lead()
    world.step()
    assert world.state(id_) == "due"
    assert to_ms(world.at) <= world.lane.step() <= to_ms(world.at + SCHEDULE[1])
    world.step(seconds=10)
    world.step(seconds=100)
    assert world.state(id_) == "dead"
    assert [one["verdict"] for one in world.attempts(id_)] == ["retry"] * 3
    world.step(days=1)
    assert len(world.destination.calls) == 3


def test_retry_after_lengthens_the_wait(world):
    world.fails("network.refused", retry_after=3600)
    world.lead()
    world.step()
    world.step(seconds=3599)
    assert len(world.destination.calls) == 1
    world.step(seconds=1)
    assert len(world.destination.calls) == 2


def test_a_lead_that_cannot_be_delivered_is_dead_at_once_and_its_neighbour_arrives(world):
    world.destination.answer = lambda _: [Sent(), DeliveryFailed("EntityTooLarge")]
    lane = replace(world.lane, type="azure_table")
    good, bad = world.lead(), world.lead()
    lane.step()
    assert (world.state(good), world.state(bad)) == ("sent", "dead")


def test_a_hold_parks_the_destination_and_costs_no_patience(world):
    world.fails("EACCES")
    first, second = world.lead(), world.lead()
    world.step()
    third = world.lead()
    for seconds in (1, 20, 30):
        world.step(seconds=seconds)
    assert len(world.destination.calls) == 1
    assert [world.state(id_) for id_ in (first, second, third)] == ["held"] * 3
    assert {row["id"] for row in world.views.leads(Filter(state="held"))} == {first, second, third}
    (cause,) = world.views.causes()
    assert (cause.code, cause.waiting, cause.parked) == ("file.permission-denied", 3, True)
    with world.store.read() as connection:
        assert connection.exec_driver_sql("SELECT max(tries) FROM deliveries").scalar() == 0


def test_a_parked_destination_gets_one_probe_after_1_2_5_10_and_then_every_15_minutes(world):
    world.fails("EACCES")
    world.lead()
    world.step()
    world.destination.health = lambda: (_ for _ in ()).throw(DeliveryFailed("EACCES"))
    probed = []
    for minute in range(70):
        before = world.destination.checks
        world.step(minutes=1)
        probed += [minute + 1] * (world.destination.checks - before)
    assert probed == [1, 3, 8, 18, 33, 48, 63]
    assert len(world.destination.calls) == 1


def test_a_green_probe_lets_one_lead_through_first_and_then_the_rest(world):
    world.fails("EACCES")
    ids = [world.lead() for _ in range(5)]
    world.step()
    world.works()
    world.step(minutes=1)
    assert world.destination.checks == 1
    while world.step() is not None:
        pass
    assert [len(call) for call in world.destination.calls] == [3, 1, 3, 1]
    assert [world.state(id_) for id_ in ids] == ["sent"] * 5
    assert world.views.causes() == []


def test_a_check_that_is_green_too_early_does_not_hurry_the_probes(world):
    world.fails("EACCES")
    world.lead()
    world.step()
    since = world.views.causes()[0].since
    for minutes in (1, 2, 5):
        world.step(minutes=minutes)  # green, so one lead is tried, and held again
        world.step()
    assert [len(call) for call in world.destination.calls] == [1, 1, 1, 1]
    assert world.views.causes()[0].since == since
    world.step(minutes=9)
    assert world.destination.checks == 3


def test_what_was_there_already_counts_as_sent(world):
    world.fails("EntityAlreadyExists")
    lane = replace(world.lane, type="azure_table")
    id_ = world.lead()
    lane.step()
    assert world.state(id_) == "sent"
    assert world.attempts(id_)[0]["verdict"] == "done"


def test_a_destination_that_puts_a_lead_off_uses_no_patience_and_makes_no_attempt(world):
    later = START + timedelta(minutes=40)
    world.destination.answer = lambda parcels: [Postponed(later) for _ in parcels]
    id_ = world.lead()
    assert world.step() is not None
    assert world.attempts(id_) == []
    world.works()
    world.step(minutes=39)
    assert world.state(id_) == "due"
    world.step(minutes=1)
    assert world.state(id_) == "sent"


def test_an_adapters_own_crash_is_a_retry_and_says_nothing_of_the_person(world, capfd):
    def crash(parcels):
        raise RuntimeError(parcels[0].lead.email)

    world.destination.answer = crash
    id_ = world.lead()
    world.step()
    assert world.attempts(id_)[0]["code"] == "uncatalogued"
    said = capfd.readouterr().out
    assert "RuntimeError" in said
    assert "test_delivery.py" in said
    assert "zaphkiel" not in said


def test_a_wrong_number_of_outcomes_counts_for_nobody(world):
    world.destination.answer = lambda parcels: [Sent()] * (len(parcels) - 1)
    ids = [world.lead() for _ in range(3)]
    world.step()
    assert [world.state(id_) for id_ in ids] == ["due"] * 3


def test_a_worker_that_slept_past_its_lease_records_nothing(world, capfd):
    """Its claim's number no longer stands: another worker has the lead."""
    other = world.lane_of("worker-2")

    def oversleep(parcels):
        world.at += timedelta(seconds=181)
        world.works()
        other.step()
        return [DeliveryFailed("EntityTooLarge") for _ in parcels]

    world.destination.answer = oversleep
    id_ = world.lead()
    world.step()
    assert world.state(id_) == "sent"
    assert [one["verdict"] for one in world.attempts(id_)] == ["sent"]
    assert "lease lost" in capfd.readouterr().out


def test_a_worker_that_slept_past_its_lease_before_sending_sends_nothing(world, capfd):
    world.lead()
    moments = iter([START, START + timedelta(seconds=180)])
    replace(world.lane, now=lambda: next(moments)).step()
    assert world.destination.calls == []
    assert "lease.lost" in capfd.readouterr().out
    world.step(seconds=180)
    assert len(world.destination.calls) == 1


class Steps(Scripted):
    """A destination that tells each outcome before it goes on; `between` is called then."""

    def sending(self, parcels):
        for parcel in parcels:
            self.calls.append(parcel.lead_id)
            yield {parcel.delivery_id: Sent()}
            self.between()


def test_what_a_destination_tells_step_by_step_is_recorded_before_it_goes_on(world):
    steps, seen = Steps(), []
    ids = [world.lead(), world.lead()]
    steps.between = lambda: seen.append([world.state(id_) for id_ in ids])
    replace(world.lane, destination=steps).step()
    assert seen == [["sent", "sending"]]
    assert [world.state(id_) for id_ in ids] == ["sent", "sent"]


def test_a_worker_that_slept_past_its_lease_between_two_steps_goes_no_further(world):
    ids = [world.lead(), world.lead()]
    moments = iter([START, START, START, START + timedelta(seconds=180)])
    replace(world.lane, destination=Steps(), now=lambda: next(moments)).step()
    assert [world.state(id_) for id_ in ids] == ["sent", "sending"]


def test_one_line_is_logged_an_attempt_with_ids_code_and_decision_and_nobody_in_it(world, capfd):
    world.fails("ENOSPC", detail="no space for zaphkiel@contoso.com")
    id_ = world.lead()
    world.step()
    (line,) = [line for line in capfd.readouterr().out.splitlines() if "delivery.attempted" in line]
    assert all(word in line for word in (id_, "crm", "file.disk-full", "ENOSPC", "hold", "held"))
    assert "zaphkiel" not in line
    with world.store.read() as connection:
        kept = json.dumps([list(row) for row in connection.exec_driver_sql("SELECT * FROM attempts")])
    assert "zaphkiel" not in kept


def test_a_foreign_code_with_a_person_in_it_is_kept_nowhere(world, capfd):
    for code in ("Zaphkiel", "zaphkiel@contoso.com", "Bad\x00Code", "\ud800", "x" * 81):
        world.fails(code)
        id_ = world.lead()
        world.step()
        assert world.attempts(id_)[0]["raw_code"] is None, code
        world.step(days=1)
        world.step(days=1)
    assert "zaphkiel" not in capfd.readouterr().out.lower()


def test_a_result_is_written_down_once_the_store_is_back(world, monkeypatch):
    """What was sent and is not recorded would be sent again."""
    lost = iter([True, True, False])
    write = world.store.write

    def flaky(**how):
        if world.destination.calls and next(lost, False):
            raise StoreUnavailable
        return write(**how)

    monkeypatch.setattr(world.store, "write", flaky)
    id_ = world.lead()
    world.step()
    assert world.state(id_) == "sent"
    assert len(world.destination.calls) == 1


def test_a_probe_that_was_set_for_next_year_is_made_now(world):
    world.fails("EACCES")
    world.at += timedelta(days=400)
    world.lead()
    world.step()
    world.at -= timedelta(days=399)
    world.works()
    world.step()
    assert world.destination.checks == 1


def test_a_clock_that_was_years_ahead_strands_no_lead(world):
    world.at += timedelta(days=400)
    id_ = world.lead()
    world.at -= timedelta(days=400)
    world.step()
    assert world.state(id_) == "sent"


def test_what_the_system_said_is_kept_without_anybody_of_the_batch(world):
    world.lead()
    world.lead(lead=Lead(first_name="Quillfeather"))
    world.fails("ENOSPC", status=507, detail="Quillfeather and ZAPHKIEL%40contoso.com do not fit: prvCreateLead")
    world.step()
    found = world.problem("file.disk-full")
    assert (found.status, found.raw_code) == (507, "ENOSPC")
    assert found.evidence == "[…] and […] do not fit: prvCreateLead"


def test_a_failure_without_words_has_no_evidence(world):
    world.lead()
    world.fails("ENOSPC")
    world.step()
    assert world.problem("file.disk-full").evidence is None


def test_a_failed_probe_leaves_its_evidence(world):
    world.lead()
    world.fails("EACCES", detail="at delivery")
    world.step()

    def refuse():
        code = "EROFS"
        raise DeliveryFailed(code, status=30, detail="read-only, says jane@fabrikam.com; password=hunter2")

    world.destination.health = refuse
    world.step(minutes=1)
    found = [row for row in ProblemLog(world.store).open_rows().values() if row.raw_code == "EROFS"]
    assert [(row.status, row.evidence) for row in found] == [(30, "read-only, says […]; password=[…]")]


def test_what_is_used_of_a_limit_is_kept_after_each_send(world):
    world.lead()
    world.destination.usage = Usage(120, 15000, "API calls in 24 hours")
    world.step()
    kept = world.figures()
    assert (kept.calls_used, kept.calls_allowed, kept.calls_of) == (120, 15000, "API calls in 24 hours")
    assert (kept.calls_at, kept.sent) == (to_ms(START), 1)


def test_leads_that_were_only_put_off_leave_the_figure_and_its_time_as_they_were(world):
    world.lead()
    world.destination.usage = Usage(120, 15000, "API calls in 24 hours")
    world.step()
    world.lead()
    world.destination.answer = lambda parcels: [Postponed(world.at + timedelta(hours=1)) for _ in parcels]
    world.step(minutes=5)
    assert world.figures().calls_at == to_ms(START)


def test_an_adapter_that_cannot_tell_its_usage_loses_no_result(world, capfd):
    class Broken(Scripted):
        @property
        def usage(self):
            raise KeyError(PERSON["email"])

    id_ = world.lead()
    world.destination = Broken()
    world.lane = world.lane_of("worker-1")
    world.step()
    assert world.state(id_) == "sent"
    logged = "".join(capfd.readouterr())
    assert "destination.crashed" in logged
    assert PERSON["email"] not in logged


def test_a_large_batch_is_recorded_in_groups_and_a_hold_in_it_parks_the_lane_whatever_else_arrived(world):
    """Senders wait behind each transaction of ours."""
    ids = [world.lead() for _ in range(250)]
    world.destination.max_batch = 250
    world.destination.answer = lambda parcels: [
        Sent("record-1") if parcel.lead_id != ids[-1] else DeliveryFailed("EACCES") for parcel in parcels
    ]
    world.step()
    assert [world.state(id_) for id_ in ids] == ["sent"] * 249 + ["held"]
    assert len(world.destination.calls) == 1
    assert world.figures().sent == 249
