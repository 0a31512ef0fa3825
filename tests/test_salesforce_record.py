"""A lead as a Salesforce record: fields and their limits, and what becomes of what doesn't fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.destinations.salesforce import Salesforce
from app.destinations.salesforce.describe import read_describe
from app.destinations.salesforce.record import REFERENCES, Recorder, marker
from app.destinations.salesforce.text import clean, clip, units
from tests.standins.salesforce_lead import LeadTable
from tests.standins.salesforce_use import EXTERNAL, START, parcel

BASE = {"type": "salesforce", "auth": "client_credentials", "login_url": "https://contoso.my.salesforce.com"}
MARK = f"Leadwire {marker(parcel().delivery_id)}, lead {parcel().lead_id}"


@pytest.fixture
def table():
    return LeadTable(now=lambda: START, user_id="005")


@pytest.fixture
def record(table, monkeypatch):
    """Make the record of a lead in the org of `table`, and have that org take it."""
    monkeypatch.setenv("SF_SECRET", "secret")

    def make(*, settings=None, taken=True, **lead):
        given = BASE | {"client_id": "app", "client_secret": "env:SF_SECRET"} | (settings or {})
        made = Recorder(Salesforce.schema().load(given)).record(parcel(**lead), read_describe(table.described()))
        result = table.write([made], external=None, saves=True, assigned="TRUE")[0]
        assert result["success"] is taken, result
        return made

    return make


def test_the_documented_sample_lead(record):
    made = record()
    text = made.pop("Description")
    assert made == {
        "FirstName": "Some", "LastName": "One", "Company": "Contoso", "Email": "someone@contoso.com",
        "Phone": "16175555555", "Title": "Esquire", "Country": "US", "LeadSource": "AzureMarketplace",
    }  # fmt: skip
    assert text.split("\n") == [
        "Please call.", "", "Offer: Test Microsoft", "Action: INS (Get it now, or a free trial)",
        "Source: AzureMarketplace", "", MARK,
    ]  # fmt: skip


def test_a_lead_without_anything_has_a_name_and_a_company(record):
    nothing = dict.fromkeys(("first_name", "last_name", "email", "phone", "country", "company", "title"))
    made = record(**nothing, lead_source=None, action_code=None, offer_title=None, description=None)
    assert made == {"LastName": "[not provided]", "Company": "[not provided]", "Description": MARK}


@pytest.mark.parametrize(
    ("field", "name", "limit"),
    [
        ("first_name", "FirstName", 40),
        ("last_name", "LastName", 80),
        ("company", "Company", 255),
        ("title", "Title", 128),
        ("phone", "Phone", 40),
        ("country", "Country", 80),
    ],
)
def test_what_is_too_long_is_clipped_with_a_mark_and_stands_in_full_in_the_description(record, field, name, limit):
    long = "7" * (limit + 1)
    made = record(**{field: long})
    assert made[name].endswith("…[clipped]")
    assert len(made[name]) == limit
    assert f"{name}, in full: {long}" in made["Description"]
    assert record(**{field: "7" * limit})[name] == "7" * limit


def test_what_the_org_says_of_a_length_goes_over_what_is_usual(record, table):
    table.change("Company", length=20)
    assert record(company="Contoso Pharmaceuticals Limited")["Company"] == "Contoso Ph…[clipped]"


def test_a_description_is_clipped_and_keeps_its_mark(record):
    """The customer's words give way to what found no place in its own field."""
    made = record(description="x" * 40_000, title="y" * 200)
    assert len(made["Description"]) == 32_000
    assert "x…[clipped]\n\nOffer: Test Microsoft\n" in made["Description"]
    assert made["Description"].endswith(f"Title, in full: {'y' * 200}\n\n{MARK}")


def test_facts_without_end_are_clipped_too(record):
    made = record(description="x" * 40_000, extra={"Long": "z" * 40_000})
    assert len(made["Description"]) == 32_000
    assert made["Description"].endswith(f"z…[clipped]\n\n{MARK}")
    assert made["Description"].startswith("x" * 15_000)


def test_a_short_description_field_keeps_at_least_the_mark(record, table):
    table.change("Description", length=200)
    assert record(description="x" * 500)["Description"].endswith(MARK)


@pytest.mark.parametrize(
    "email",
    [
        "someone",
        "some one@contoso.com",
        "someone@contoso",
        "someone@-contoso.com",
        "ü@contoso.com",
        "a..b@contoso.com",
        "someone@contoso.com, other@contoso.com",
        f"{'a' * 70}@contoso.com",
    ],
)
def test_an_address_that_salesforce_would_refuse_stands_in_the_description(record, email):
    made = record(email=email)
    assert "Email" not in made
    assert f"Email, in full: {email}" in made["Description"]


@pytest.mark.parametrize("email", ["O'Brien+x@mail.contoso.co.uk", "a@b.io", "first.last@contoso.com"])
def test_an_unusual_address_is_kept(record, email):
    assert record(email=email)["Email"] == email


def test_line_breaks_and_control_characters_do_not_get_into_one_line_fields(record):
    made = record(company="Contoso\r\n\tLtd", last_name="O\x00ne", first_name="So\ud800me")
    assert (made["Company"], made["LastName"], made["FirstName"]) == ("Contoso Ltd", "O\ufffdne", "So\ufffdme")


def test_a_restricted_lead_source_gets_the_stand_in(record, table):
    table.change("LeadSource", restrictedPicklist=True)
    made = record()
    assert made["LeadSource"] == "Web"
    assert "LeadSource, in full: AzureMarketplace" in made["Description"]
    assert record(settings={"lead_source": "other"})["LeadSource"] == "Other"
    assert record(lead_source="web")["LeadSource"] == "Web"
    assert "LeadSource" not in record(settings={"lead_source": "Marketplace"})
    assert "LeadSource" not in record(lead_source=None)


def test_a_required_lead_source_is_filled_for_a_lead_without_one(record, table):
    table.change("LeadSource", nillable=False)
    assert record(lead_source=None)["LeadSource"] == "Web"


def test_an_inactive_picklist_value_does_not_count(record, table):
    table.change("LeadSource", restrictedPicklist=True)
    table.fields["LeadSource"]["picklistValues"][0]["active"] = False
    assert record()["LeadSource"] == "Other"


def test_country_is_a_code_when_the_org_has_country_picklists(record, table):
    table.country_picklists(US="United States", DE="Germany")
    made = record()
    assert (made.get("Country"), made["CountryCode"]) == (None, "US")
    lost = record(country="FR")
    assert "CountryCode" not in lost
    assert "Country, in full: FR" in lost["Description"]
    assert "Country, in full: Freedonia" in record(country="Freedonia")["Description"]


def test_country_as_text_in_spite_of_picklists_is_a_persons_choice(record, table):
    table.country_picklists(US="United States")
    assert record(settings={"country": "text"}, country="United States")["Country"] == "United States"
    assert record(settings={"country": "text"}, country="US", taken=False)["Country"] == "US"


def test_country_as_code_where_there_is_none_stands_in_the_description(record):
    made = record(settings={"country": "code"})
    assert "Country" not in made
    assert "Country, in full: US" in made["Description"]


def test_do_not_contact_sets_the_flags_that_the_org_has(record, table):
    assert record(action_code="DNC")["DoNotCall"] is True
    table.hide("DoNotCall")
    made = record(action_code="dnc")
    assert "DoNotCall" not in made
    assert made["HasOptedOutOfEmail"] is True
    table.change("HasOptedOutOfEmail", createable=False)
    assert "HasOptedOutOfEmail" not in record(action_code="DNC")
    assert "DoNotCall" not in record(action_code="INS")


def test_a_test_lead_can_be_told_by_its_name_and_its_text(record):
    made = record(test=True, email="MSFT_TEST_1@test.com")
    assert made["LastName"] == "[TEST] One"
    assert made["Description"].startswith("TEST LEAD of the marketplace, no customer.\n")
    assert record(test=True, last_name="MSFT_TEST_123")["LastName"] == "MSFT_TEST_123"
    assert len(record(test=True, last_name="y" * 80)["LastName"]) == 80


def test_constants_renames_and_fields_left_out(record, table):
    table.add("Offer__c", "string", 255)
    table.add("Campaign__c", "string", 255)
    fields = {
        "MobilePhone": "$phone", "Rating": "Hot", "Title": "", "Offer__c": "$offer", "DoNotCall": True,
        "Campaign__c": "$campaign.mktcmpid", "Company": "$$5 Club",
    }  # fmt: skip
    made = record(settings={"fields": fields}, campaign={"mktcmpid": 1234}, publisher_id="contoso", offer_id="backup")
    assert {name: made.get(name) for name in fields} == {
        "MobilePhone": "16175555555", "Rating": "Hot", "Title": None, "Offer__c": "contoso.backup", "DoNotCall": True,
        "Campaign__c": "1234", "Company": "$5 Club",
    }  # fmt: skip


def test_names_of_fields_are_taken_in_any_case(record):
    made = record(settings={"fields": {"firstname": "", "mobilephone": "$phone"}})
    assert "FirstName" not in made
    assert made["MobilePhone"] == "16175555555"


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_name_of_ours_can_be_put_into_a_field(record, table, reference):
    table.add("Any__c", "string", 255)
    lead = {"publisher_id": "contoso", "offer_id": "backup"}
    assert record(settings={"fields": {"Any__c": f"${reference}"}}, **lead)["Any__c"]


def test_a_usual_field_that_our_user_may_not_see_stands_in_the_description(record, table):
    table.hide("Title")
    table.change("Phone", createable=False)
    made = record()
    assert not {"Title", "Phone"} & made.keys()
    assert "Title, in full: Esquire" in made["Description"]
    assert "Phone, in full: 16175555555" in made["Description"]


def test_a_configured_field_that_is_not_there_is_refused_and_not_forgotten(record):
    assert record(settings={"fields": {"Nowhere__c": "$phone"}}, taken=False)["Nowhere__c"] == "16175555555"


def test_a_required_text_field_that_a_lead_has_nothing_for_is_filled(record, table):
    table.change("Title", nillable=False)
    assert record(title=None)["Title"] == "[not provided]"


def test_campaign_and_extra_fields_are_readable(record):
    made = record(campaign={"mktcmpid": "1234"}, description='{"mktcmpid": "1234"}', extra={"Seats": 5})
    assert "Campaign: mktcmpid = 1234" in made["Description"]
    assert '{"mktcmpid"' not in made["Description"]
    assert 'Also sent: {"Seats": 5}' in made["Description"]


def test_description_and_mark_can_be_left_to_the_external_id(record, table):
    table.add(EXTERNAL, "string", 36, externalId=True)
    made = record(settings={"external_id_field": EXTERNAL, "fields": {"Description": ""}})
    assert "Description" not in made
    assert made[EXTERNAL] == parcel().delivery_id


def test_marks_are_one_word_of_digits_that_only_one_delivery_has():
    marks = {marker(parcel(number).delivery_id) for number in range(1000)}
    assert len(marks) == 1000
    assert all(len(one) == 30 and one.isdecimal() for one in marks)


@given(text=st.text(alphabet=st.characters(), max_size=60), limit=st.integers(min_value=1, max_value=50))
def test_clipping_never_goes_over_the_limit_nor_leaves_half_a_pair(text, limit):
    clipped = clip(clean(text), limit)
    assert units(clipped) <= limit
    clipped.encode()
    assert clipped == clean(text) or clipped.endswith(("…", "…[clipped]"))


@given(
    st.builds(
        dict,
        **dict.fromkeys(
            ("first_name", "last_name", "email", "phone", "country", "company", "title", "description"),
            st.none() | st.text(alphabet=st.characters(), min_size=1, max_size=300),
        ),
    )
)
def test_whatever_a_lead_holds_the_org_takes_it(lead):
    table = LeadTable(now=lambda: START, user_id="005")
    settings = {
        "fields_": {},
        "external_id_field": None,
        "marker_field": "Description",
        "lead_source": None,
        "country": "auto",
    }
    made = Recorder(settings).record(parcel(**lead), read_describe(table.described()))
    assert table.write([made], external=None, saves=True, assigned="TRUE")[0]["success"] is True
