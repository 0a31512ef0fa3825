"""The lane of a Dynamics destination with a real store and the shipped catalogue: what an operator sees of it."""

from collections import Counter
from datetime import timedelta

import pytest

from app.catalogue import Catalogue, shipped_folder
from app.delivery import Lane
from app.lead import Lead
from app.store.tables import attempts, deliveries, from_ms, to_ms
from tests.parts.arrivals import NOW, arrival, keep, outbox, rows
from tests.standins.dynamics_use import SAMPLE, Office
from tests.standins.entra import CLIENT, PAGE, SECRET, TENANT

SCHEDULE = (timedelta(0), timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30))


@pytest.fixture
def office(server_tls, ca_bundle, monkeypatch):
    with Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as one:
        one.clock.at = from_ms(NOW)
        yield one


@pytest.fixture
def crm(office, sqlite_url, opened):
    return Crm(office, opened(sqlite_url))


class Crm:
    """A store and the one lane out of it, moved by hand."""

    def __init__(self, office, store):
        self.office, self.store, self.kept = office, store, 0

    def lane(self, **how):
        return Lane(
            name="crm", type="dynamics", destination=self.office.destination(**how), outbox=outbox(self.store),
            catalogue=Catalogue.load(shipped_folder()), schedule=SCHEDULE, now=self.office.clock.now,
        )  # fmt: skip

    def comes(self, count):
        keep(
            self.store,
            *(
                arrival(self.kept + number, to=["crm"], lead=Lead(**SAMPLE | {"last_name": f"One {number}"}))
                for number in range(1, count + 1)
            ),
        )
        self.kept += count

    def run(self, lane, *, seconds=0):
        """Step until nothing is due any more; first let time pass."""
        self.office.clock.pass_(seconds)
        while (at := lane.step()) is not None and at <= to_ms(self.office.clock.now()):
            pass

    def states(self):
        return Counter(row["state"] for row in rows(self.store, deliveries))

    def codes(self):
        return Counter(row["code"] for row in rows(self.store, attempts))


def test_a_thousand_leads_drain_in_twelve_calls(crm, office):
    crm.comes(1000)
    crm.run(crm.lane())
    assert crm.states() == {"sent": 1000}
    assert len(office.crm.calls) + len(office.entra.calls) == 12
    assert {record["lastname"] for record in office.crm.leads.values()} == {f"One {n}" for n in range(1, 1001)}


def test_an_answer_that_never_came_is_one_lead_after_all(crm, office):
    crm.comes(3)
    office.crm.mishap.append("timeout")
    lane = crm.lane(read_timeout=1.0)
    crm.run(lane)
    crm.run(lane, seconds=600)
    assert crm.states() == {"sent": 3}
    assert crm.codes() == {"dynamics.timeout": 3, None: 3}
    assert len(office.crm.leads) == 3


def test_one_bad_lead_is_given_up_and_ninety_nine_arrive(crm, office):
    crm.comes(100)
    office.crm.columns["lastname"].most = 6  # "One 100" has seven
    crm.run(crm.lane())
    assert crm.states() == {"sent": 99, "dead": 1}
    assert crm.codes() == {None: 99, "dynamics.value-too-long": 1}


# How the environment or the directory is broken, the code that follows, and how it is mended.
HELD = {
    "no role": ("crm", {"roles": False}, "dynamics.no-security-role", {"roles": True}),
    "no right": ("crm", {"privileges": {"prvReadUser"}}, "dynamics.missing-create-privilege", {
        "privileges": {"prvReadUser", "prvCreateLead"}}),
    "not a member": ("crm", {"member": False}, "dynamics.user-not-member", {"member": True}),
    "no leads": ("crm", {"has_leads": False}, "dynamics.lead-table-missing", {"has_leads": True}),
    "not there": ("crm", {"page": (404, {}, PAGE)}, "dynamics.url-not-found", {"page": None}),
    "wrong tenant": ("entra", {"tenant": "another.example"}, "dynamics.tenant-not-found", {
        "tenant": TENANT}),
    "wrong application": ("entra", {"client": "another"}, "dynamics.application-not-found", {
        "client": CLIENT}),
    "wrong secret": ("entra", {"secret": "another"}, "dynamics.client-secret-invalid", {
        "secret": SECRET}),
    "expired secret": ("entra", {"secret_expired": True}, "dynamics.client-secret-expired", {"secret_expired": False}),
}  # fmt: skip


def change(office, whose, values):
    for name, value in values.items():
        setattr(getattr(office, whose), name, value)


@pytest.mark.parametrize("why", HELD)
def test_what_a_person_must_mend_parks_the_lane_and_drains_by_itself_afterwards(crm, office, why):
    """`check` names it by the same code."""
    whose, broken, code, mended = HELD[why]
    change(office, whose, broken)
    crm.comes(5)
    lane = crm.lane()
    crm.run(lane)
    assert crm.states() == {"due": 5}
    assert set(crm.codes()) == {code}
    assert lane.check()[0] == code
    calls = len(office.crm.calls) + len(office.entra.calls)
    crm.run(lane, seconds=30)
    assert len(office.crm.calls) + len(office.entra.calls) == calls
    change(office, whose, mended)
    crm.run(lane, seconds=3600)
    assert crm.states() == {"sent": 5}


PASSING = {
    "maintenance": ({"page": (503, {"Retry-After": "30"}, PAGE)}, "dynamics.unavailable"),
    "a page in its place": ({"page": (200, {"Content-Type": "text/html"}, PAGE)}, "dynamics.answer-unreadable"),
    "unexpected": ({"page": (500, {}, b'{"error":{"code":"0x80040216","message":"?"}}')}, "dynamics.unexpected"),
    "a batch refused": (
        {"page": (400, {}, b'{"error":{"code":"0x80048d19","message":"?"}}')},
        "dynamics.batch-refused",
    ),
}


@pytest.mark.parametrize("why", PASSING)
def test_what_passes_by_itself_is_tried_again(crm, office, why):
    broken, code = PASSING[why]
    change(office, "crm", broken)
    crm.comes(2)
    lane = crm.lane()
    assert lane.step() is not None
    assert crm.states() == {"due": 2}
    assert set(crm.codes()) == {code}
    change(office, "crm", {"page": None})
    for _ in range(3):
        crm.run(lane, seconds=600)
    assert crm.states() == {"sent": 2}


def test_a_throttled_lane_waits_as_long_as_it_was_asked_to(crm, office):
    crm.comes(150)
    office.crm.throttle.append(("0x80072322", {"Retry-After": "120"}))
    lane = crm.lane()
    crm.run(lane)
    assert len(office.crm.calls) == 1
    assert crm.codes() == {"dynamics.throttled": 100}  # the other 50 were put off, not tried
    crm.run(lane, seconds=119)
    assert len(office.crm.calls) == 1
    crm.run(lane, seconds=600)
    assert crm.states() == {"sent": 150}


def test_a_duplicate_of_another_record_counts_as_delivered(crm, office):
    crm.comes(2)
    crm.run(crm.lane(detect_duplicates=True))
    assert crm.states() == {"sent": 2}
    assert crm.codes() == {None: 1, "dynamics.duplicate": 1}
    assert len(office.crm.leads) == 1


def test_leads_held_by_a_wrong_setting_arrive_when_it_is_taken_out(crm):
    crm.comes(3)
    lane = crm.lane(fields={"new_offer": "$offer_title"})
    crm.run(lane)
    assert crm.codes() == {"dynamics.column-unknown": 3}
    assert lane.check()[0] == "dynamics.column-unknown"
    crm.run(crm.lane(), seconds=3600)
    assert crm.states() == {"sent": 3}
