"""What `check` finds in an environment before the first lead is lost; it never writes one."""

import pytest

from tests.standins.dataverse import MAINTENANCE
from tests.standins.dataverse_leads import Column
from tests.standins.dynamics_use import Office, failed, parcel
from tests.standins.entra import HTML, JSON, PAGE


@pytest.fixture
def office(server_tls, ca_bundle, monkeypatch):
    with Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as one:
        yield one


@pytest.fixture(autouse=True)
def nothing_written(office):
    yield
    assert office.crm.leads == {}


def test_a_good_environment_is_said_to_be_so_in_one_line(office):
    found = office.destination().check()
    assert found == f"{office.crm.url}: signed in, may create leads, all 15 columns are there"
    assert {method for method, _ in office.crm.calls} == {"GET"}


def both(office, **changes):
    """What checking and sending fail with: the same."""
    crm = office.destination(**changes)
    checking, sending = failed(crm.check), failed(lambda: crm.send([parcel()]))
    assert (checking.code, checking.status) == (sending.code, sending.status)
    return checking


def test_a_user_who_is_not_in_the_environment_is_named(office):
    office.crm.member = False
    failure = both(office)
    assert (failure.code, failure.status) == ("0x80072560", 403)


def test_a_user_without_any_role_is_named(office):
    office.crm.roles = False
    failure = both(office)
    assert failure.code == "0x80042f09"
    assert "no roles are assigned" in failure.detail


def test_a_role_without_the_right_to_create_leads_is_named_as_sending_would(office):
    office.crm.privileges.discard("prvCreateLead")
    crm = office.destination()
    checking, [sending] = failed(crm.check), crm.send([parcel()])
    assert (checking.code, checking.status) == (sending.code, sending.status) == ("0x80040220", 403)
    assert "prvCreateLead" in checking.detail


def test_a_role_that_may_only_create_leads_is_enough(office):
    """Rights and columns can't be read then; the line says so, and leads arrive all the same."""
    office.crm.privileges.clear()
    office.crm.privileges.add("prvCreateLead")
    found = office.destination().check()
    assert "right to create leads could not be asked for" in found
    assert "columns could not be asked for" in found


def test_an_environment_without_leads_is_named(office):
    office.crm.has_leads = False
    failure = failed(office.destination().check)
    assert (failure.code, failure.status) == ("dynamics-lead-table-missing", 404)


PAGES = [
    ((503, {**HTML, "Retry-After": "600"}, MAINTENANCE), None, 503),
    ((404, HTML, PAGE), None, 404),
    ((302, {"Location": "https://login.contoso.example/"}, b""), None, 302),
    ((200, HTML, PAGE), "dynamics-answer-unreadable", 200),
    ((500, JSON, b'{"error":{"code":"0x80040216","message":"An unexpected error occurred."}}'), "0x80040216", 500),
    ((403, JSON, b'{"error":{"code":"0x80041d1f","message":"The user is disabled."}}'), "0x80041d1f", 403),
    ((403, JSON, b'{"error":"not an object"}'), None, 403),
    ((429, {**JSON, "Retry-After": "30"}, b'{"error":{"code":"0x80072321","message":""}}'), "0x80072321", 429),
]


@pytest.mark.parametrize(("page", "code", "status"), PAGES)
def test_whatever_answers_in_its_place_is_a_failure_by_its_code_or_status(office, page, code, status):
    office.crm.page = page
    crm = office.destination()
    sending, checking = failed(lambda: crm.send([parcel()])), failed(crm.check)
    assert (sending.code, sending.status) == (checking.code, checking.status) == (code, status)


def test_json_that_is_no_object_is_unreadable(office):
    office.crm.page = (200, JSON, b"[]")
    assert both(office).code == "dynamics-answer-unreadable"
    office.crm.page = (200, JSON, b"{}")
    assert both(office).code == "dynamics-answer-unreadable"


# --- columns

COLUMNS = [
    ({"new_offer": "$offer_title"}, "dynamics-column-unknown", "new_offer"),
    ({"createdon": "$received_at"}, "dynamics-column-read-only", "createdon"),
    ({"leadsourcecode": 100000001}, "dynamics-picklist-value", "leadsourcecode takes 1, 2, 3"),
    ({"leadsourcecode": "Web"}, "dynamics-column-type", "leadsourcecode is of type Picklist"),
    ({"donotphone": "$phone"}, "dynamics-column-type", "donotphone"),
    ({"companyname": 7}, "dynamics-column-type", "companyname"),
    ({"companyname": True}, "dynamics-column-type", "companyname"),
    ({"numberofemployees": 1.5}, "dynamics-column-type", "numberofemployees"),
    ({"mobilephone": "$phone:50"}, "dynamics-column-too-short", "mobilephone takes 20"),
    ({"websiteurl": "https://contoso.example/" + "a" * 200}, "dynamics-column-too-short", "websiteurl takes 200"),
]


@pytest.mark.parametrize(("fields", "code", "said"), COLUMNS)
def test_a_column_that_would_make_leads_fail_is_named(office, fields, code, said):
    failure = failed(office.destination(fields=fields).check)
    assert failure.code == code
    assert said in failure.detail


FINE = [
    {"mobilephone": "$phone", "websiteurl": "https://contoso.example"},
    {"leadsourcecode": 10, "numberofemployees": 5, "revenue": 1.5, "donotsendmm": True},
    {"leadsourcecode": "", "description": "$description"},
    {"campaignid@odata.bind": "/campaigns(00000000-0000-0000-0000-000000000001)"},
]


@pytest.mark.parametrize("fields", FINE)
def test_columns_that_are_there_are_fine(office, fields):
    assert "columns are there" in office.destination(fields=fields).check()


def test_a_default_column_that_somebody_shortened_or_took_away_is_named(office):
    office.crm.columns["jobtitle"] = Column(most=50)
    assert failed(office.destination().check).code == "dynamics-column-too-short"
    del office.crm.columns["jobtitle"]
    assert failed(office.destination().check).code == "dynamics-column-unknown"
    assert "columns are there" in office.destination(fields={"jobtitle": ""}).check()
