"""The e-mail destination's hour: ten mails singly, then digests, test leads past both."""

from datetime import timedelta

from app.destinations.base import Postponed, Sent
from tests.parts.smtp import START, parcel, parcels


def subjects(server):
    return [mail["Subject"] for mail in server.parsed()]


def test_ten_leads_an_hour_come_singly(make_email, mail_server):
    server = mail_server()
    assert len({outcome.remote_id for outcome in make_email(server).send(parcels(10))}) == 10
    assert len(server.mails) == 10


def test_a_batch_that_does_not_fit_comes_as_one_digest_that_lists_every_lead(make_email, mail_server):
    server = mail_server()
    outcomes = make_email(server).send(parcels(11))
    assert len({outcome.remote_id for outcome in outcomes}) == 1
    (mail,) = server.parsed()
    assert (mail["Message-ID"], mail["Subject"]) == (outcomes[0].remote_id, "Digest: 11 new leads")
    lines = mail.get_body(("plain",)).get_content().splitlines()
    assert all(f"Open: https://leads.contoso.example/console/leads/lead-{number}" in lines for number in range(1, 12))


def test_a_second_digest_waits_for_its_hour_and_then_holds_what_waited(make_email, mail_server, mail_clock):
    server = mail_server()
    destination = make_email(server)
    destination.send(parcels(11))
    mail_clock.pass_(minutes=20)
    assert destination.send(parcels(11, first=20)) == [Postponed(START + timedelta(hours=1))] * 11
    mail_clock.pass_(minutes=40)
    assert len({outcome.remote_id for outcome in destination.send(parcels(11, first=20))}) == 1
    assert len(server.mails) == 2


def test_mails_older_than_an_hour_make_room_again(make_email, mail_server, mail_clock):
    server = mail_server()
    destination = make_email(server)
    destination.send(parcels(10))
    mail_clock.pass_(minutes=59, seconds=59)
    destination.send([parcel(50)])
    mail_clock.pass_(seconds=1)
    destination.send([parcel(51)])
    assert [subject.partition(":")[0] for subject in subjects(server)] == ["New lead"] * 10 + ["Digest", "New lead"]


def test_a_digest_has_the_same_message_id_in_any_order(make_email, mail_server):
    forward, backward = (make_email(mail_server()).send(batch) for batch in (parcels(11), parcels(11)[::-1]))
    assert forward[0] == backward[0]


def test_a_failed_mail_takes_no_room_and_a_failed_digest_no_hour(make_email, mail_server):
    server = mail_server()
    destination = make_email(server)
    server.refuse("DATA", "451 4.3.0 Temporary")
    destination.send(parcels(10))
    destination.send(parcels(11, first=20))
    server.replies.clear()
    destination.send(parcels(11, first=20))
    destination.send(parcels(10))
    assert [subject.partition(":")[0] for subject in subjects(server)] == ["Digest"] + ["New lead"] * 10


def test_test_leads_go_at_once_take_no_room_and_say_so(make_email, mail_server):
    server = mail_server()
    destination = make_email(server)
    assert all(isinstance(outcome, Sent) for outcome in destination.send(parcels(12, test=True)))
    assert all(isinstance(outcome, Sent) for outcome in destination.send(parcels(10, first=20)))
    assert [subject[:7] == "[test] " for subject in subjects(server)] == [True] * 12 + [False] * 10


def test_a_test_lead_passes_by_customers_that_wait(make_email, mail_server):
    destination = make_email(mail_server())
    destination.send(parcels(11))
    waiting, sent = destination.send([*parcels(11, first=20), parcel(40, test=True)])[-2:]
    assert (type(waiting), type(sent)) == (Postponed, Sent)


def test_notices_of_withheld_leads_count_as_mails(make_email, mail_server):
    server = mail_server()
    assert len({outcome.remote_id for outcome in make_email(server).send(parcels(11, domain="mit.edu"))}) == 1


def test_customers_that_wait_are_not_failed_by_a_server_that_is_away(make_email, mail_server):
    server = mail_server()
    destination = make_email(server)
    destination.send(parcels(11))
    server.refuse("AUTH", "535 5.7.3 Authentication unsuccessful")
    waiting, failed = destination.send([*parcels(11, first=20), parcel(40, test=True)])[-2:]
    assert isinstance(waiting, Postponed)
    assert failed.code == "535 5.7.3"


def test_nothing_to_send_now_makes_no_connection(make_email, mail_server):
    server = mail_server()
    destination = make_email(server)
    destination.send(parcels(11))
    before = len(server.logins)
    destination.send(parcels(11, first=20))
    assert len(server.logins) == before
