"""The console's overview and its chart: one glance says whether leads flow, and if not, what to do."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app.operations.overview import KINDS
from app.web.console.chart import chart
from app.web.console.overview import headline
from tests.parts import desk as console
from tests.parts.arrivals import HOUR, NOW, arrival, dead, failed, held, keep, outbox, result, settle

desk = console.desk  # fixtures are found by their names

DAY = {"day": "2027-01-15", "accepted": 3, "test": 1, "duplicate": 0, "withheld": 2, "quarantined": 0}


def alive(desk):
    """A worker has just given a sign of life."""
    outbox(desk.store).start(now=NOW)


def standing(**more):
    """A world in which all is well, but for what is given."""
    well = {
        "worker_silent_seconds": 1.0,
        "problems": [],
        "last_lead_at": "2027-01-15T08:00:00.000Z",
        "destinations": [],
    }
    return headline({**well, **more})


def problem(**more):
    return {"destination": "crm", "held": False, "dead": 0, **more}


@pytest.mark.parametrize(
    ("world", "kind", "words"),
    [
        ({}, "good", "Leads are flowing"),
        ({"destinations": [{"waiting": 7}]}, "good", "Leads are flowing"),
        ({"last_lead_at": None}, "waiting", "No lead has come in yet"),
        ({"worker_silent_seconds": None}, "bad", "Nothing is being delivered"),
        ({"worker_silent_seconds": 61.0}, "bad", "Nothing is being delivered"),
        ({"problems": [problem()]}, "waiting", "Something is being tried again"),
        ({"problems": [problem(held=True)]}, "bad", "crm needs you"),
        ({"problems": [problem(dead=2)]}, "bad", "crm needs you"),
        ({"problems": [problem(destination=None)]}, "bad", "Leadwire needs you"),
        ({"problems": [problem(held=True), problem(destination="table", dead=1)]}, "bad", "2 destinations need you"),
    ],
)
def test_one_sentence_says_how_things_stand(world, kind, words):
    said = standing(**world)
    assert (said.kind, said.text) == (kind, words)


def test_a_new_server_tells_the_first_steps(desk):
    page = desk.operator().get("/console/")
    assert "First steps" in page.words
    assert page.all('//a[@href="/console/test-leads"]')


def test_a_parked_destination_stands_on_top_with_its_first_step(desk):
    alive(desk)
    keep(desk.store, *(arrival(number) for number in range(1, 4)))
    settle(desk.store, held, limit=1)
    page = desk.operator().get("/console/")
    assert "table needs you" in page.words
    assert "3 leads wait" in page.words
    first = desk.wiring.catalogue.get("azure_table.authentication-failed").remedy[0].split("`")[0].strip()
    assert first in page.words
    card = next(text for text in page.read("//article") if text.startswith("table"))
    assert "parked" in card
    assert "Oldest" in card


def test_a_cards_numbers_are_those_of_its_destination(desk):
    keep(desk.store, *(arrival(number, to=["table", "crm"]) for number in range(1, 6)))
    settle(desk.store, result, limit=3)
    cards = {card["name"]: card for card in desk.operations.destinations()}
    assert (cards["table"]["sent"], cards["table"]["waiting"], cards["table"]["state"]) == (3, 2, "waiting")
    assert (cards["crm"]["sent"], cards["crm"]["waiting"], cards["crm"]["last_sent_at"]) == (0, 5, None)


def test_what_waits_for_a_destination_that_is_gone_is_a_card_too(desk):
    keep(desk.store, arrival(1, to=["gone"]))
    states = {card["name"]: card["state"] for card in desk.operations.destinations()}
    assert states["gone"] == "removed"


def test_every_body_is_counted_once_and_by_what_it_was(desk):
    lead = {"userDetails": {"firstName": "Some", "lastName": "One", "email": "someone@contoso.com"}}
    test = {"userDetails": {"firstName": "MSFT_TEST_1", "email": "one@test.com"}}
    withheld = {"userDetails": {"firstName": "Some", "email": "someone@contoso.edu"}}
    for body in (lead, lead, test, withheld, b"{"):
        desk.send(body)
    today = desk.operations.overview()["days"][-1]
    assert today == {"day": "2027-01-15", **dict.fromkeys(KINDS, 1)}


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2027-01-15"), ("Pacific/Kiritimati", "2027-01-15")])
def test_days_are_those_of_the_viewer(desk, zone, day):
    keep(desk.store, arrival(1))
    days = desk.operations.overview(zone=ZoneInfo(zone))["days"]
    assert {one["day"]: one["accepted"] for one in days if one["accepted"]} == {day: 1}


def test_a_lead_before_midnight_of_the_viewer_belongs_to_the_day_before(desk):
    keep(desk.store, arrival(1, at=NOW - 9 * HOUR))  # 23:00 UTC
    for zone, day in (("UTC", "2027-01-14"), ("Europe/Berlin", "2027-01-15")):
        days = desk.operations.overview(zone=ZoneInfo(zone))["days"]
        assert {one["day"]: one["accepted"] for one in days if one["accepted"]} == {day: 1}


def test_every_day_is_there_also_where_clocks_were_changed(desk):
    desk.moment = datetime(2026, 11, 3, 12, tzinfo=ZoneInfo("America/New_York"))
    days = [one["day"] for one in desk.operations.overview(days=5, zone=ZoneInfo("America/New_York"))["days"]]
    assert days == ["2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03"]


def test_the_charts_bars_are_as_high_as_their_numbers():
    drawing = str(chart([DAY]))
    heights = {}
    for kind in KINDS:
        for part in drawing.split("<rect")[1:]:
            if f'class="{kind}"' in part:
                heights[kind] = float(part.split('height="')[1].split('"')[0])
    assert set(heights) == {"accepted", "test", "withheld"}
    assert heights["accepted"] == pytest.approx(3 * heights["test"], rel=0.02)
    assert heights["withheld"] == pytest.approx(2 * heights["test"], rel=0.02)


@pytest.mark.parametrize("most", [0, 1, 4, 5, 99, 248, 12_345, 9_999_999])
def test_the_charts_top_line_is_above_every_bar(most):
    drawing = str(chart([{**dict.fromkeys(KINDS, 0), "day": "2027-01-15", "accepted": most}]))
    ys = [float(part.split('"')[0]) for part in drawing.split('y="')[1:]]
    assert all(y >= 0 for y in ys)


def test_retrying_is_no_reason_to_wake_anybody(desk):
    alive(desk)
    keep(desk.store, arrival(1))
    settle(desk.store, lambda claim: failed(claim, due=NOW + HOUR))
    assert "Something is being tried again" in desk.operator().get("/console/").words


def test_dead_leads_need_a_person(desk):
    alive(desk)
    keep(desk.store, arrival(1))
    settle(desk.store, dead)
    assert "table needs you" in desk.operator().get("/console/").words
