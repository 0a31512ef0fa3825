"""The Dynamics destination against an environment that is as strict as the real one: what arrives, and how often."""

import subprocess
import sys

import pytest

from app.destinations.base import DeliveryFailed, Sent
from tests.standins.dataverse_batch import Fault
from tests.standins.dynamics_use import Office, failed, key, parcel, parcels


@pytest.fixture
def office(server_tls, ca_bundle, monkeypatch):
    with Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as one:
        yield one


def codes(outcomes):
    return [outcome.code if isinstance(outcome, DeliveryFailed) else type(outcome).__name__ for outcome in outcomes]


def test_a_thousand_leads_arrive_in_twelve_calls(office):
    """Ten batches, one question where the sign-in service's endpoints are, one token."""
    crm = office.destination()
    waiting = parcels(1000)
    while waiting:
        now, waiting = waiting[: crm.max_batch], waiting[crm.max_batch :]
        assert all(isinstance(outcome, Sent) for outcome in crm.send(now))
    assert len(office.crm.leads) == 1000
    assert len(office.crm.calls) + len(office.entra.calls) == 12
    assert office.entra.asked == {"discovery": 1, "token": 1}


def test_a_lead_is_named_by_the_deliverys_own_id(office):
    sent = parcel()
    assert office.destination().send([sent]) == [Sent(sent.delivery_id)]
    assert list(office.crm.leads) == [sent.delivery_id]


def test_the_same_delivery_twice_is_one_record_and_sent_both_times(office):
    first = office.destination().send(parcels(3))
    again = office.destination().send(parcels(3, redelivery=True))
    assert again == first
    assert len(office.crm.leads) == 3


def test_what_a_salesperson_changed_since_stays(office):
    sent = parcel()
    crm = office.destination()
    crm.send([sent])
    office.lead(sent).update(lastname="Corrected", donotphone=True)
    assert crm.send([parcel(redelivery=True, last_name="Other")]) == [Sent(key(sent))]
    assert office.lead(sent)["lastname"] == "Corrected"
    assert office.lead(sent)["donotphone"] is True


def test_a_batch_is_as_large_as_configured(office):
    crm = office.destination(batch_size=250)
    assert crm.max_batch == 250
    assert len(crm.send(parcels(250))) == 250
    assert office.crm.batches == 1


@pytest.mark.parametrize("place", [0, 57, 99])
def test_one_refused_lead_in_a_hundred_leaves_the_others_alone(office, place):
    bad = parcels(100)[place]
    office.crm.refused[key(bad)] = Fault(400, "0x80040265", "ISV code aborted the operation.")
    outcomes = office.destination().send(parcels(100))
    assert [index for index, outcome in enumerate(outcomes) if not isinstance(outcome, Sent)] == [place]
    assert (outcomes[place].code, outcomes[place].status) == ("0x80040265", 400)
    assert len(office.crm.leads) == 99


# --- between writing and hearing of it


def test_a_lead_that_was_written_before_the_client_timed_out_is_there_once(office):
    crm = office.destination(read_timeout=1.0)
    office.crm.mishap.append("timeout")
    assert failed(lambda: crm.send(parcels(2))).code == "network.timeout"
    assert [type(one) for one in crm.send(parcels(2, redelivery=True))] == [Sent, Sent]
    assert len(office.crm.leads) == 2


@pytest.mark.parametrize("mishap", ["close", "cut"])
def test_a_connection_that_breaks_after_the_writing_is_a_failure_and_then_one_lead(office, mishap):
    crm = office.destination()
    office.crm.mishap.append(mishap)
    assert failed(lambda: crm.send(parcels(3))).code == "network.interrupted"
    assert codes(crm.send(parcels(3, redelivery=True))) == ["Sent"] * 3
    assert len(office.crm.leads) == 3


def test_an_answer_in_chunks_is_read_to_its_end(office):
    office.crm.mishap.append("chunked")
    assert codes(office.destination().send(parcels(3))) == ["Sent"] * 3


def test_an_answer_that_drips_is_not_waited_for_beyond_our_patience(office):
    """Each byte comes in time, the whole does not: 100 answers would take minutes."""
    crm = office.destination()
    crm.patience = 1.5
    office.crm.mishap.append("drip")
    assert failed(lambda: crm.send(parcels(100))).code == "network.timeout"
    assert codes(office.destination().send(parcels(100, redelivery=True))) == ["Sent"] * 100


@pytest.mark.parametrize("mishap", ["drop", "garble"])
@pytest.mark.parametrize("echo", [True, False])
def test_a_part_that_is_missing_fails_that_lead_at_most_until_the_next_time(office, mishap, echo):
    """Without Content-ID an answer with a missing part can't be told apart, so all of it comes again."""
    crm = office.destination()
    office.crm.echo = echo
    office.crm.mishap.append(mishap)
    hit = 3 if mishap == "drop" and not echo else 1
    expected = ["dynamics-answer-incomplete"] * hit + ["Sent"] * (3 - hit)
    assert codes(crm.send(parcels(3))) == expected
    assert codes(crm.send(parcels(3, redelivery=True))) == ["Sent"] * 3


def test_parts_out_of_order_are_told_apart_by_their_content_id(office):
    bad = parcels(3)[0]
    office.crm.refused[key(bad)] = Fault(400, "0x80040265", "ISV code aborted the operation.")
    office.crm.mishap.append("reorder")
    assert codes(office.destination().send(parcels(3))) == ["0x80040265", "Sent", "Sent"]


def test_parts_out_of_order_without_content_id_are_not_taken_for_another_lead(office):
    office.crm.echo = False
    office.crm.mishap.append("reorder")
    outcomes = codes(office.destination().send(parcels(3)))
    assert outcomes == ["dynamics-answer-incomplete", "Sent", "dynamics-answer-incomplete"]


def test_two_answers_to_one_lead_are_none(office):
    office.crm.mishap.append("twice")
    assert codes(office.destination().send(parcels(2))) == ["dynamics-answer-incomplete", "Sent"]


def test_a_batch_answer_without_its_end_keeps_what_came_whole(office):
    crm = office.destination()
    office.crm.mishap.append("unfinished")
    outcomes = codes(crm.send(parcels(4)))
    assert outcomes[0] == "Sent"
    assert outcomes[-1] == "dynamics-answer-incomplete"
    assert codes(crm.send(parcels(4, redelivery=True))) == ["Sent"] * 4


# --- what is refused


def fault(status, code, message="Refused.", **headers):
    return Fault(status, code, message, **headers)


REFUSALS = [
    (fault(403, "0x80040220", "is missing prvCreateLead privilege"), "0x80040220", 403),
    (fault(400, "0x80044331"), "0x80044331", 400),
    (fault(400, "0x8004431A"), "0x8004431a", 400),
    (fault(400, "0x80040278"), "0x80040278", 400),
    (fault(500, "0x80040216"), "0x80040216", 500),
    (fault(412, "0x80040333"), "0x80040333", 412),
    (fault(500, "0x80040333"), "0x80040333", 500),
    (fault(412, "0x80060892"), "0x80060892", 412),
    (fault(403, "-2147209463"), "0x80042f09", 403),
    (fault(403, "", "Error code 0x80072560: not a member"), "0x80072560", 403),
    (fault(429, "0x80072322"), "0x80072322", 429),
    (fault(503, ""), None, 503),
    (fault(404, "0x80060888"), "0x80060888", 404),
]


@pytest.mark.parametrize(("refusal", "code", "status"), REFUSALS)
def test_a_refused_lead_keeps_the_services_own_code(office, refusal, code, status):
    sent = parcel()
    office.crm.refused[key(sent)] = refusal
    [outcome] = office.destination().send([sent])
    assert (outcome.code, outcome.status) == (code, status)


@pytest.mark.parametrize("code", ["", "0x80040237"])
def test_our_own_key_being_there_is_done(office, code):
    sent = parcel()
    office.crm.refused[key(sent)] = fault(412, code, "A record with matching key values already exists.")
    assert office.destination().send([sent]) == [Sent(key(sent))]


def test_duplicate_rules_are_asked_only_when_wanted(office):
    """Two customers with one address: by default both are kept, as the Web API does."""
    office.destination().send([parcel(1)])
    assert codes(office.destination().send([parcel(2)])) == ["Sent"]
    assert codes(office.destination(detect_duplicates=True).send([parcel(3)])) == ["0x80040333"]
    assert codes(office.destination(detect_duplicates=True).send([parcel(3, email="other@contoso.com")])) == ["Sent"]


def test_a_batch_that_is_refused_as_a_whole_blames_no_lead_until_it_is_alone(office):
    """The answer doesn't say which lead it is: the next calls are half as large, and the others wait unharmed."""
    crm = office.destination()
    office.crm.page = (413, {}, b"too large")
    whole = failed(lambda: crm.send(parcels(4)))
    assert (whole.code, whole.status) == ("dynamics-batch-refused", 413)
    assert codes(crm.send(parcels(4))) == ["dynamics-batch-refused"] * 2 + ["Postponed"] * 2
    alone = crm.send(parcels(4))
    assert codes(alone) == [None] + ["Postponed"] * 3
    assert alone[0].status == 413
    office.crm.page = None
    assert codes(crm.send(parcels(4))) == ["Sent"] + ["Postponed"] * 3
    assert codes(crm.send(parcels(4))) == ["Sent"] * 4


# --- no trace of a person, nothing before its time


def test_no_failure_tells_who_it_was(office, capfd, caplog):
    person = {"first_name": "Zaphkiel", "last_name": "Quillfeather", "email": "zaphkiel.q@contoso.com"}
    person |= {"phone": "5550987123", "description": "Call me on 5550987123"}
    crm = office.destination()
    said = []
    for refusal in (fault(400, "0x80044331", "Quillfeather is too long"), fault(412, "0x80040333", "Zaphkiel")):
        one = parcel(**person)
        office.crm.refused[key(one)] = refusal
        [outcome] = crm.send([one])
        said += [str(outcome), repr(outcome)]
    office.crm.refused.clear()
    office.crm.mishap.append("close")
    whole = failed(lambda: crm.send([parcel(**person)]))
    said = f"{said} {whole!s} {whole!r} {capfd.readouterr()} {caplog.text}".lower()
    assert "0x80044331" in said
    for value in person.values():
        assert value.lower() not in said


def test_nothing_is_called_or_imported_before_the_first_use(office):
    """A wrong tenant, or a directory that is away, must not stop the receiver."""
    office.destination(tenant_id="wrong.example").close()
    assert office.crm.calls == office.entra.calls == []


def test_making_a_destination_imports_neither_msal_nor_requests():
    """In a process of its own, where nothing else has imported them."""
    code = (
        "import os, sys; os.environ['S'] = 's'\n"
        "from datetime import datetime, UTC\n"
        "from app.destinations import load_type\n"
        "from app.destinations.base import Tools\n"
        "kind = load_type('dynamics')\n"
        "given = dict(type='dynamics', url='https://contoso.crm4.dynamics.com', tenant_id='t', client_id='c',"
        " client_secret='env:S')\n"
        "kind('crm', kind.schema().load(given), Tools(now=lambda: datetime.now(UTC), public_url=''))\n"
        "sys.exit(str(sorted({'msal', 'requests', 'cryptography'} & set(sys.modules))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
