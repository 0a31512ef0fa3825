"""What a salesperson finds in the CRM: which column holds what, how long it may be, and what happens to the rest."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.destinations.base import Sent
from app.destinations.dynamics.columns import DEFAULTS, LENGTHS, columns_of, read_rule
from app.destinations.dynamics.text import clean, shorten, units
from app.lead import Lead
from tests.standins.dataverse_leads import Environment, columns
from tests.standins.dynamics_use import Office, parcel


@pytest.fixture
def office(server_tls, ca_bundle, monkeypatch):
    with Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as one:
        yield one


def written(changes=None, /, *, test=False, **lead):
    """The columns of a lead of the sample customer, with changes to the settings."""
    rules = {column: rule for column, rule in DEFAULTS.items() if column not in (changes or {})}
    read = {column: read_rule(column, told) for column, told in (changes or {}).items()}
    return columns_of(parcel(test=test, **lead), rules | {column: rule for column, rule in read.items() if rule})


def test_a_customers_lead_is_readable_in_every_column():
    assert written() == {
        "subject": "Test Microsoft: Get it now or free trial – Contoso",  # noqa: RUF001  (a dash)
        "firstname": "Some",
        "lastname": "One",
        "companyname": "Contoso",
        "jobtitle": "Esquire",
        "emailaddress1": "someone@contoso.com",
        "telephone1": "16175555555",
        "address1_country": "US",
        "leadsourcecode": 8,
        "description": "Offer: Test Microsoft (contoso.backup)\nAction: Get it now or free trial\n"
        "Lead source: AzureMarketplace\nReceived: 2026-11-20 23:51 UTC\n"
        f"Lead in Leadwire: {parcel().lead_id}\n\nWhat they wrote:\nPlease call.",
    }


def test_a_lead_of_three_fields_has_only_what_it_has():
    """As Office add-ins send it: no company, no phone, no offer."""
    bare = dict.fromkeys(set(Lead.__struct_fields__) - {"campaign", "extra"})
    found = written(**bare | {"first_name": "Some", "email": "someone@contoso.com"})
    assert found.pop("description").startswith("Received: ")
    assert found == {
        "subject": "Marketplace lead – Some",  # noqa: RUF001
        "firstname": "Some",
        "lastname": "[not provided]",
        "emailaddress1": "someone@contoso.com",
        "leadsourcecode": 8,
    }


@pytest.mark.parametrize("name", [None, "", " ", "\x00", "\u2028"])
def test_a_last_name_is_never_empty(name):
    assert written(last_name=name)["lastname"] == "[not provided]"


ACTIONS = [
    ("PLT", "Contact me"), ("dnc", "for information only, do not contact"),
    ("Create", "bought or deployed in the Azure portal"), ("StartTestDrive", "test drive started"), ("NEW", "NEW"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words"), ACTIONS)
def test_an_action_is_said_in_words_and_an_unknown_one_as_it_is(code, words):
    found = written(action_code=code)
    assert f": {words} " in found["subject"]
    assert f"Action: {words}\n" in found["description"]


def test_only_do_not_contact_sets_the_flags():
    flags = {"donotemail", "donotphone", "donotbulkemail", "donotpostalmail", "donotfax"}
    assert {column for column, value in written(action_code="DNC").items() if value is True} == flags
    assert not flags & written(action_code="INS").keys()


def test_a_test_lead_is_told_from_a_customer_at_first_sight():
    found = written(test=True)
    assert found["subject"].startswith("[MSFT_TEST] Test Microsoft")
    assert found["description"].startswith("Test: this is no customer")
    assert "MSFT_TEST" not in str(written())


def test_a_long_offer_does_not_push_the_company_out_of_the_topic():
    assert re.search(r"^(Offer ){26}Offe…: .* Contoso$", written(offer_title="Offer " * 200)["subject"])


# --- lengths


LONG = [
    ("firstname", "first_name", 50, "First name"), ("lastname", "last_name", 50, "Last name"),
    ("companyname", "company", 100, "Company"), ("jobtitle", "title", 100, "Job title"),
    ("emailaddress1", "email", 100, "E-mail"), ("telephone1", "phone", 50, "Phone"),
    ("address1_country", "country", 80, "Country"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "name", "limit", "label"), LONG)
def test_what_is_too_long_is_cut_with_a_mark_and_stands_whole_in_the_text(column, name, limit, label):
    text = "x" * (limit - 1) + "yz"
    found = written(**{name: text})
    assert found[column] == "x" * (limit - 1) + "…"
    assert f"{label} in full: {text}\n" in found["description"]
    assert written(**{name: "x" * limit})[column] == "x" * limit
    assert "in full" not in written(**{name: "x" * limit})["description"]


def test_all_that_was_cut_stands_in_the_text_while_it_fits():
    found = written(**{name: name * 30 for _, name, _, _ in LONG})
    assert all(name * 30 in found["description"] for _, name, _, _ in LONG)
    assert units(found["description"]) <= 2000


def test_long_notes_and_long_facts_share_the_text():
    """Neither pushes the other out, and the beginning of both can be read."""
    found = written(description="Notes " * 1000, extra={"more": "m" * 5000})["description"]
    assert units(found) == 2000
    assert found.startswith("Offer: ")
    assert found.count("Notes") > 100
    assert "more: mmm" in found
    assert found.endswith("…")


def test_a_sign_of_two_units_is_never_cut_in_half():
    found = written(first_name="😀" * 30)["firstname"]
    assert found == "😀" * 24 + "…"
    assert units(found) == 49


# --- what the marketplace puts into the description


NOTES = [
    ('{"mktcmpid": "1234"}', ""), ('Campaigns: {"mktcmpid": "1234"}', ""),
    ('{"mktcmpid": "1234"} Please call.', "Please call."), ("Please call.", "Please call."),
]  # fmt: skip


@pytest.mark.parametrize(("description", "notes"), NOTES)
def test_a_campaign_is_said_once_and_readably(description, notes):
    found = written(description=description, campaign={"mktcmpid": "1234", "partnerid": "98765"})["description"]
    assert "Campaign: mktcmpid = 1234, partnerid = 98765" in found
    assert "{" not in found
    assert found.endswith(f"What they wrote:\n{notes}") if notes else "What they wrote" not in found


def test_notes_that_only_look_like_json_stay_notes():
    assert written(description='{"a": 1}')["description"].endswith('What they wrote:\n{"a": 1}')
    assert written(description="{not json", campaign={"a": "1"})["description"].endswith("What they wrote:\n{not json")


def test_extra_fields_are_kept_readably():
    found = written(extra={"planId": "gold", "seats": {"count": 3}})["description"]
    assert "planId: gold\n" in found
    assert 'seats: {"count": 3}\n' in found


# --- what Dataverse refuses


def test_control_characters_are_taken_out_and_lines_of_notes_stay():
    found = written(first_name="So\x00me\r\nBcc: x\x7f", description="one\r\ntwo\x01\rthree\tfour")
    assert found["firstname"] == "So me Bcc: x"
    assert found["description"].endswith("What they wrote:\none\ntwo \nthree\tfour")


def test_half_a_pair_is_no_character():
    assert clean("a\ud800b", lines=True) == "a b"


@given(
    st.fixed_dictionaries(
        {name: st.one_of(st.none(), st.text(max_size=400)) for name in ("first_name", "last_name", "company", "email")}
        | {
            "description": st.text(max_size=3000),
            "extra": st.dictionaries(st.text(), st.text(max_size=300), max_size=4),
        }
    )
)
def test_nothing_that_a_sender_can_write_is_refused_by_the_environment(lead):
    found = json.loads(json.dumps(written(**lead), ensure_ascii=False).encode())
    Environment().create("key", found, {"If-None-Match": "*"})


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_is_within_its_limit_and_its_beginning_is_kept(text, limit):
    short = shorten(text, limit)
    assert units(short) <= limit
    assert text.startswith(short.removesuffix("…")) or short == text


def test_the_lengths_are_no_more_than_those_of_the_environment():
    there = columns()
    assert {name: most for name, most in LENGTHS.items() if name in there and most > there[name].most} == {}


# --- the setting `fields`


def test_a_constant_goes_into_its_column():
    found = written({"leadsourcecode": 10, "new_region": "EMEA", "new_score": 1.5, "new_flag": False})
    assert [found[name] for name in ("leadsourcecode", "new_region", "new_score", "new_flag")] == [
        10, "EMEA", 1.5, False,
    ]  # fmt: skip


def test_false_is_a_value_and_an_empty_text_takes_a_column_out():
    found = written({"donotphone": False, "leadsourcecode": "", "jobtitle": ""}, action_code="DNC")
    assert found["donotphone"] is False
    assert not {"leadsourcecode", "jobtitle"} & found.keys()


def test_a_dollar_names_something_of_the_lead():
    changes = {
        "mobilephone": "$phone",
        "telephone1": "",
        "new_campaign": "$campaign.mktcmpid",
        "new_x": "$extra.planId",
    }
    changes |= {"new_action": "$action_code", "new_offer": "$offer", "new_id": "$lead_id", "new_test": "$test"}
    changes |= {
        "new_at": "$received_at",
        "new_source": "$source",
        "new_missing": "$campaign.other",
        "new_n": "$extra.n",
    }
    found = written(changes, campaign={"mktcmpid": "1234"}, extra={"planId": "gold", "n": [1]})
    assert found["mobilephone"] == "16175555555"
    assert "telephone1" not in found
    assert (found["new_campaign"], found["new_x"], found["new_n"]) == ("1234", "gold", "[1]")
    assert (found["new_action"], found["new_offer"], found["new_test"]) == ("INS", "contoso.backup", False)
    assert (found["new_at"], found["new_source"]) == ("2026-11-20T23:51:00Z", "marketplace")
    assert found["new_id"] == parcel().lead_id
    assert "new_missing" not in found


def test_two_dollars_are_one():
    assert written({"new_price": "$$5"})["new_price"] == "$5"


def test_a_text_in_a_column_of_unknown_length_has_a_hundred_units_or_what_is_said():
    found = written({"new_short": "$description", "new_long": "$description:1500"}, description="d" * 3000)
    assert (len(found["new_short"]), len(found["new_long"])) == (100, 1500)


def test_the_description_may_be_what_they_wrote_and_no_more():
    assert written({"description": "$description"})["description"] == "Please call."
    assert "description" not in written({"description": ""})


def test_a_lookup_goes_as_it_is(office):
    record = "/campaigns(00000000-0000-0000-0000-000000000001)"
    crm = office.destination(fields={"campaignid@odata.bind": record, "leadsourcecode": 9})
    assert crm.send([parcel()]) == [Sent(parcel().delivery_id)]
    assert office.lead(parcel())["campaignid@odata.bind"] == record
    assert office.lead(parcel())["leadsourcecode"] == 9


def test_every_default_column_arrives_as_it_was_meant(office):
    for test in (True, False):
        sent = parcel(1 + test, test=test, action_code="DNC", campaign={"mktcmpid": "ü"}, extra={"a": "😀"})
        assert office.destination().send([sent]) == [Sent(sent.delivery_id)]
        assert office.lead(sent) == columns_of(sent, DEFAULTS)
        assert re.search("Campaign: mktcmpid = ü", office.lead(sent)["description"])
