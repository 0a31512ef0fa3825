"""Signing in to Salesforce and its answers that aren't a yes: each ends in a code, at once or after one new session."""

import json
import os
import time
from datetime import timedelta

import jwt
import pytest
import trustme

from app.destinations.base import DeliveryFailed, Postponed, Sent
from app.destinations.salesforce.wire import Limits
from tests.standins.salesforce import CLIENT, JWT_GRANT, USERNAME, answering, hang, maintenance, moved, page, refusal
from tests.standins.salesforce_use import AUTHS, START, Office, parcel, parcels


@pytest.fixture
def office(monkeypatch):
    with Office(monkeypatch) as one:
        yield one


def failed(destination, *, redelivery=False):
    """What a send of one lead failed with, raised or given."""
    try:
        outcome = destination.send([parcel(redelivery=redelivery)])[0]
    except DeliveryFailed as raised:
        return raised
    assert isinstance(outcome, DeliveryFailed)
    return outcome


# --- ways in -------------------------------------------------------------------


@pytest.mark.parametrize("auth", AUTHS)
def test_each_way_of_signing_in_delivers(office, auth):
    assert isinstance(office.make(auth=auth).send([parcel()])[0], Sent)


@pytest.mark.parametrize("auth", AUTHS)
def test_one_sign_in_is_enough_for_many_sends(office, auth):
    destination = office.make(auth=auth)
    for number in range(3):
        destination.send([parcel(number)])
    assert office.org.count("token", "login") == 1


def test_client_credentials_are_refused_by_the_login_host_of_all(office):
    refused = failed(office.make(login_url=office.org.shared_login_url))
    assert (refused.code, refused.status) == ("invalid_grant", 400)
    assert "not supported on this domain" in refused.detail


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "other"}, "invalid_client_id"),
        ({"client_secret": "env:SF_TOKEN"}, "invalid_client"),
        ({"auth": "jwt", "username": "other@contoso.example"}, "invalid_grant"),
        ({"auth": "jwt", "client_id": "other"}, "invalid_client_id"),
        ({"auth": "jwt", "audience": "https://login.salesforce.com"}, "invalid_grant"),
        ({"auth": "password", "password": "env:SF_SECRET"}, "INVALID_LOGIN"),
        ({"auth": "password", "security_token": None}, "INVALID_LOGIN"),
    ],
)
def test_a_refused_sign_in_has_the_systems_own_code(office, changes, code):
    refused = failed(office.make(**changes))
    assert refused.code == code
    assert office.org.count() == 1


def test_an_org_without_the_soap_login_says_so(office):
    office.org.soap_login = False
    refused = failed(office.make(auth="password"))
    assert (refused.code, refused.status) == ("INVALID_OPERATION", 500)
    assert "disabled" in refused.detail


def test_an_assertion_lives_for_three_minutes_and_names_app_user_and_audience(office):
    forms = []
    office.org.handle = keeping(office.org.handle, forms)
    office.make(auth="jwt").send([parcel()])
    form = dict(part.split("=") for part in forms[0].decode().split("&"))
    claims = jwt.decode(form["assertion"], options={"verify_signature": False})
    assert claims == {
        "iss": CLIENT, "sub": USERNAME, "aud": office.org.url, "exp": int((START + timedelta(minutes=3)).timestamp()),
    }  # fmt: skip
    assert form["grant_type"].replace("%3A", ":") == JWT_GRANT


def keeping(handle, bodies):
    """Look over the stand-in's shoulder."""

    def look(method, target, headers, body):
        bodies.append(body)
        return handle(method, target, headers, body)

    return look


def test_a_key_from_the_environment_may_have_its_lines_behind_one_another(office, monkeypatch):
    monkeypatch.setenv("SF_KEY", os.environ["SF_KEY"].replace("\n", "\\n"))
    assert isinstance(office.make(auth="jwt").send([parcel()])[0], Sent)


def test_a_key_that_is_none_is_found_by_check_and_not_shown(office, monkeypatch):
    monkeypatch.setenv("SF_KEY", "-----BEGIN PRIVATE KEY-----\nAAAAsecretAAAA\n-----END PRIVATE KEY-----")
    with pytest.raises(DeliveryFailed) as wrong:
        office.make(auth="jwt").check()
    assert wrong.value.code == "salesforce-private-key-unusable"
    assert "secret" not in wrong.value.detail + str(wrong.value)


def test_the_password_way_warns_once(office, capsys):
    destination = office.make(auth="password")
    destination.send([parcel(1)])
    office.org.expire()
    destination.send([parcel(2)])
    said = capsys.readouterr().out
    assert said.count("salesforce.soap_login_retires") == 1
    assert USERNAME not in said


def test_check_of_the_password_way_says_it_in_its_line_and_nowhere_else(office, capsys):
    """What `check --json` prints is JSON only."""
    assert "Summer '27" in office.make(auth="password").check()
    assert capsys.readouterr().out == ""


def test_other_ways_do_not_warn(office, capsys):
    office.make(auth="jwt").check()
    assert "retires" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        {"instance_url": "https://127.0.0.1"},
        {"access_token": "x", "instance_url": "http://127.0.0.1"},
        {"access_token": "x\r\nX-Other: 1", "instance_url": "https://127.0.0.1"},
        {"access_token": "x", "instance_url": "https://127.0.0.1/elsewhere"},
        {"access_token": None, "instance_url": None},
        ["a", "list"],
        None,
    ],
)
def test_a_token_answer_that_cannot_be_used_is_a_failure(office, answer):
    office.org.meets("token", answering(body=answer))
    assert failed(office.make()).code == "salesforce-unreadable-answer"


@pytest.mark.parametrize("auth", AUTHS)
def test_a_page_in_place_of_a_sign_in_is_a_failure(office, auth):
    operation = "login" if auth == "password" else "token"
    office.org.meets(operation, page, maintenance, moved)
    destination = office.make(auth=auth)
    got = [failed(destination) for _ in range(3)]
    assert [(one.code, one.status) for one in got] == [
        ("salesforce-unreadable-answer", 200), (None, 503), ("salesforce-redirected", 302),
    ]  # fmt: skip


def test_a_soap_answer_without_a_session_is_a_failure(office):
    office.org.meets("login", answering(body=b"<?xml version='1.0'?><Envelope/>"))
    assert failed(office.make(auth="password")).code == "salesforce-unreadable-answer"


# --- sessions ------------------------------------------------------------------


@pytest.mark.parametrize("auth", AUTHS)
def test_an_expired_session_is_replaced_once_and_the_lead_arrives_once(office, auth):
    destination = office.make(auth=auth)
    destination.send([parcel(1)])
    office.org.expire()
    assert isinstance(destination.send([parcel(2)])[0], Sent)
    assert len(office.records) == 2
    assert office.org.count("token", "login") == 2


@pytest.mark.parametrize("auth", AUTHS)
def test_sessions_that_are_always_refused_end_after_one_new_sign_in(office, auth):
    """Where simple-salesforce's own calls signed in 988 times, up to a RecursionError."""
    office.org.keeps_sessions = False
    refused = failed(office.make(auth=auth))
    assert (refused.code, refused.status) == ("INVALID_SESSION_ID", 401)
    assert office.org.count("token", "login") == 2
    assert office.org.count() == 4


def test_after_a_persistent_401_the_next_send_signs_in_anew(office):
    destination = office.make()
    office.org.keeps_sessions = False
    failed(destination)
    office.org.keeps_sessions = True
    assert isinstance(destination.send([parcel()])[0], Sent)


@pytest.mark.parametrize("body", [b"", b"<html>", {"error": "x y"}, {}, "text", [[]]])
def test_a_401_in_another_shape_is_a_session_too(office, body):
    destination = office.make()
    office.org.meets("write", *[answering(status=401, body=body)] * 2)
    assert failed(destination).code == "INVALID_SESSION_ID"
    assert office.org.count("token") == 2


# --- answers that aren't a yes -------------------------------------------------


@pytest.mark.parametrize("operation", ["describe", "query", "search", "write"])
@pytest.mark.parametrize(
    ("scenario", "code", "status"),
    [
        (maintenance, None, 503),
        (page, "salesforce-unreadable-answer", 200),
        (moved, "salesforce-redirected", 302),
        (refusal(403, "API_DISABLED_FOR_ORG"), "API_DISABLED_FOR_ORG", 403),
        (refusal(404, "NOT_FOUND"), "NOT_FOUND", 404),
        (refusal(410, "GONE"), "GONE", 410),
        (refusal(500, "UNKNOWN_EXCEPTION"), "UNKNOWN_EXCEPTION", 500),
        (refusal(503, "SERVER_UNAVAILABLE"), "SERVER_UNAVAILABLE", 503),
        (answering(status=300, body=["/services/data/v62.0/sobjects/Lead/1"]), "DUPLICATE_EXTERNAL_ID", 300),
        (answering(body=None), "salesforce-unreadable-answer", 200),
        (answering(body=[]), "salesforce-unreadable-answer", 200),
        (answering(body={"searchRecords": [1], "records": [{}]}), "salesforce-unreadable-answer", 200),
        (answering(status=204, body=b""), "salesforce-unreadable-answer", 204),
    ],
)
def test_every_answer_that_is_no_success_is_a_failure(office, operation, scenario, code, status):
    office.org.meets(operation, scenario)
    refused = failed(office.make(), redelivery=True)
    assert (refused.code, refused.status) == (code, status)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"success": True},
        {"success": "yes", "id": "00Q"},
        {"success": False},
        {"success": False, "errors": [1]},
    ],
)
def test_a_result_that_says_nothing_is_no_success(office, result):
    office.org.meets("write", answering(body=[result]))
    assert failed(office.make()).code == "salesforce-unreadable-answer"


def test_a_retry_after_is_passed_on(office):
    office.org.meets("describe", refusal(503, "SERVER_UNAVAILABLE", Retry_After="120"))
    assert failed(office.make()).retry_after == 120


@pytest.mark.parametrize(
    ("header", "wait"), [({}, 3600), ({"Retry_After": "7200"}, 7200), ({"Retry_After": "5"}, 3600)]
)
def test_a_spent_allowance_waits_for_an_hour_at_least(office, header, wait):
    office.org.meets("describe", refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", **header))
    refused = failed(office.make())
    assert (refused.code, refused.retry_after) == ("REQUEST_LIMIT_EXCEEDED", wait)


def test_a_silent_server_ends_in_a_timeout(office):
    destination = office.make()
    destination.limits = Limits(read=0.3)
    office.org.meets("describe", hang)
    assert failed(destination).code == "network.timeout"


def test_all_calls_of_a_send_share_one_limit(office):
    """Time that signing in took is not there for the write, which is then not begun."""
    destination = office.make()
    destination.limits = Limits(whole=0.4)

    def slow(work):
        time.sleep(0.6)
        return work()

    office.org.meets("describe", slow)
    assert failed(destination).code == "network.timeout"
    assert office.records == []


def test_a_silent_server_is_not_waited_for_beyond_that_limit(office):
    destination = office.make()
    destination.limits = Limits(whole=1.0)
    office.org.meets("describe", hang)
    begun = time.monotonic()
    assert failed(destination).code == "network.timeout"
    assert time.monotonic() - begun < 30  # and not the minute that one answer may take


def test_an_answer_that_trickles_is_given_up(office):
    """Each byte of the describe comes in time, and all of them together would take for minutes."""
    destination = office.make()
    destination.limits = Limits(read=10, whole=1.0)
    office.org.meets("describe", answering(slow=True))
    begun = time.monotonic()
    assert failed(destination).code == "network.timeout"
    assert time.monotonic() - begun < 30


def test_an_untrusted_certificate_is_told_from_other_faults(office, tmp_path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    assert failed(office.make(ca_bundle=str(other))).code == "network.tls-untrusted"


def test_a_netrc_file_does_not_replace_our_session(office, tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert isinstance(office.make().send([parcel()])[0], Sent)


# --- the daily allowance -------------------------------------------------------


def test_nothing_is_sent_when_only_the_reserve_is_left(office):
    office.org.used, office.org.allowed = 89, 100
    destination = office.make()
    assert [type(one) for one in destination.send(parcels(2))] == [Postponed, Postponed]
    assert destination.send(parcels(2))[0] == Postponed(START + timedelta(hours=1))
    assert office.records == []
    assert office.org.count("describe", "write") == 1


def test_an_hour_later_it_is_tried_again(office):
    office.org.used, office.org.allowed = 89, 100
    destination = office.make()
    destination.send([parcel()])
    office.clock.pass_(minutes=59)
    assert isinstance(destination.send([parcel()])[0], Postponed)
    office.clock.pass_(minutes=1)
    office.org.used = 10
    assert isinstance(destination.send([parcel()])[0], Sent)


def test_the_reserve_is_a_setting(office):
    office.org.used, office.org.allowed = 95, 100
    assert isinstance(office.make(reserve_percent=0).send([parcel()])[0], Sent)


def test_an_apps_own_allowance_counts_too(office):
    told = "api-usage=18/5000; per-app-api-usage=240/250(appName=leads)"
    office.org.tells_usage = False
    office.org.meets("describe", answering(headers={"Sforce-Limit-Info": told}))
    assert isinstance(office.make().send([parcel()])[0], Postponed)


def test_what_is_there_already_counts_as_sent_though_the_reserve_is_reached(office):
    office.make().send([parcel(1)])
    office.org.used, office.org.allowed = 95, 100
    again = [parcel(1, redelivery=True), parcel(2, redelivery=True)]
    assert [type(one) for one in office.make().send(again)] == [Sent, Postponed]


def test_an_allowance_in_other_words_changes_nothing(office):
    office.org.tells_usage = False
    office.org.meets("describe", answering(headers={"Sforce-Limit-Info": "api-usage=many/0; api-usage=0/0"}))
    assert isinstance(office.make().send([parcel()])[0], Sent)


# --- the stand-in is strict ----------------------------------------------------


def test_the_stand_in_refuses_more_than_200_records(office):
    destination = office.make()
    destination.send([parcel(1)])
    api = destination._made[1]
    destination._made[0].begin()
    records = [{"attributes": {"type": "Lead"}, "LastName": "One", "Company": "Contoso"}]
    for count, code in ((201, "EXCEEDED_MAX_SIZE_REQUEST"), (0, "INVALID_INPUT")):
        body = json.dumps({"allOrNone": False, "records": records * count}).encode()
        with pytest.raises(DeliveryFailed) as refused:
            api.call("POST", "/composite/sobjects", body=body)
        assert refused.value.code == code
