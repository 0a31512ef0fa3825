"""Leads into Salesforce: once each, in few calls, one outcome a lead, and nothing of a person outside of it."""

import subprocess
import sys
from datetime import timedelta

import pytest

from app.destinations.base import DeliveryFailed, Sent
from app.destinations.salesforce.wire import Limits
from tests.standins.salesforce import SECRET, answering, cut, hang, one_short
from tests.standins.salesforce_use import EXTERNAL, MARKER, WAYS, Office, parcel, parcels

BRIEF = Limits(read=0.5)


@pytest.fixture
def office(monkeypatch):
    with Office(monkeypatch) as one:
        yield one


def codes(outcomes):
    return [one.code if isinstance(one, DeliveryFailed) else type(one).__name__ for one in outcomes]


@pytest.mark.parametrize("way", WAYS)
def test_the_same_deliveries_twice_leave_one_record_each(office, way):
    first = office.by(way).send(parcels(5))
    again = office.by(way).send(parcels(5, redelivery=True))
    assert first == again == [Sent(one["Id"]) for one in office.records]
    assert len(office.records) == 5


@pytest.mark.parametrize("way", WAYS)
def test_what_a_salesperson_changed_stays(office, way):
    office.by(way).send(parcels(3))
    office.records[1] |= {"LastName": "Changed", "Email": "other@fabrikam.com", "Status": "Closed"}
    assert codes(office.by(way).send(parcels(3, redelivery=True))) == ["Sent"] * 3
    assert (office.records[1]["LastName"], office.records[1]["Status"]) == ("Changed", "Closed")
    assert len(office.records) == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", [hang, cut, one_short])
def test_an_answer_lost_after_the_write_leaves_one_record(office, way, scenario):
    destination = office.by(way)
    destination.limits = BRIEF
    office.org.meets("write", scenario)
    lost = codes(destination.send(parcels(4)))
    assert lost[0] in {"network.timeout", "network.interrupted", "salesforce-unreadable-answer"}
    assert len(set(lost)) == 1
    office.clock.pass_(seconds=5)
    assert codes(destination.send(parcels(4, redelivery=True))) == ["Sent"] * 4
    assert len(office.records) == 4


@pytest.mark.parametrize("way", WAYS)
def test_of_a_repeated_batch_only_what_is_missing_is_written(office, way):
    destination = office.by(way)
    destination.send(parcels(3))
    writes = office.org.count("write")
    again = parcels(6, redelivery=True)
    assert codes(destination.send(again)) == ["Sent"] * 6
    assert len(office.records) == 6
    assert codes(destination.send(again)) == ["Sent"] * 6
    assert office.org.count("write") == writes + 1


def test_a_search_index_that_lags_behind_does_not_make_a_second_lead(office):
    office.org.leads.index_lag = timedelta(minutes=15)
    office.make().send(parcels(3))
    office.clock.pass_(minutes=5)
    office.make().send(parcels(3, redelivery=True))
    assert len(office.records) == 3


def test_days_later_the_search_index_finds_what_the_recent_query_does_not(office):
    office.make().send(parcels(150))
    office.clock.pass_(days=3)
    assert codes(office.make().send(parcels(150, redelivery=True))) == ["Sent"] * 150
    assert len(office.records) == 150
    assert office.org.count("search") == 2


def test_a_search_that_finds_too_much_is_not_believed(office):
    """Only a lead that has the mark in its text is ours."""
    destination = office.make()
    destination.send([parcel(1)])
    office.clock.pass_(days=3)
    rows = [{"Id": "00QHs00000StrangerV", "Description": "Leadwire 1, of somebody else"}]
    office.org.meets("search", answering(body={"searchRecords": rows}))
    destination.send([parcel(2, redelivery=True)])
    assert len(office.records) == 2


def test_a_recent_query_is_read_to_its_last_page(office):
    office.org.leads.page_size = 2
    office.org.leads.index_lag = timedelta(minutes=15)
    office.make().send(parcels(7))
    office.make().send(parcels(7, redelivery=True))
    assert len(office.records) == 7


def test_a_query_that_breaks_off_stops_before_anything_is_written(office):
    destination = office.by("marker field")
    office.org.meets("query", answering(body={"totalSize": 0, "done": False, "records": []}))
    with pytest.raises(DeliveryFailed) as failed:
        destination.send(parcels(2, redelivery=True))
    assert failed.value.code == "salesforce-unreadable-answer"
    assert office.records == []


def test_200_redeliveries_are_asked_for_in_one_query(office):
    office.by("external id").send(parcels(200))
    again = office.by("external id").send(parcels(200, redelivery=True))
    assert codes(again) == ["Sent"] * 200
    assert office.org.count("query") == 1


def test_the_org_may_spell_a_field_otherwise_than_the_settings(office):
    office.by("external id")
    destination = office.make(external_id_field=EXTERNAL.lower())
    destination.send(parcels(2))
    office.records[0]["LastName"] = "Changed"
    destination.send(parcels(2, redelivery=True))
    assert [one["LastName"] for one in office.records] == ["Changed", "One"]


def test_an_external_id_that_is_there_already_is_sent_and_not_written_again(office):
    """Two upserts at once: the one that comes second is told the record's id."""
    destination = office.by("external id")
    text = f"duplicate value found: {EXTERNAL} duplicates value on record with id: 00QHs0000001234"
    office.org.leads.trigger = lambda _record: ("DUPLICATE_VALUE", text)
    assert destination.send([parcel()]) == [Sent("00QHs0000001234")]


def test_another_unique_field_is_a_failure(office):
    destination = office.by("external id")
    office.org.leads.change("Email", unique=True)
    assert codes(destination.send([parcel(1), parcel(2)])) == ["Sent", "DUPLICATE_VALUE"]


def test_1000_leads_take_at_most_12_calls(office):
    destination = office.by("external id")
    for first in range(1, 1001, 200):
        assert codes(destination.send(parcels(200, first=first))) == ["Sent"] * 200
    assert len(office.records) == 1000
    assert office.org.count() <= 12
    assert (office.org.count("token"), office.org.count("describe"), office.org.count("write")) == (1, 1, 5)


def test_1000_leads_again_take_at_most_12_calls(office):
    office.by("external id").send(parcels(200))
    office.org.calls.clear()
    destination = office.by("external id")
    for first in range(1, 1001, 200):
        destination.send(parcels(200, first=first, redelivery=True))
    assert len(office.records) == 1000
    assert office.org.count() <= 12


def test_one_bad_lead_among_200_leaves_its_neighbours_alone(office):
    office.org.leads.trigger = lambda record: (
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "No.") if record["Email"] == "someone.117@contoso.com" else None
    )
    outcomes = office.make().send(parcels(200))
    assert [place for place, one in enumerate(outcomes) if isinstance(one, DeliveryFailed)] == [116]
    assert outcomes[116].code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert len(office.records) == 199
    assert office.org.count("write") == 1


def test_very_long_leads_are_spread_over_calls(office):
    long = parcels(200, description="ä" * 31_000)
    assert codes(office.make().send(long)) == ["Sent"] * 200
    assert office.org.count("write") == 4
    assert [one["Email"] for one in office.records] == [one.lead.email for one in long]


def test_what_one_of_several_calls_meets_is_spared_to_the_rest(office):
    long = parcels(200, description="ä" * 31_000)
    office.org.meets("write", lambda work: work(), answering(status=503, body=b"<html>"))
    outcomes = codes(office.make().send(long))
    assert outcomes[0] == "Sent"
    assert outcomes[-1] is None
    assert office.org.count("write") == 2


def test_a_locked_row_is_a_row_lock_also_inside_an_automation(office):
    text = "LeadTrigger: System.DmlException: first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"
    office.org.leads.trigger = lambda _: ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text)
    assert codes(office.make().send([parcel()])) == ["UNABLE_TO_LOCK_ROW"]
    office.org.leads.trigger = lambda _: ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
    assert codes(office.make().send([parcel()])) == ["UNABLE_TO_LOCK_ROW"]


def test_a_required_picklist_that_nothing_fills_has_the_name_that_check_gives_it(office):
    office.org.leads.add("Region__c", "picklist", 255, nillable=False, values=("North", "South"))
    assert codes(office.make().send([parcel()])) == ["salesforce-picklist-mandatory"]


def test_a_required_field_that_is_no_picklist_has_salesforces_own_code(office):
    office.org.leads.add("Budget__c", "double", nillable=False)
    outcome = office.make().send([parcel()])[0]
    assert (outcome.code, "Budget__c" in outcome.detail) == ("REQUIRED_FIELD_MISSING", True)


@pytest.mark.parametrize(
    ("rule", "setting", "code"),
    [
        ("alert", "allow", "Sent"),
        ("alert", "block", "DUPLICATES_DETECTED"),
        ("block", "allow", "DUPLICATES_DETECTED"),
        (None, "block", "Sent"),
    ],
)
def test_an_alerting_duplicate_rule_lets_a_lead_pass_where_we_are_to_allow_it(office, rule, setting, code):
    office.org.leads.duplicate_rule = rule
    destination = office.make(duplicate_rule=setting)
    assert codes(destination.send([parcel(1), parcel(2)])) == ["Sent", code]


@pytest.mark.parametrize(
    ("setting", "said"), [(True, "TRUE"), (False, "FALSE"), ("01QHs0000001234", "01QHs0000001234")]
)
def test_the_assignment_rule_is_said_in_each_write(office, setting, said):
    office.make(assignment_rule=setting).send([parcel()])
    assert office.records[0]["OwnerId"] == said


def test_headers_survive_signing_in_anew(office):
    office.org.leads.duplicate_rule = "alert"
    destination = office.make(assignment_rule=False)
    destination.send([parcel(1)])
    office.org.expire()
    assert codes(destination.send([parcel(2)])) == ["Sent"]
    assert [one["OwnerId"] for one in office.records] == ["FALSE", "FALSE"]


def test_after_a_refusal_about_fields_the_object_is_described_again(office):
    """An administrator shortened a field: the next attempt knows."""
    destination = office.make()
    destination.send([parcel(1)])
    office.org.leads.change("Title", length=3)
    office.clock.pass_(hours=1)
    assert codes(destination.send([parcel(2)])) == ["STRING_TOO_LONG"]
    assert codes(destination.send([parcel(2, redelivery=True)])) == ["Sent"]
    assert office.records[1]["Title"] == "Es…"


def test_refusals_one_after_the_other_do_not_describe_each_time(office):
    office.org.leads.add("Region__c", "picklist", 255, nillable=False, values=("North", "South"))
    destination = office.make()
    for number in range(5):
        destination.send([parcel(number)])
    assert office.org.count("describe") == 1


def test_making_a_destination_touches_nothing(office, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("it called somebody"))
    for auth in ("client_credentials", "jwt", "password"):
        office.make(auth=auth)
    assert office.org.calls == []


def test_nothing_of_a_person_and_no_secret_leaves_by_an_error_or_a_log(office, capfd, caplog):
    person = {
        "first_name": "Zaphkiel", "last_name": "Quillfeather", "email": "zaphkiel.q@contoso.com", "phone": "5550987123",
        "description": "Zaphkiel would like a call on 5550987123",
    }  # fmt: skip
    destination = office.make()
    destination.limits = BRIEF
    destination.send([parcel(1, **person)])
    office.org.leads.trigger = lambda record: ("STRING_TOO_LONG", f"LastName: data value too large: {record}")
    failures = [destination.send([parcel(2, **person)])[0]]
    office.org.meets("write", hang, answering(status=400, body=[{"errorCode": "X Quillfeather", "message": "No"}]))
    failures += [destination.send([parcel(number, **person)])[0] for number in (3, 4)]
    said = f"{failures!s} {failures!r} {[str(one) for one in failures]} {capfd.readouterr()} {caplog.text}"
    said += repr([(one.code, one.args) for one in failures])
    assert all(isinstance(one, DeliveryFailed) for one in failures)
    for value in (*person.values(), SECRET, "session."):
        assert value.casefold() not in said.casefold()


def test_a_marker_field_gets_the_deliverys_id(office):
    office.by("marker field").send([parcel()])
    assert office.records[0][MARKER] == parcel().delivery_id


def test_a_destination_costs_no_sdk_before_its_first_call():
    script = """
import os, sys
os.environ["SF_SECRET"] = "secret"
from app.destinations import load_type
kind = load_type("salesforce")
settings = kind.schema().load({"type": "salesforce", "auth": "client_credentials", "client_id": "app",
    "login_url": "https://contoso.my.salesforce.com", "client_secret": "env:SF_SECRET"})
from app.destinations.base import Tools
kind("sales", settings, Tools(now=None, public_url="https://leads.contoso.example")).close()
print([name for name in ("requests", "jwt", "simple_salesforce", "zeep", "cryptography") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_an_answer_in_chunks_that_breaks_off_is_a_failure(office):
    """200 results are longer than one chunk."""
    destination = office.by("external id")
    office.org.meets("write", cut)
    assert codes(destination.send(parcels(200))) == ["network.interrupted"] * 200
    assert codes(destination.send(parcels(200, redelivery=True))) == ["Sent"] * 200
    assert len(office.records) == 200
