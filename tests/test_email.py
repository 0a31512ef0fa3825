"""The e-mail destination over SMTP, against a real server on this machine."""

from contextlib import closing

import pytest

from app.destinations.base import DeliveryFailed, Postponed, Sent
from tests.parts.smtp import PASSWORD, SENDER, TEAM, USERNAME, listening, parcel, parcels

# --- connecting and signing in


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_lead_goes_out_over_verified_tls_with_either_way_of_signing_in(make_email, mail_server, security, mechanism):
    server = mail_server(security, mechanisms=(mechanism,))
    assert make_email(server, security=security).send([parcel()]) == [Sent("<delivery-1@contoso.example>")]
    assert server.logins == [(mechanism, USERNAME, PASSWORD)]
    assert [(sender, to) for sender, to, _ in server.mails] == [(SENDER, (TEAM,))]


def test_without_username_nobody_signs_in_and_loopback_needs_no_tls(make_email, mail_server):
    server = mail_server("none", sign_in=False)
    destination = make_email(server, security="none", username=None, password=None, ca_bundle=None)
    assert destination.send([parcel()]) == [Sent("<delivery-1@contoso.example>")]
    assert server.logins == []


def test_a_batch_uses_one_connection_and_says_goodbye(make_email, mail_server):
    server = mail_server()
    assert all(isinstance(outcome, Sent) for outcome in make_email(server).send(parcels(5)))
    assert server.commands.count("AUTH") == 1
    assert server.commands.count("EHLO") == 2  # before and after STARTTLS
    assert server.commands[-1] == "QUIT"


REFUSED_LOGINS = [
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
    "535 5.7.3 Authentication unsuccessful",
    "550 5.7.30 Basic authentication is not supported for Client Submission.",
    "432 4.3.2 Concurrent connections limit exceeded",
    "421 4.7.0 Too many errors",
]


@pytest.mark.parametrize("reply", REFUSED_LOGINS)
def test_a_refused_login_fails_the_batch_with_the_servers_own_code_after_one_try(make_email, mail_server, reply):
    server = mail_server()
    server.refuse("AUTH", reply)
    with pytest.raises(DeliveryFailed) as failed:
        make_email(server).send(parcels(2))
    status, enhanced, text = reply.split(" ", 2)
    assert (failed.value.code, failed.value.status) == (f"{status} {enhanced}", int(status))
    assert text in failed.value.detail
    assert len(server.logins) == 1  # a second mechanism with the same password would help to lock the account


def test_a_wrong_password_is_told_as_the_server_tells_it(make_email, mail_server):
    with pytest.raises(DeliveryFailed, match=r"535 5\.7\.3") as failed:
        make_email(mail_server(), password="env:WRONG_PASSWORD").send([parcel()])
    assert "not-it" not in str(failed.value) + failed.value.detail


def test_a_reply_without_enhanced_code_is_named_by_its_status(make_email, mail_server):
    server = mail_server()
    server.refuse("AUTH", "535 Sorry")
    with pytest.raises(DeliveryFailed) as failed:
        make_email(server).check()
    assert failed.value.code == "535"


def test_no_password_is_shown_to_a_server_that_offers_no_encryption(make_email, mail_server):
    server = mail_server("none")
    with pytest.raises(DeliveryFailed, match=r"smtp\.starttls-not-offered"):
        make_email(server, security="starttls").send([parcel()])
    assert server.logins == []


def test_a_server_without_a_way_of_signing_in_that_we_know_is_told_as_such(make_email, mail_server):
    with pytest.raises(DeliveryFailed, match=r"smtp\.auth-not-offered"):
        make_email(mail_server(mechanisms=("NTLM",))).send([parcel()])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_of_an_unknown_authority_is_not_accepted(make_email, mail_server, security):
    server = mail_server(security)
    with pytest.raises(DeliveryFailed, match=r"network\.tls-untrusted"):
        make_email(server, security=security, ca_bundle=None).send([parcel()])
    assert server.logins == []


def test_a_ca_bundle_that_is_not_there_is_a_matter_of_trust(make_email, mail_server):
    with pytest.raises(DeliveryFailed, match=r"network\.tls-untrusted"):
        make_email(mail_server(), ca_bundle="/nowhere/ca.pem").send([parcel()])


def test_a_port_where_nobody_listens_is_refused(make_email):
    with listening(answers=None) as port, pytest.raises(DeliveryFailed, match=r"network\.refused"):
        make_email(port).send([parcel()])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_server_that_never_answers_is_a_timeout(make_email, security):
    with listening(answers=False) as port, pytest.raises(DeliveryFailed, match=r"network\.timeout"):
        make_email(port, security=security, timeout=0.2).send([parcel()])


# --- one letter's own fate

REFUSED_RECIPIENTS = ["550 5.1.1 User unknown", "450 4.7.1 Try later", "452 4.5.3 Too many recipients"]


@pytest.mark.parametrize("reply", REFUSED_RECIPIENTS)
def test_a_refused_recipient_fails_that_letter_and_the_next_goes_out(make_email, mail_server, reply):
    server = mail_server()
    answers = iter([reply])
    server.replies["RCPT"] = lambda _: next(answers, None)
    failed, sent = make_email(server).send(parcels(2))
    assert (failed.code, failed.status) == (" ".join(reply.split()[:2]), int(reply[:3]))
    assert sent == Sent("<delivery-2@contoso.example>")
    assert len(server.mails) == 1


@pytest.mark.parametrize("reply", ["554 5.2.252 SendAsDenied; not allowed", "552 5.3.4 Message too large"])
def test_refused_content_fails_that_letter_and_the_next_goes_out(make_email, mail_server, reply):
    server = mail_server()
    server.refuse("DATA", reply, when=lambda content: b"<delivery-1@" in content)
    failed, sent = make_email(server).send(parcels(2))
    assert failed.code == " ".join(reply.split()[:2])
    assert isinstance(sent, Sent)


def test_a_refused_sender_fails_every_letter_after_one_try(make_email, mail_server):
    server = mail_server()
    reply = "550 5.7.60 SMTP; Client does not have permissions to send as this sender"
    server.refuse("MAIL", reply)
    assert [outcome.code for outcome in make_email(server).send(parcels(3))] == ["550 5.7.60"] * 3
    assert server.commands.count("MAIL") == 1


def test_after_421_the_letters_that_remain_fail_untried(make_email, mail_server):
    server = mail_server()
    server.refuse("DATA", "421 4.7.0 Closing", when=lambda content: b"<delivery-2@" in content)
    first, *rest = make_email(server).send(parcels(4))
    assert isinstance(first, Sent)
    assert [outcome.code for outcome in rest] == ["421 4.7.0"] * 3
    assert server.commands.count("DATA") == 2


def test_after_a_dropped_connection_the_letters_that_remain_fail_untried(make_email, mail_server):
    server = mail_server()
    server.refuse("DATA", "drop", when=lambda content: b"<delivery-2@" in content)
    first, *rest = make_email(server).send(parcels(4))
    assert isinstance(first, Sent)
    assert [outcome.code for outcome in rest] == ["network.interrupted"] * 3
    assert server.commands.count("DATA") == 2


def test_a_reset_that_fails_does_not_lend_the_first_letters_refusal_to_the_others(make_email, mail_server):
    server = mail_server()
    server.refuse("DATA", "554 5.2.252 SendAsDenied")
    server.refuse("RSET", "421 4.4.2 Connection dropped")
    assert [outcome.code for outcome in make_email(server).send(parcels(2))] == ["554 5.2.252", "421 4.4.2"]


def test_what_patience_did_not_reach_is_asked_for_again_at_once(make_email, mail_server, mail_clock):
    destination = make_email(mail_server())
    destination.patience = -1.0
    first, *rest = destination.send(parcels(3))
    assert isinstance(first, Sent)
    assert rest == [Postponed(mail_clock())] * 2


# --- several recipients

THREE = ["sales@contoso.example", "team@contoso.example", "ops@contoso.example"]


def taken(server):
    return [to for _, to, _ in server.mails]


def test_a_recipient_refused_for_good_does_not_write_to_the_others_again(make_email, mail_server):
    server = mail_server()
    server.refuse("RCPT", "550 5.1.1 User unknown", when=lambda address: address == THREE[1])
    assert make_email(server, to=THREE).send([parcel()]) == [Sent("<delivery-1@contoso.example>")]
    assert taken(server) == [(THREE[0], THREE[2])]


def test_a_recipient_who_is_left_out_is_told_in_the_log_without_the_address(make_email, mail_server, capsys):
    server = mail_server()
    server.refuse("RCPT", "550 5.1.1 User unknown", when=lambda address: address == THREE[1])
    make_email(server, to=THREE).send([parcel()])
    said = capsys.readouterr().out
    for part in ("email.recipients_refused", "550 5.1.1", "warning"):
        assert part in said
    assert "@" not in said


def test_a_recipient_refused_for_now_gets_the_letter_later_and_the_others_no_second_one(make_email, mail_server):
    server, destination = mail_server(), None
    destination = make_email(server, to=THREE)
    server.refuse("RCPT", "450 4.2.1 Mailbox busy", when=lambda address: address == THREE[1])
    assert [outcome.code for outcome in destination.send([parcel()])] == ["450 4.2.1"]
    server.replies.clear()
    assert destination.send([parcel()]) == [Sent("<delivery-1@contoso.example>")]
    assert taken(server) == [(THREE[0], THREE[2]), (THREE[1],)]


def test_recipients_over_the_servers_number_get_a_second_copy_of_their_own(make_email, mail_server):
    server, asked = mail_server(), []
    server.replies["RCPT"] = lambda to: "452 4.5.3 Too many" if asked.append(to) or len(asked) == 3 else None
    assert make_email(server, to=THREE).send([parcel()]) == [Sent("<delivery-1@contoso.example>")]
    assert taken(server) == [(THREE[0], THREE[1]), (THREE[2],)]


# --- check


def test_check_signs_in_asks_for_the_sender_and_sends_nothing(make_email, mail_server):
    server = mail_server()
    found = make_email(server).check()
    assert found == f"127.0.0.1:{server.port}, STARTTLS, signed in as {USERNAME}, sends as {SENDER}"
    assert server.mails == []
    assert {"MAIL", "RSET"} <= set(server.commands)
    assert "DATA" not in server.commands


def test_check_finds_what_sending_would_run_into(make_email, mail_server):
    server = mail_server()
    server.refuse("MAIL", "550 5.7.60 SMTP; Client does not have permissions to send as this sender")
    with pytest.raises(DeliveryFailed, match=r"550 5\.7\.60"):
        make_email(server).check()


def test_check_fails_only_when_no_recipient_is_left(make_email, mail_server):
    server = mail_server()
    server.refuse("RCPT", "550 5.1.1 User unknown", when=lambda address: address == THREE[1])
    assert make_email(server, to=THREE).check().endswith("; 1 of 3 recipients refused (550 5.1.1)")
    with pytest.raises(DeliveryFailed, match=r"550 5\.1\.1"):
        make_email(server, to=[THREE[1]]).check()


def test_a_destination_can_be_closed_before_and_after_use(make_email, mail_server):
    destination = make_email(mail_server())
    destination.close()
    with closing(destination):
        destination.check()
    assert isinstance(destination.send([parcel()])[0], Sent)
