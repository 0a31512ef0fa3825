"""The whole corridor with real parts: a server, Azurite, an SMTP server, a file."""

import base64
import statistics
import time

import pytest

from tests.parts.server import Server, free_port, lead, until
from tests.parts.smtp import PASSWORD, listening

pytestmark = pytest.mark.xdist_group("processes")


def destinations(mail, ca_bundle, *, mail_port=None):
    return f"""
[destinations.archive]
type = "file"
path = "var/leads.jsonl"

[destinations.table]
type = "azure_table"
connection_string = "env:TABLES"
table = "Leads{time.time_ns()}"

[destinations.team-mail]
type = "email"
transport = "smtp"
host = "127.0.0.1"
port = {mail_port or mail.port}
username = "leads@contoso.example"
password = "env:MAIL_PASSWORD"
from = "leads@contoso.example"
to = ["sales@contoso.example"]
ca_bundle = "{ca_bundle}"
"""


@pytest.fixture
def corridor(tmp_path, azurite, mail_server, ca_bundle):
    made = []

    def make(**how):
        mail = mail_server()
        server = Server(tmp_path, more=destinations(mail, ca_bundle, **how))
        server.environment |= {"TABLES": azurite.connection_string, "MAIL_PASSWORD": PASSWORD}
        made.append(server)
        return server, mail

    yield make
    for server in made:
        server.end()


def test_send_test_ends_well_when_file_table_and_mail_have_the_lead(corridor):
    server, mail = corridor()
    server.start()
    done = server.command("send-test", "--json", "--timeout", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.delivered()) == 1
    assert len(mail.mails) == 1
    shown = server.json("show", server.delivered()[0])
    assert {one["destination"]: one["state"] for one in shown["deliveries"]} == {
        "archive": "sent",
        "table": "sent",
        "team-mail": "sent",
    }
    assert next(one for one in shown["deliveries"] if one["destination"] == "table")["remote_id"]


def test_send_test_names_the_code_of_the_destination_that_is_down(corridor):
    server, _ = corridor(mail_port=free_port())
    server.start()
    done = server.command("send-test", "--timeout", "3")
    assert done.returncode == 1
    assert "network.refused" in done.stdout
    assert "archive: sent" in done.stdout


def test_a_wrong_key_holds_the_table_and_drains_by_itself_once_mended(corridor, azurite):
    server, _ = corridor()
    wrong = base64.b64encode(b"0" * 64).decode()
    server.environment["TABLES"] = azurite.connection_string.replace(
        azurite.connection_string.split("AccountKey=")[1].split(";")[0], wrong
    )
    server.start()
    ids = [server.post(lead(number)).json()["id"] for number in range(3)]
    assert until(lambda: len(server.delivered()) == 3, seconds=5)
    assert until(lambda: server.json("problems"), seconds=10)
    (problem,) = server.json("problems")
    assert problem["code"] == "azure_table.authentication-failed"
    assert problem["destination"] == "table"
    assert problem["leads_waiting"] == 3
    assert problem["held"] is True
    assert problem["remedy"]
    assert {one["id"] for one in server.json("leads", "--state", "held")} == set(ids)
    checked = server.command("check", "--json")
    assert checked.returncode == 1
    assert '"code": "azure_table.authentication-failed"' in checked.stdout
    server.stop()
    server.environment["TABLES"] = azurite.connection_string
    server.start()
    assert until(lambda: server.json("problems") == [], seconds=15)
    assert server.json("leads", "--state", "held") == []


def test_a_withheld_person_is_nowhere_and_the_team_is_told(corridor):
    server, mail = corridor()
    server.start()
    answer = server.post(
        lead(1, userDetails={"firstName": "Canary", "lastName": "Yellowbird", "email": "canary@cs.mit.edu"})
    )
    assert answer.json()["status"] == "withheld"
    assert until(lambda: len(mail.mails) == 1, seconds=5)
    broken = b'{"userDetails": {"firstName": "Yellowbird", "email": "canary@cs.mit.edu"'
    refused = server.post(None, data=broken, headers={"Content-Type": "application/json"})
    assert refused.status_code == 400
    server.stop()
    for path in server.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert b"canary" not in content, path
            assert b"yellowbird" not in content, path
    message = mail.parsed()[0]
    text = "".join(part.get_content() for part in message.walk() if part.get_content_maintype() == "text")
    assert "cs.mit.edu" in text
    assert "canary" not in (text + str(message)).lower()
    assert server.delivered() == []


def test_a_destination_that_never_answers_slows_nobody(corridor):
    """The file's delivery time with a hanging mail server beside it is what it is without."""
    with listening(answers=False) as port:
        server, mail = corridor(mail_port=port)
        server.start()
        waits = []
        for number in range(15):
            begun = time.monotonic()
            id_ = server.post(lead(number)).json()["id"]
            assert until(lambda id_=id_: id_ in server.delivered(), seconds=4)
            waits.append(time.monotonic() - begun)
        assert statistics.median(waits) < 1
        assert mail.mails == []
