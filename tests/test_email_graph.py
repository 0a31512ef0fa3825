"""The e-mail destination through Microsoft Graph, and SMTP with a token of Entra."""

import pytest
import requests
import responses

from app.destinations.base import DeliveryFailed, Sent
from tests.parts.smtp import SENDER, TEAM, parcel, parcels
from tests.standins.graph import AUTHORITY, CLIENT, TENANT, Entra, Graph, unsigned

GRAPH_SCOPE = "https://graph.microsoft.com/.default"
SIGN_IN = {"tenant_id": TENANT, "client_id": CLIENT, "client_secret": "env:CLIENT_SECRET"}
NOT_SMTP = {"transport": "graph", "host": None, "port": None, "username": None, "password": None, "ca_bundle": None}


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def entra(wire):
    return Entra(wire, secret="secret-of-the-app", scope=GRAPH_SCOPE)


@pytest.fixture
def graph(wire, entra):
    return Graph(wire, mailbox=SENDER, tokens=entra.tokens)


@pytest.fixture
def destination(make_email, graph):
    return make_email(0, **NOT_SMTP, **SIGN_IN, **{"from": graph.mailbox})


def test_a_lead_is_sent_as_mime_with_our_message_id(destination, graph):
    assert destination.send([parcel()]) == [Sent("<delivery-1@contoso.example>")]
    (mail,) = graph.mails
    assert (mail["Message-ID"], mail["To"]) == ("<delivery-1@contoso.example>", TEAM)


def test_a_batch_asks_for_one_token(destination, graph, entra):
    destination.send(parcels(5))
    destination.send(parcels(5, first=6))
    assert (len(graph.mails), entra.asked) == (10, 1)


def test_a_token_that_is_no_longer_taken_is_replaced_once(destination, graph, entra):
    entra.tokens, graph.tokens = ["token-1", "token-2"], {"token-2"}
    assert isinstance(destination.send([parcel()])[0], Sent)
    assert (graph.calls, entra.asked) == (2, 2)


def test_a_second_401_fails_without_a_third_try(destination, graph):
    graph.tokens = set()
    outcomes = destination.send(parcels(3))
    assert {(outcome.code, outcome.status) for outcome in outcomes} == {("InvalidAuthenticationToken", 401)}
    assert graph.calls == 2


REFUSALS = [
    (403, "ErrorSendAsDenied"),
    (403, "ErrorAccessDenied"),
    (404, "MailboxNotEnabledForRESTAPI"),
    (404, "ErrorInvalidUser"),
    (500, "ErrorInternalServerError"),
]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_refusal_that_is_not_about_the_letter_stops_the_batch(destination, graph, status, code):
    graph.refusals = [graph.error(status, code, "Some text.")]
    outcomes = destination.send(parcels(3))
    assert [(outcome.code, outcome.status, outcome.detail) for outcome in outcomes] == [
        (code, status, "Some text.")
    ] * 3
    assert graph.calls == 1


def test_a_refusal_of_one_letter_lets_the_next_go_out(destination, graph):
    graph.refusals = [graph.error(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")]
    failed, sent = destination.send(parcels(2))
    assert (failed.code, failed.status) == ("ErrorInvalidRecipients", 400)
    assert isinstance(sent, Sent)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("header", "seconds"), [("17", 17.0), ("Fri, 20 Nov 2026 23:52:00 GMT", 60.0)])
def test_a_wait_that_is_asked_for_is_passed_on_in_both_forms(destination, graph, status, header, seconds):
    graph.refusals = [graph.error(status, "ApplicationThrottled", "Slow down.", **{"Retry-After": header})]
    (failed,) = destination.send([parcel()])
    assert (failed.code, failed.status, failed.retry_after) == ("ApplicationThrottled", status, seconds)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 502])
def test_a_page_that_is_not_graphs_is_a_failure_whatever_its_status(destination, graph, status):
    graph.refusals = [(status, {"Content-Type": "text/html"}, "<html>Sign in to the network</html>")]
    (failed,) = destination.send([parcel()])
    assert (failed.code, failed.status) == (None, status)
    assert "network" in failed.detail


def test_a_connection_that_breaks_is_a_network_failure(destination, wire, graph):
    wire.replace("POST", graph.url, body=requests.ConnectionError(ConnectionRefusedError(111, "refused")))
    assert [outcome.code for outcome in destination.send(parcels(2))] == ["network.refused"] * 2


def test_a_refused_secret_fails_the_batch_with_entras_code(destination, graph, entra):
    entra.secret = "another"
    with pytest.raises(DeliveryFailed) as failed:
        destination.send([parcel()])
    assert (failed.value.code, failed.value.status) == ("AADSTS7000215", 401)
    assert graph.calls == 0


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (unsigned({"roles": ["Mail.Send"]}), "its token has Mail.Send"),
        (unsigned({"roles": []}), "its token has no Mail.Send: right only if the permission was given in Exchange"),
        (unsigned([]), "its token can't be looked into"),
        ("opaque", "its token can't be looked into"),
    ],
)
def test_check_asks_graph_itself_sends_nothing_and_tells_what_the_token_shows(destination, graph, entra, token, told):
    entra.tokens, graph.tokens = [token], {token}
    assert destination.check() == f"https://graph.microsoft.com, signed in, sends as {SENDER} ({told})"
    assert (graph.mails, graph.calls) == ([], 1)


@pytest.mark.parametrize(("status", "code"), [(403, "ErrorAccessDenied"), (404, "ErrorInvalidUser"), (400, "Other")])
def test_check_finds_a_mailbox_we_may_not_send_from(destination, graph, status, code):
    graph.refusals = [graph.error(status, code, "No.")]
    with pytest.raises(DeliveryFailed) as failed:
        destination.check()
    assert (failed.value.code, failed.value.status) == (code, status)


# --- SMTP with a token

OAUTH = SIGN_IN | {"auth": "oauth", "password": None}
LONG = "token-" + "x" * 1800  # as long as real ones


@pytest.fixture
def outlook(wire):
    return Entra(
        wire, secret="secret-of-the-app", scope="https://outlook.office365.com/.default", tokens=[LONG, "token-1"]
    )


@pytest.mark.usefixtures("outlook")
def test_smtp_signs_in_with_a_token_as_long_as_real_ones(make_email, mail_server):
    server = mail_server()
    server.tokens = {LONG}
    assert isinstance(make_email(server, **OAUTH).send([parcel()])[0], Sent)
    assert server.logins == [("XOAUTH2", "leads@contoso.example", LONG)]


@pytest.mark.usefixtures("outlook")
def test_smtp_shows_a_new_token_after_one_was_refused(make_email, mail_server):
    server = mail_server()
    destination = make_email(server, **OAUTH)
    with pytest.raises(DeliveryFailed, match=r"535 5\.7\.3"):
        destination.send([parcel()])
    assert isinstance(destination.send([parcel()])[0], Sent)


def test_smtp_is_not_even_called_without_a_token(make_email, mail_server, wire):
    wire.get(f"{AUTHORITY}/{TENANT}/v2.0/.well-known/openid-configuration", status=503)
    server = mail_server()
    with pytest.raises(DeliveryFailed) as failed:
        make_email(server, **OAUTH).send([parcel()])
    assert failed.value.status == 503
    assert server.greeted == []
