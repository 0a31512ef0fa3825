"""The service's limits: kept before they bite, and a wait that is asked for is kept to."""

from datetime import timedelta

import pytest

from app.destinations.base import DeliveryFailed, Postponed, Sent
from app.destinations.dynamics.pace import LONGEST_PAUSE, Pace
from tests.standins.dataverse import THROTTLED
from tests.standins.dataverse_batch import Fault
from tests.standins.dynamics_use import START, Clock, Office, failed, key, parcel, parcels


@pytest.fixture
def office(server_tls, ca_bundle, monkeypatch):
    with Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as one:
        yield one


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pace(clock):
    return Pace(clock=clock.seconds, requests=10, window=60)


# --- the count


def test_room_comes_back_when_what_was_spent_leaves_the_window(pace, clock):
    assert pace.room() == 10
    pace.spend(4)
    clock.pass_(30)
    pace.spend(6)
    assert pace.room() == 0
    clock.pass_(30)
    assert pace.room() == 4
    clock.pass_(30)
    assert pace.room() == 10


def test_the_wait_is_until_enough_has_left_the_window(pace, clock):
    pace.spend(4)
    clock.pass_(20)
    pace.spend(5)
    assert [pace.wait(requests) for requests in (1, 2, 5, 6, 10)] == [0, 40, 40, 60, 60]


def test_more_than_fits_into_a_window_waits_for_an_empty_one(pace):
    pace.spend(1)
    assert pace.wait(1000) == 60


def test_a_pause_leaves_no_room_and_is_never_shortened(pace, clock):
    pace.pause(30)
    pace.pause(5)
    assert (pace.room(), pace.wait(1)) == (0, 30)
    clock.pass_(30)
    assert (pace.room(), pace.wait(1)) == (10, 0)


def test_a_pause_ends_within_the_hour_whatever_was_asked(pace):
    pace.pause(10**9)
    assert pace.wait(1) == LONGEST_PAUSE
    pace.pause(-5)
    assert pace.wait(1) == LONGEST_PAUSE


# --- and the destination


def test_six_thousand_requests_in_five_minutes_are_never_exceeded(office):
    """The stand-in counts as the service does and would refuse; nothing is refused, and all of them arrive."""
    office.crm.limit = (6000, 300)
    crm = office.destination(batch_size=1000)
    for first in range(0, 5000, 1000):
        assert all(isinstance(one, Sent) for one in crm.send(parcels(1000, first=first)))
    outcomes = crm.send(parcels(1000, first=5000))
    assert [type(one) for one in outcomes] == [Sent] * 994 + [Postponed] * 6
    assert office.crm.operations == 6000
    assert {one.until for one in outcomes[994:]} == {START + timedelta(seconds=300)}


def test_without_room_nothing_is_called(office):
    crm = office.destination(batch_size=1000)
    crm._pace.spend(5999)  # a batch of one would be two requests
    assert crm.send(parcels(2)) == [Postponed(START + timedelta(seconds=300))] * 2
    assert office.crm.calls == office.entra.calls == []
    office.clock.pass_(300)
    assert all(isinstance(one, Sent) for one in crm.send(parcels(2)))


@pytest.mark.parametrize("code", THROTTLED)
def test_a_wait_that_the_service_asks_for_stops_the_calls_until_then(office, code):
    crm = office.destination()
    office.crm.throttle.append((code, {"Retry-After": "42"}))
    failure = failed(lambda: crm.send(parcels(3)))
    assert (failure.code, failure.status, failure.retry_after) == (code, 429, 42.0)
    calls = len(office.crm.calls)
    office.clock.pass_(41)
    assert crm.send(parcels(3)) == [Postponed(START + timedelta(seconds=42))] * 3
    assert len(office.crm.calls) == calls
    office.clock.pass_(1)
    assert all(isinstance(one, Sent) for one in crm.send(parcels(3)))


def test_a_date_to_wait_for_is_kept_to_as_well(office):
    crm = office.destination()
    office.crm.throttle.append(("0x80072322", {"Retry-After": "Fri, 20 Nov 2026 23:52:00 GMT"}))
    assert failed(lambda: crm.send([parcel()])).retry_after == 60.0
    assert crm.send([parcel()]) == [Postponed(START + timedelta(seconds=60))]


def test_throttling_without_a_wait_is_left_to_the_schedule(office):
    crm = office.destination()
    office.crm.throttle.append(("0x80072326", {}))
    assert failed(lambda: crm.send([parcel()])).retry_after is None
    assert isinstance(crm.send([parcel()])[0], Sent)


def test_a_maintenance_page_with_a_wait_stops_the_calls_too(office):
    crm = office.destination()
    office.crm.page = (503, {"Content-Type": "text/html", "Retry-After": "600"}, b"<html>maintenance</html>")
    assert failed(lambda: crm.send([parcel()])).status == 503
    office.crm.page = None
    assert crm.send([parcel()]) == [Postponed(START + timedelta(seconds=600))]


def test_one_throttled_operation_of_a_batch_stops_the_calls_after_it(office):
    crm = office.destination()
    late = parcels(3)[2]
    office.crm.refused[key(late)] = Fault(429, "0x80072322", "too many", **{"Retry-After": "7"})
    outcomes = crm.send(parcels(3))
    assert [type(one) for one in outcomes] == [Sent, Sent, DeliveryFailed]
    assert outcomes[2].retry_after == 7.0
    assert crm.send([late]) == [Postponed(START + timedelta(seconds=7))]


def test_a_batch_that_timed_out_is_counted_all_the_same(office):
    crm = office.destination(read_timeout=1.0, batch_size=1000)
    office.crm.mishap.append("timeout")
    failed(lambda: crm.send(parcels(1000)))
    assert crm._pace.room() == 6000 - 1001
