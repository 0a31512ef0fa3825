"""`check`: what would make leads vanish is named before the first one is lost, and nothing is written."""

import pytest

from app.destinations.base import DeliveryFailed
from app.destinations.salesforce.errors import Misconfigured
from tests.standins.salesforce import maintenance, refusal
from tests.standins.salesforce_use import AUTHS, EXTERNAL, MARKER, WAYS, Office, parcel


@pytest.fixture
def office(monkeypatch):
    with Office(monkeypatch) as one:
        yield one


def wrong(destination):
    with pytest.raises(DeliveryFailed) as found:
        destination.check()
    return found.value


def named(destination):
    found = wrong(destination)
    assert isinstance(found, Misconfigured)
    assert all(name in found.detail for name in found.names)
    return found.code, found.names


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("auth", AUTHS)
def test_a_working_destination_is_green_in_one_line_and_writes_nothing(office, auth, way):
    said = office.by(way, auth=auth).check()
    assert office.org.url in said
    assert "\n" not in said
    assert office.records == []
    assert office.org.count("write") == 0


def test_the_days_calls_are_shown(office):
    assert "20 of 5000 calls of the day used" in office.make().check()


def test_the_days_calls_are_asked_for_where_no_answer_tells_them(office):
    office.org.tells_usage = False
    assert "of 5000 calls of the day used" in office.make().check()
    assert office.org.count("limits") == 1
    office.org.meets("limits", lambda _work: refusal(200, "X")(None))
    assert "calls of the day unknown" in office.make().check()


def test_a_required_picklist_that_nothing_fills(office):
    office.org.leads.add("Region__c", "picklist", 255, nillable=False, values=("North", "South"))
    office.org.leads.add("Segment__c", "picklist", 255, nillable=False, values=("A", "B"))
    assert named(office.make()) == ("salesforce-picklist-mandatory", ("Region__c", "Segment__c"))
    filled = office.make(fields={"Region__c": "North", "segment__c": "B"})
    assert "may create leads" in filled.check()
    assert not isinstance(filled.send([parcel()])[0], DeliveryFailed)


def test_a_restricted_required_picklist_that_a_leads_value_may_not_be_in(office):
    office.org.leads.add("Region__c", "picklist", 255, nillable=False, restrictedPicklist=True, values=("North",))
    assert named(office.make(fields={"Region__c": "$country"}))[0] == "salesforce-picklist-mandatory"


def test_a_required_lead_source_without_a_value_that_we_could_use(office):
    office.org.leads.change("LeadSource", nillable=False, restrictedPicklist=True)
    assert "LeadSource that the picklist doesn't have becomes Web" in office.make().check()
    office.org.leads.add("LeadSource", "picklist", nillable=False, restrictedPicklist=True, values=("Fair",))
    assert named(office.make()) == ("salesforce-picklist-mandatory", ("LeadSource",))
    assert "becomes Fair" in office.make(lead_source="Fair").check()


def test_a_required_field_that_nothing_fills(office):
    office.org.leads.add("Budget__c", "double", nillable=False)
    assert named(office.make()) == ("REQUIRED_FIELD_MISSING", ("Budget__c",))
    assert office.make(fields={"Budget__c": 0}).check()


def test_a_required_field_that_some_leads_have_nothing_for_is_mentioned(office):
    office.org.leads.change("Phone", nillable=False)
    assert "leads without Phone will be refused" in office.make().check()


def test_no_permission_to_create_leads(office):
    office.org.leads.createable = False
    assert named(office.make())[0] == "INSUFFICIENT_ACCESS_OR_READONLY"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"fields": {"Regoin__c": "North"}}, "Regoin__c"),
        ({"external_id_field": EXTERNAL}, EXTERNAL),
        ({"marker_field": MARKER}, MARKER),
        ({"country": "code"}, "CountryCode"),
    ],
)
def test_a_configured_field_that_the_org_does_not_have(office, changes, name):
    assert named(office.make(**changes)) == ("INVALID_FIELD", (name,))


def test_a_description_that_our_user_may_not_see_cannot_hold_the_mark(office):
    office.org.leads.hide("Description")
    assert named(office.make()) == ("INVALID_FIELD", ("Description",))


def test_a_configured_field_that_may_not_be_written(office):
    office.org.leads.change("Rating", createable=False)
    assert named(office.make(fields={"rating": "Hot"})) == ("INVALID_FIELD_FOR_INSERT_UPDATE", ("Rating",))


def test_a_configured_value_that_the_picklist_does_not_have(office):
    office.org.leads.change("Rating", restrictedPicklist=True)
    assert named(office.make(fields={"Rating": "Boiling"})) == (
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        ("Rating",),
    )


def test_a_left_out_field_is_not_looked_for(office):
    office.org.leads.hide("Title")
    assert "Title" not in office.make(fields={"Title": ""}).check()


@pytest.mark.parametrize("changes", [{"externalId": False}, {"length": 18}])
def test_an_external_id_that_leads_cannot_be_recognised_by(office, changes):
    destination = office.by("external id")
    office.org.leads.change(EXTERNAL, **changes)
    assert named(destination) == ("salesforce-external-id-unusable", (EXTERNAL,))


@pytest.mark.parametrize("changes", [{"filterable": False}, {"length": 18}])
def test_a_marker_field_that_leads_cannot_be_found_by(office, changes):
    destination = office.by("marker field")
    office.org.leads.change(MARKER, **changes)
    assert named(destination) == ("salesforce-marker-unusable", (MARKER,))


def test_fields_that_we_fill_are_not_missed(office):
    office.org.leads.change("Description", nillable=False)
    destination = office.by("external id")
    office.org.leads.change(EXTERNAL, nillable=False)
    assert destination.check()


def test_a_hidden_usual_field_is_mentioned(office):
    office.org.leads.hide("Title")
    assert "Title can't be written and will stand in the description" in office.make().check()


def test_check_sees_what_was_mended_since(office):
    """Also what `send` then uses is new."""
    office.org.leads.add("Region__c", "picklist", 255, nillable=False, values=("North", "South"))
    destination = office.make()
    wrong(destination)
    office.org.leads.hide("Region__c")
    assert destination.check()
    assert not isinstance(destination.send([parcel()])[0], DeliveryFailed)


@pytest.mark.parametrize("operation", ["token", "describe", "query", "search"])
def test_check_runs_into_what_send_would(office, operation):
    office.org.meets(operation, maintenance)
    assert wrong(office.make()).status == 503


def test_check_says_that_queries_are_not_allowed(office):
    office.org.meets("query", refusal(403, "API_DISABLED_FOR_ORG", "API is not enabled"))
    assert wrong(office.make()).code == "API_DISABLED_FOR_ORG"
