"""The Azure Table destination against Azurite, a real table service."""

import base64
import json
import logging
import socket
import threading
import time
from datetime import timedelta

import pytest

from app.destinations.azure_table.rows import CLIPPED
from app.destinations.base import DeliveryFailed, Sent
from tests.parts.azurite import KEY, NOON, connection_string, free_port, parcel
from tests.standins.identity import ManagedIdentity, managed_identity


@pytest.fixture
def table(azurite, table_at):
    return table_at(azurite.connection_string)


@pytest.fixture
def requests_seen(caplog):
    """The request lines that left this process since the last look, as urllib3 logs them."""
    caplog.set_level(logging.DEBUG)

    def look():
        lines = [record.getMessage() for record in caplog.records if record.name == "urllib3.connectionpool"]
        caplog.clear()
        return [line.split('"')[1].rsplit(" ", 1)[0] for line in lines if '"' in line]

    return look


def failure(outcome):
    assert isinstance(outcome, DeliveryFailed)
    return outcome.code, outcome.status


def test_a_lead_arrives_and_the_missing_table_is_created(azurite, table, rows_of):
    assert table.send([parcel(7)]) == [Sent("9:2F28:2F2018/lead-007")]
    row = rows_of(azurite, table)["lead-007"]
    assert json.loads(row["CustomerInfo"])["Email"] == "someone@contoso.com"
    assert row["PartitionKey"] == "9:2F28:2F2018"
    assert row["IsTest"] is False


def test_the_same_parcels_twice_leave_the_same_rows(azurite, table, rows_of):
    batch = [parcel(number) for number in range(5)]
    first = table.send(batch)
    before = rows_of(azurite, table)
    assert table.send(batch) == first
    assert rows_of(azurite, table) == before
    assert len(before) == 5


def test_a_column_that_an_operator_added_stays(azurite, table, rows_of):
    from azure.data.tables import TableClient

    table.send([parcel(1)])
    with TableClient.from_connection_string(azurite.connection_string, table._settings["table"]) as client:
        client.upsert_entity({"PartitionKey": "9:2F28:2F2018", "RowKey": "lead-001", "Owner": "Sales"})
    table.send([parcel(1, description="Later")])
    row = rows_of(azurite, table)["lead-001"]
    assert (row["Owner"], row["Description"]) == ("Sales", "Later")


def test_leads_of_two_days_in_one_batch_are_answered_in_their_order(azurite, table, rows_of):
    batch = [parcel(number, at=NOON + timedelta(days=number % 2)) for number in range(6)]
    outcomes = table.send(batch)
    assert [one.remote_id for one in outcomes] == [
        f"9:2F{28 + number % 2}:2F2018/lead-{number:03}" for number in range(6)
    ]
    assert len(rows_of(azurite, table)) == 6


def test_a_hundred_leads_are_one_request(azurite, table, rows_of, requests_seen):
    table.send([parcel(1)])
    requests_seen()
    assert table.send([parcel(number) for number in range(100)]) == [
        Sent(f"9:2F28:2F2018/lead-{number:03}") for number in range(100)
    ]
    assert requests_seen() == ["POST /devstoreaccount1/$batch"]
    assert len(rows_of(azurite, table)) == 100


def test_a_missing_table_costs_two_requests_more(table, requests_seen):
    table.send([parcel(1)])
    assert requests_seen() == [f"POST /devstoreaccount1/{what}" for what in ("$batch", "Tables", "$batch")]


def test_a_hundred_leads_of_the_largest_size_all_arrive(azurite, table, rows_of):
    """Far more than one call may carry, in text that grows sixfold on the wire."""
    huge = {"description": "\u4e2d" * 21_000, "extra": {"note": "\N{GRINNING FACE}" * 16_000}}
    outcomes = table.send([parcel(number, **huge) for number in range(100)])
    assert {type(one) for one in outcomes} == {Sent}
    rows = rows_of(azurite, table)
    assert len(rows) == 100
    assert rows["lead-042"]["Description"] == "\u4e2d" * 21_000
    assert json.loads(rows["lead-042"]["Extra"])["note"].endswith(CLIPPED)


def test_a_lead_with_every_column_too_long_arrives(azurite, table, rows_of):
    """The service refuses a row that is too large for good; ours never is."""
    fields = ["first_name", "last_name", "email", "phone", "country", "company", "title", "lead_source"]
    fields += ["action_code", "offer_title", "description", "publisher_id", "offer_id"]
    long = dict.fromkeys(fields, "\N{GRINNING FACE}" * 40_000)
    outcome = table.send([parcel(1, **long, campaign={"a": "b" * 99_999}, extra={"c": ["d" * 99_999]})])
    assert outcome == [Sent("9:2F28:2F2018/lead-001")]
    customer = json.loads(rows_of(azurite, table)["lead-001"]["CustomerInfo"])
    assert all(value.endswith(CLIPPED) for value in customer.values())


def test_odd_characters_arrive_as_they_are(azurite, table, rows_of):
    odd = "'quoted' \"twice\" <b>&amp;</b> \\ % # ? / \r\n\t\N{GRINNING FACE} Łódź\x7f\x85\u2028"
    table.send([parcel(1, description=odd)])
    assert rows_of(azurite, table)["lead-001"]["Description"] == odd


def test_a_wrong_key_is_the_services_own_refusal(azurite, table_at, requests_seen):
    """Azurite says AuthorizationFailure where the real service says AuthenticationFailed."""
    wrong = base64.b64encode(b"x" * 64).decode()
    table = table_at(connection_string(azurite.account_url, key=wrong))
    requests_seen()
    assert [failure(one) for one in table.send([parcel(1), parcel(2)])] == [("AuthorizationFailure", 403)] * 2
    assert len(requests_seen()) == 1
    with pytest.raises(DeliveryFailed) as caught:
        table.check()
    assert failure(caught.value) == ("AuthorizationFailure", 403)


def test_an_unknown_account_is_not_taken_for_a_missing_table(azurite, table_at):
    table = table_at(connection_string(azurite.account_url.replace("devstore", "other"), account="otheraccount1"))
    with pytest.raises(DeliveryFailed) as caught:
        table.check()
    assert failure(caught.value) == ("ResourceNotFound", 404)


def test_check_says_what_it_found_and_leaves_nothing(azurite, table, rows_of, requests_seen):
    name = table._settings["table"]
    start = f"account devstoreaccount1, table {name}: "
    assert table.check() == start + "not there yet, will be created with the first lead"
    assert not any("Tables" in line for line in requests_seen())
    table.send([parcel(1)])
    before = rows_of(azurite, table)
    assert table.check() == start + "readable and writable"
    assert rows_of(azurite, table) == before


def test_it_works_again_after_the_service_was_away(azurite, table):
    """A kept connection that died is a failure of that attempt only."""
    table.send([parcel(1)])
    azurite.stop()
    try:
        assert failure(table.send([parcel(2)])[0]) == ("network.refused", None)
    finally:
        azurite.start()
    assert table.send([parcel(2)]) == [Sent("9:2F28:2F2018/lead-002")]


def test_a_destination_opens_nothing_before_it_is_used_and_works_again_after_close(azurite, table_at):
    untouched = table_at(connection_string(f"http://127.0.0.1:{free_port()}/devstoreaccount1"))
    untouched.close()
    table = table_at(azurite.connection_string)
    table.send([parcel(1)])
    table.close()
    assert table.send([parcel(1)]) == [Sent("9:2F28:2F2018/lead-001")]


# --- Addresses that don't answer --------------------------------------------------------------------------------------


def test_a_refused_connection_is_told_and_not_tried_for_the_next_day_too(table_at, requests_seen):
    table = table_at(connection_string(f"http://127.0.0.1:{free_port()}/devstoreaccount1"))
    requests_seen()
    outcomes = table.send([parcel(1), parcel(2, at=NOON + timedelta(days=1))])
    assert [failure(one) for one in outcomes] == [("network.refused", None)] * 2
    assert outcomes[0] is outcomes[1]
    with pytest.raises(DeliveryFailed) as caught:
        table.check()
    assert failure(caught.value) == ("network.refused", None)


def test_a_server_that_never_answers_is_a_timeout(table_at):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        table = table_at(connection_string(f"http://127.0.0.1:{silent.getsockname()[1]}/devstoreaccount1"))
        table.read_timeout = 0.3
        begun = time.monotonic()
        assert failure(table.send([parcel(1)])[0]) == ("network.timeout", None)
        with pytest.raises(DeliveryFailed) as caught:
            table.check()
        assert failure(caught.value) == ("network.timeout", None)
        assert time.monotonic() - begun < 30
        table.close()


def read_request(peer):
    """Read all of it: closing with something unread would reset the connection before the answer is read."""
    with peer.makefile("rb") as stream:
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        stream.read(length)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", ("network.interrupted", None)),
        ("202 Accepted\r\nContent-Type: multipart/mixed; boundary=b", ("network.interrupted", None)),
        ("500 Internal Server Error\r\nContent-Type: application/json", (None, 500)),
    ],
)
def test_an_answer_cut_off_is_a_failure(table_at, answer, expected):
    """Whether it ends before the status, in a batch answer, or in an error's body."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            peer, _ = server.accept()
            with peer:
                read_request(peer)
                peer.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 500\r\n\r\n{{".encode() if answer else b"")

        thread = threading.Thread(target=serve)
        thread.start()
        table = table_at(connection_string(f"http://127.0.0.1:{server.getsockname()[1]}/devstoreaccount1"))
        [outcome] = table.send([parcel(1)])
        thread.join()
    assert failure(outcome) == expected


def test_a_name_that_does_not_resolve_is_told(table_at):
    table = table_at(connection_string("https://contosoleads.table.invalid", account="contosoleads"))
    assert failure(table.send([parcel(1)])[0]) == ("network.name-not-resolved", None)


# --- TLS and Entra ----------------------------------------------------------------------------------------------------


def test_the_destinations_ca_wins_over_the_environment(azurite, azurite_tls, table_at, monkeypatch, tmp_path):
    del azurite
    other = tmp_path / "other.pem"
    other.write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    table = table_at(azurite_tls.connection_string, ca_bundle=azurite_tls.ca_bundle)
    assert table.send([parcel(1)]) == [Sent("9:2F28:2F2018/lead-001")]


def test_a_certificate_of_an_unknown_ca_is_told(azurite_tls, table_at):
    table = table_at(azurite_tls.connection_string)
    assert failure(table.send([parcel(1)])[0]) == ("network.tls-untrusted", None)


@pytest.fixture
def identity(monkeypatch):
    """Its tokens are good for `valid_for` seconds."""

    def token(_):
        now = int(time.time())
        claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/contoso/", "iat": now - 7200}
        claims |= {"nbf": now - 7200, "exp": now + made.valid_for}
        parts = [base64.urlsafe_b64encode(json.dumps(one).encode()) for one in ({"alg": "RS256"}, claims)]
        text = b".".join([*parts, b"c2ln"]).replace(b"=", b"").decode()
        return {"access_token": text, "expires_on": str(now + 3600)}

    made = ManagedIdentity(token)
    made.valid_for = 3600
    with managed_identity(made, monkeypatch):
        yield made


def by_identity(azurite_tls, table_at):
    return table_at(account_url=azurite_tls.account_url, credential="default", ca_bundle=azurite_tls.ca_bundle)


def test_a_managed_identity_signs_in_without_a_key(azurite_tls, table_at, identity, rows_of):
    table = by_identity(azurite_tls, table_at)
    assert table.check().startswith("account devstoreaccount1, table Leads")
    assert table.send([parcel(1)]) == [Sent("9:2F28:2F2018/lead-001")]
    assert list(rows_of(azurite_tls, table)) == ["lead-001"]
    assert identity.asked == 1


def test_a_token_that_the_service_refuses_is_told_in_its_words(azurite_tls, table_at, identity):
    identity.valid_for = -60
    table = by_identity(azurite_tls, table_at)
    assert failure(table.send([parcel(1)])[0]) == ("AuthenticationFailed", 403)


def test_no_token_is_a_failure_to_sign_in(azurite_tls, table_at, identity):
    identity.status = 500
    table = by_identity(azurite_tls, table_at)
    [outcome] = table.send([parcel(1)])
    assert failure(outcome) == ("ClientAuthenticationError", None)
    assert "header-secret" not in outcome.detail
    assert identity.asked == 1


def test_an_impossible_choice_of_credentials_is_a_failure_and_no_crash(azurite_tls, table_at, monkeypatch):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "Contoso")
    with pytest.raises(DeliveryFailed) as caught:
        by_identity(azurite_tls, table_at).check()
    assert failure(caught.value) == ("CredentialUnavailableError", None)


def test_no_secret_and_nothing_personal_is_logged(azurite, table_at, caplog):
    """Not even where every logger is as talkative as it can be."""
    caplog.set_level(logging.DEBUG)
    table = table_at(azurite.connection_string)
    table.check()
    table.send([parcel(1)])
    assert "$batch" in caplog.text
    for word in (KEY, KEY[:12], "someone", "contoso.com", "Some", "16175555555", "Esquire", "SharedKey"):
        assert word not in caplog.text
