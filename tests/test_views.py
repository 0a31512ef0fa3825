"""What people see: leads, one lead, causes, figures, quarantine, and nothing personal but in one lead asked for."""

import pytest
import sqlalchemy as sa

from app.lead import Lead
from app.store.acts import Acts
from app.store.searching import Filter
from app.store.tables import Status
from app.store.views import Views
from tests.parts.arrivals import (
    HOUR,
    MINUTE,
    NOW,
    SOMEONE,
    arrival,
    dead,
    failed,
    held,
    id_of,
    keep,
    outbox,
    result,
    settle,
    unreadable,
)


@pytest.fixture
def views(store):
    return Views(store)


def seen(views, **wanted):
    return [int(one["id"][:8], 16) for one in views.leads(Filter(**wanted))]


@pytest.fixture
def mixed(store):
    """One lead of every kind, and deliveries in every state."""
    keep(
        store,
        arrival(1, to=["sent"], duplicate_key=b"k" * 16),
        arrival(2, at=NOW + 1, duplicate_key=b"k" * 16),
        arrival(3, at=NOW + 2, to=["dead", "sent"], test=True),
        arrival(4, at=NOW + 3, to=["mail"], status=Status.WITHHELD, email_domain="mit.edu", lead=Lead(offer_title="A")),
        unreadable(5, at=NOW + 4),
        arrival(6, at=NOW + 5, to=["held"]),
        arrival(7, at=NOW + 6, to=["discarded"]),
        arrival(8, at=NOW + 7, to=["sending"]),
    )
    later = NOW + MINUTE
    settle(store, result, destination="sent", now=later)
    settle(store, dead, destination="dead", now=later)
    settle(store, held, destination="held", now=later)
    outbox(store).claim("sending", limit=1, now=later)
    Acts(store).discard([(id_of(7), "discarded", "due")], now=later, who=SOMEONE)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1]),
        ({"limit": 3}, [8, 7, 6]),
        ({"test": True}, [3]),
        ({"test": False, "limit": 2}, [8, 7]),
        ({"since": NOW + 5}, [8, 7, 6]),
        ({"state": "accepted", "since": NOW + 6}, [8, 7]),
        ({"state": "duplicate"}, [2]),
        ({"state": "withheld"}, [4]),
        ({"state": "quarantined"}, [5]),
        ({"state": "erased"}, []),
        ({"state": "sent"}, [3, 1]),
        ({"state": "due"}, [4]),
        ({"state": "held"}, [6]),
        ({"state": "dead"}, [3]),
        ({"state": "sending"}, [8]),
        ({"state": "discarded"}, [7]),
        ({"state": "sent", "test": True}, [3]),
        ({"state": "no such state"}, []),
    ],
    ids=str,
)
def test_leads_are_found_by_what_became_of_them(views, wanted, found):
    assert seen(views, **wanted) == found


@pytest.mark.usefixtures("mixed")
def test_discarded_are_bodies_and_deliveries(views, store):
    Acts(store).discard_quarantined([id_of(5)], now=NOW, who=SOMEONE)
    assert seen(views, state="discarded") == [7, 5]


@pytest.mark.usefixtures("mixed")
def test_the_list_of_leads_has_nothing_personal(views):
    listed = views.leads(Filter())
    assert "contoso" not in str(listed)
    assert "Some" not in str(listed)
    assert listed[4] == {
        "id": id_of(4),
        "status": "withheld",
        "test": False,
        "received_at": "2027-01-15T08:00:00.003Z",
        "source": "marketplace",
        "lead_source": None,
        "action_code": None,
        "offer": "A",
        "email_domain": "mit.edu",
        "deliveries": {"mail": "due"},
    }
    assert listed[6]["duplicate_of"] == id_of(1)


def test_one_lead_is_shown_as_the_contract_writes_it(store, views):
    keep(store, arrival(1, to=["table", "mail"], lead=Lead(last_name="One", action_code="INS")))
    settle(store, lambda claim: failed(claim, due=NOW + 5, code="network.timeout"))
    settle(store, lambda claim: result(claim, remote_id="row-1"), now=NOW + 5)
    shown = views.show(id_of(1))
    assert set(shown) >= {"id", "status", "test", "received_at", "source", "lead", "deliveries"}
    assert (shown["status"], shown["test"], shown["source"]) == ("accepted", False, "marketplace")
    assert shown["lead"] == Lead(last_name="One", action_code="INS").as_dict()
    mail, table = shown["deliveries"]
    assert mail == {"destination": "mail", "state": "due", "remote_id": None, "attempts": []}
    assert (table["destination"], table["state"], table["remote_id"]) == ("table", "sent", "row-1")
    assert [(one["at"], one["code"], one["status"], one["verdict"]) for one in table["attempts"]] == [
        ("2027-01-15T08:00:00.000Z", "network.timeout", None, "retry"),
        ("2027-01-15T08:00:00.005Z", None, None, "sent"),
    ]


@pytest.mark.usefixtures("mixed")
def test_what_has_no_lead_is_shown_without_one(views):
    assert [views.show(id_of(number))["lead"] for number in (2, 5)] == [None, None]
    assert views.show(id_of(99)) is None


# Causes


def causes(views):
    found = views.causes()
    assert views.standing() == {(one.destination, one.code): one.parked for one in found}  # the same, uncounted
    assert views.owed() == sorted(views.waiting())
    return [
        (
            one.destination,
            one.code,
            one.since - NOW,
            one.waiting,
            one.dead,
            one.next_try and one.next_try - NOW,
            one.parked,
        )
        for one in found
    ]


def test_no_trouble_no_causes(store, views):
    keep(store, arrival())
    assert causes(views) == []


def test_a_cause_is_one_row_however_many_leads_it_stops(store, views):
    keep(store, *(arrival(number) for number in range(1, 6)))
    for turn, at in enumerate((NOW, NOW + 10, NOW + 20), 1):
        settle(store, lambda claim, turn=turn, at=at: failed(claim, due=at + 10 * turn), limit=5, now=at)
    keep(store, arrival(9))  # has not failed yet
    assert causes(views) == [("table", "network.timeout", 0, 5, 0, 30, False)]


def test_every_reason_is_a_row_of_its_own_the_longest_lasting_first(store, views):
    keep(store, arrival(1), arrival(2), arrival(3))
    settle(store, lambda claim: failed(claim, due=NOW + 90, code="network.refused"), limit=1, now=NOW + 30)
    settle(store, lambda claim: failed(claim, due=NOW + 80), limit=1, now=NOW + 20)
    settle(store, dead, limit=1, now=NOW + 40)
    assert causes(views) == [
        ("table", "network.timeout", 20, 1, 0, 80, False),
        ("table", "network.refused", 30, 1, 0, 90, False),
        ("table", "azure_table.entity-too-large", 40, 0, 1, None, False),
    ]


def test_a_parked_destination_is_one_row_with_all_that_waits_for_it(store, views):
    keep(store, *(arrival(number) for number in range(1, 5)))
    settle(store, lambda claim: failed(claim, due=NOW + 90), limit=1)
    settle(store, held, limit=1)
    assert causes(views) == [("table", "azure_table.authentication-failed", 0, 4, 0, MINUTE, True)]


def test_leads_that_died_of_what_the_destination_is_parked_for_are_in_its_row(store, views):
    code = "azure_table.authentication-failed"
    keep(store, arrival(1), arrival(2))
    settle(store, lambda claim: dead(claim, code), limit=1)
    settle(store, lambda claim: held(claim, code), limit=1, now=NOW + 7)
    assert causes(views) == [("table", code, 0, 1, 1, MINUTE + 7, True)]


def test_trouble_that_is_over_is_no_cause(store, views):
    keep(store, arrival())
    settle(store, lambda claim: failed(claim, due=NOW))
    assert len(causes(views)) == 1
    settle(store, result)
    assert causes(views) == []


# Figures


@pytest.mark.usefixtures("mixed")
def test_figures_count_every_lead_and_every_delivery_once(views):
    figures = views.figures(names=["sent", "quiet"], now=NOW + MINUTE)
    leads = {(row.source, row.status, row.test): row.number for row in figures.leads}
    assert leads == {
        ("marketplace", "accepted", False): 4,
        ("marketplace", "accepted", True): 1,
        ("marketplace", "duplicate", False): 1,
        ("marketplace", "withheld", False): 1,
        ("marketplace", "quarantined", False): 1,
    }
    assert {(row.destination, row.state): row.number for row in figures.deliveries} == {
        ("sent", "sent"): 2,
        ("dead", "dead"): 1,
        ("mail", "due"): 1,
        ("held", "held"): 1,
        ("discarded", "discarded"): 1,
        ("sending", "sending"): 1,
    }
    assert {(row.destination, row.code): row.number for row in figures.failures} == {
        ("dead", "azure_table.entity-too-large"): 1,
        ("held", "azure_table.authentication-failed"): 1,
    }
    standing = {name: (one.parked, one.oldest_waiting_seconds) for name, one in figures.lanes.items()}
    assert standing == {
        "sent": (False, 0),
        "quiet": (False, 0),
        "mail": (False, 59.997),
        "held": (True, 59.995),
        "sending": (False, 59.993),
    }


def test_figures_follow_what_happens_as_if_everything_were_counted_anew(store, views):
    acts = Acts(store)

    def same():
        later = views.figures(names=["table"], now=NOW + MINUTE)
        anew = Views(store).figures(names=["table"], now=NOW + MINUTE)
        assert later == anew
        return {(row.destination, row.state): row.number for row in later.deliveries}

    keep(store, arrival(1), arrival(2, at=NOW - HOUR))
    assert same() == {("table", "due"): 2}
    keep(store, arrival(3), arrival(3), unreadable(4), arrival(5, test=True))
    settle(store, result)
    assert same() == {("table", "sent"): 4}
    keep(store, arrival(6))
    settle(store, lambda claim: failed(claim, due=NOW))
    assert same() == {("table", "sent"): 4, ("table", "due"): 1}
    acts.replay([(id_of(1), "table", "sent")], now=NOW, who=SOMEONE)
    assert same() == {("table", "sent"): 3, ("table", "due"): 2}
    acts.purge(leads=NOW, tests=NOW, bodies=NOW, tries=NOW, keys=NOW, now=NOW, who=SOMEONE)
    assert same() == {("table", "sent"): 2, ("table", "due"): 2}


def test_figures_are_made_without_reading_all_deliveries_again(store, views):
    keep(store, arrival(1))
    views.figures(names=["table"], now=NOW)
    asked = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    views.figures(names=["table"], now=NOW)
    assert not [one for one in asked if "FROM receipts" in one]
    about = [one for one in asked if "FROM deliveries" in one]
    assert about
    assert all("state IN ('due', 'sending')" in one or "state = 'd" in one for one in about)


@pytest.mark.usefixtures("mixed")
def test_what_waits_is_counted_with_the_oldest_ones_time(views):
    waiting = {"mail": (1, NOW + 3), "held": (1, NOW + 5), "sending": (1, NOW + 7)}
    assert views.waiting() == waiting


# Quarantine


def test_quarantine_is_listed_without_bodies_and_a_body_is_given_by_its_id(store, views):
    keep(store, unreadable(1, body=b"{secret"), unreadable(2, at=NOW + 1, body=None), arrival(3))
    second, first = views.quarantined()
    assert first == {
        "id": id_of(1),
        "received_at": "2027-01-15T08:00:00.000Z",
        "source": "marketplace",
        "content_type": "application/json",
        "length": 7,
        "kept": True,
        "status": 400,
        "title": "This is not JSON",
        "detail": "It ends too early.",
        "errors": [],
    }
    assert (second["id"], second["kept"]) == (id_of(2), False)
    assert views.body(id_of(1)) == ("marketplace", "application/json", b"{secret")
    assert views.body(id_of(2)) == ("marketplace", "application/json", None)
    assert views.body(id_of(3)) is None


def test_no_worker_has_been_seen_on_a_new_store(views):
    assert views.worker_seen_at() is None
