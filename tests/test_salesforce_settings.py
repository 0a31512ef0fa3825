"""The settings of a `salesforce` destination: what is taken, what is refused and in which words."""

import pytest
from marshmallow import ValidationError

from app.destinations.salesforce import Salesforce
from app.destinations.salesforce.settings import SalesforceSchema
from tests.standins.salesforce import PASSWORD, SECRET, TOKEN, key_pair
from tests.standins.salesforce_use import AUTHS

MY_DOMAIN = "https://contoso.my.salesforce.com"


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    values = {"SF_SECRET": SECRET, "SF_KEY": key_pair()[0], "SF_PASSWORD": PASSWORD, "SF_TOKEN": TOKEN}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def given(auth="client_credentials", **changes):
    usual = {"login_url": MY_DOMAIN} if auth == "client_credentials" else {}
    settings = {"type": "salesforce", "auth": auth} | usual | AUTHS[auth] | changes
    return {name: value for name, value in settings.items() if value is not None}


def load(auth="client_credentials", **changes):
    return SalesforceSchema().load(given(auth, **changes))


def refused(auth="client_credentials", **changes):
    with pytest.raises(ValidationError) as wrong:
        load(auth, **changes)
    said = str(wrong.value.normalized_messages())
    for secret in (SECRET, PASSWORD, TOKEN, key_pair()[0].splitlines()[1]):
        assert secret not in said
    return wrong.value.normalized_messages()


def test_the_contracts_example_is_taken(monkeypatch):
    monkeypatch.setenv("SF_ID", "3MVG9contoso")
    loaded = load(client_id="env:SF_ID", external_id_field="Marketplace_Lead_Id__c")
    assert (loaded["client_id"], loaded["external_id_field"]) == ("3MVG9contoso", "Marketplace_Lead_Id__c")
    assert Salesforce.schema is SalesforceSchema


def test_what_is_left_out_has_a_default():
    loaded = load()
    wanted = {
        "api_version": "62.0", "external_id_field": None, "marker_field": "Description", "fields_": {},
        "lead_source": None, "country": "auto", "duplicate_rule": "allow", "assignment_rule": True,
        "reserve_percent": 10, "ca_bundle": None,
    }  # fmt: skip
    assert {name: loaded[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        (None, "https://login.salesforce.com"),
        ("https://test.salesforce.com", "https://test.salesforce.com"),
        (MY_DOMAIN, "https://login.salesforce.com"),
        ("https://contoso--uat.sandbox.my.salesforce.com/", "https://test.salesforce.com"),
        ("https://partners.contoso.com", "https://partners.contoso.com"),
    ],
)
def test_the_audience_follows_from_the_login_address(login_url, audience):
    assert load("jwt", login_url=login_url)["audience"] == audience


def test_another_audience_can_be_given():
    assert load("jwt", audience="https://contoso.force.com/")["audience"] == "https://contoso.force.com"


@pytest.mark.parametrize("auth", AUTHS)
@pytest.mark.parametrize("version", ["59.0", "62.0", "64.0"])
def test_versions_that_every_way_takes(auth, version):
    assert load(auth, api_version=version)["api_version"] == version


def test_a_later_version_is_taken_by_all_but_the_password_way():
    assert load(api_version="67.0")["api_version"] == "67.0"
    assert load("jwt", api_version="65.0")["api_version"] == "65.0"
    assert "ends with version 64.0" in str(refused("password", api_version="65.0")["api_version"])


@pytest.mark.parametrize(
    ("auth", "changes", "where"),
    [
        ("client_credentials", {"login_url": None}, "login_url"),
        ("client_credentials", {"login_url": "https://login.salesforce.com"}, "login_url"),
        ("client_credentials", {"login_url": "https://TEST.salesforce.com/"}, "login_url"),
        ("client_credentials", {"client_id": None}, "client_id"),
        ("client_credentials", {"client_secret": None}, "client_secret"),
        ("client_credentials", {"client_secret": SECRET}, "client_secret"),
        ("client_credentials", {"username": "leads@contoso.example"}, "username"),
        ("client_credentials", {"audience": "https://contoso.example"}, "audience"),
        ("client_credentials", {"security_token": "env:SF_TOKEN"}, "security_token"),
        ("jwt", {"private_key": None}, "private_key"),
        ("jwt", {"private_key": "env:SF_TOKEN"}, "private_key"),
        ("jwt", {"client_secret": "env:SF_SECRET"}, "client_secret"),
        ("jwt", {"username": ""}, "username"),
        ("password", {"password": None}, "password"),
        ("password", {"client_id": "app"}, "client_id"),
        ("jwt", {"login_url": "http://login.salesforce.com"}, "login_url"),
        ("jwt", {"login_url": "https://login.salesforce.com/services"}, "login_url"),
        ("jwt", {"login_url": "https://user@login.salesforce.com"}, "login_url"),
        ("jwt", {"login_url": "https://contoso.com:port"}, "login_url"),
        ("jwt", {"login_url": "login.salesforce.com"}, "login_url"),
        ("jwt", {"login_url": "https://con toso.com"}, "login_url"),
    ],
)
def test_ways_in_that_cannot_work_are_refused(auth, changes, where):
    assert where in refused(auth, **changes)


def test_a_key_with_a_passphrase_is_refused(monkeypatch):
    monkeypatch.setenv("SF_KEY", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----")
    assert "passphrase" in str(refused("jwt")["private_key"])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"auth": "oauth"}, "auth"),
        ({"api_version": "v62.0"}, "api_version"),
        ({"api_version": "58.0"}, "api_version"),
        ({"api_version": "62"}, "api_version"),
        ({"external_id_field": "Lead Id"}, "external_id_field"),
        ({"external_id_field": "Id'--"}, "external_id_field"),
        ({"marker_field": ""}, "marker_field"),
        ({"country": "name"}, "country"),
        ({"duplicate_rule": "ignore"}, "duplicate_rule"),
        ({"assignment_rule": "yes"}, "assignment_rule"),
        ({"assignment_rule": 1}, "assignment_rule"),
        ({"reserve_percent": 91}, "reserve_percent"),
        ({"reserve_percent": "10"}, "reserve_percent"),
        ({"lead_source": ""}, "lead_source"),
        ({"fields": ["Rating"]}, "fields"),
        ({"fields": {"Rating ": "Hot"}}, "fields"),
        ({"fields": {"Rating": ["Hot"]}}, "fields"),
        ({"fields": {"Seats__c": float("nan")}}, "fields"),
        ({"fields": {"Rating": "$rating"}}, "fields"),
        ({"fields": {"Rating": "$campaign."}}, "fields"),
        ({"fields": {"LastName": ""}}, "fields"),
        ({"fields": {"Description": "$description"}}, "fields"),
        ({"fields": {"Rating": "Hot", "rating": "Cold"}}, "fields"),
        ({"fields": {"Description": ""}}, "fields"),
        ({"marker_field": "Mark__c", "fields": {"mark__c": "$lead_id"}}, "fields"),
        ({"external_id_field": "Mark__c", "fields": {"Mark__c": "$lead_id"}}, "fields"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_would_not_do_what_they_say_are_refused(changes, where):
    settings = given() | changes
    with pytest.raises(ValidationError) as wrong:
        SalesforceSchema().load(settings)
    assert where in wrong.value.normalized_messages()


def test_a_wrong_field_is_named():
    assert "$" in str(refused(fields={"Rating": "$rating"})["fields"]["Rating"])


@pytest.mark.parametrize("rule", [True, False, "01QHs0000001234", "01QHs0000001234AAA"])
def test_assignment_rules(rule):
    assert load(assignment_rule=rule)["assignment_rule"] == rule
