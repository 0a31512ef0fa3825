"""How alerts go out: to a real webhook in each form, by a real mail server, and what their settings refuse."""

import socket
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.alerts import make_channels, try_channels
from app.alerts.channels import WebhookChannel
from app.destinations.base import DeliveryFailed
from app.settings import ConfigError, Secret, load_settings
from app.store.desk import alerts
from app.store.tables import from_ms
from tests.parts.alerting import CATALOGUE, LINK, Clock, alert_settings, listening_hook, watch_of
from tests.parts.arrivals import NOW, arrival, held, keep, settle
from tests.parts.azurite import connection_string as table_at
from tests.parts.server import lead, until
from tests.parts.smtp import MailServer, controller
from tests.test_alerts_words import said

OPENED = said(waiting=12)


@pytest.fixture
def hook():
    with listening_hook() as made:
        yield made


def post(hook, form, alert=OPENED, *, id_="alert-1", url=None):
    channel = WebhookChannel(Secret(url or hook.url, reference="env:HOOK"), form, lambda: from_ms(NOW))
    try:
        channel.send(id_, alert, at=from_ms(NOW))
    finally:
        channel.close()


# --- The forms


def test_slack_gets_a_text_whose_marks_are_spelled_out(hook):
    post(hook, "slack", OPENED | {"title": "<!channel> & <https://evil.example|here>"})
    (got,) = hook.got
    assert list(got) == ["text"]
    assert "<" not in got["text"]
    assert "&lt;!channel&gt; &amp;" in got["text"]
    assert LINK in got["text"]


def test_teams_gets_a_card_in_a_message(hook):
    post(hook, "teams")
    (got,) = hook.got
    (attachment,) = got["attachments"]
    card = attachment["content"]
    assert got["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    texts = [block["text"] for block in card["body"] if block["type"] == "TextBlock"]
    assert texts[0].endswith("(12 leads waiting)")
    (facts,) = [block["facts"] for block in card["body"] if block["type"] == "FactSet"]
    assert {"title": "Leads", "value": "12 leads waiting"} in facts
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open Leadwire", "url": LINK}]


def test_a_program_gets_everything(hook):
    post(hook, "json")
    (got,) = hook.got
    assert got["id"] == "alert-1"
    assert got["at"] == "2027-01-15T08:00:00.000Z"
    assert got.items() >= OPENED.items()
    assert hook.keys == ["alert-1"]


# --- What is no success


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (302, "leadwire.webhook-refused"),
        (404, "leadwire.webhook-refused"),
        (410, "leadwire.webhook-refused"),
        (429, "http.throttled"),
        (500, "http.unavailable"),
        (503, "http.unavailable"),
    ],
)
def test_any_answer_but_a_success_is_a_failure_with_a_code(hook, status, code):
    hook.answer = lambda _: (status, {"Location": hook.url + "/elsewhere", "Retry-After": "7"})
    with pytest.raises(DeliveryFailed) as caught:
        post(hook, "json")
    found = CATALOGUE.translate("leadwire", code=caught.value.code, status=caught.value.status, detail="")
    assert found.code == code
    assert caught.value.retry_after == 7
    assert len(hook.got) == 1, "a redirect is not followed"


def test_a_host_that_does_not_answer_is_a_network_failure(hook):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryFailed) as caught:
            post(hook, "json", url=f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert caught.value.code == "network.refused"


@pytest.mark.parametrize(
    "url", ["http://2852039166/latest/meta-data", "http://0xa9fea9fe/", "http://[::ffff:a9fe:a9fe]/"]
)
def test_a_link_local_address_is_refused_however_it_is_written(hook, url):
    with pytest.raises(DeliveryFailed) as caught:
        post(hook, "json", url=url)
    assert caught.value.code == "leadwire.webhook-address-refused"


# --- The settings


MAIL = """
[destinations.team-mail]
type = "email"
transport = "smtp"
host = "127.0.0.1"
security = "none"
from = "leads@contoso.example"
to = ["sales@contoso.example"]
[destinations.archive]
type = "file"
path = "var/leads.jsonl"
"""


def load(tmp_path, monkeypatch, text, **environment):
    for name, value in {"KEY": "a-key", **environment}.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "leadwire.toml"
    path.write_text(f'[sources.marketplace]\nkeys = ["env:KEY"]\n[console]\nenabled = false\n{text}\n{MAIL}')
    return load_settings(path)


def test_what_is_configured_is_taken(tmp_path, monkeypatch):
    text = """
        [alerts]
        via = "team-mail"
        to = "ops@contoso.example"
        webhook = "env:HOOK"
        webhook_format = "teams"
        after = "1m"
        escalate = []
        quiet_days = 0
        oldest_minutes = 0.5
    """
    found = load(tmp_path, monkeypatch, text, HOOK="https://hooks.contoso.example/services/x").alerts
    assert (found.via, found.to, found.webhook_format) == ("team-mail", ("ops@contoso.example",), "teams")
    assert found.webhook.reveal() == "https://hooks.contoso.example/services/x"
    assert (found.after, found.escalate) == (timedelta(minutes=1), ())
    assert (found.quiet_days, found.oldest_minutes, found.worker_minutes) == (0, 0.5, 5)
    assert "services" not in repr(found)


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        (
            'via = "archive"',
            "[alerts] via",
            "found 'archive', which is of type 'file'; allowed: the name",
        ),
        ('via = "archive"', "[alerts] via", "(team-mail)"),
        ('via = "nobody"', "[alerts] via", "found 'nobody'"),
        ('to = ["ops@contoso.example"]', "[alerts] via", "missing; allowed: the name of an e-mail destination"),
        ('via = "team-mail"\nto = ["ops"]', "[alerts] to", "an e-mail address"),
        ('via = "team-mail"\nto = ["a@b.example\\nBcc: x@y.example"]', "[alerts] to", "an e-mail address"),
        ('webhook = "https://hooks.contoso.example/x"', "[alerts] webhook", 'give "env:NAME"'),
        ('webhook_format = "xml"', "[alerts] webhook_format", '"slack" or "teams" or "json"'),
        ('after = "soon"', "[alerts] after", '"5s"'),
        ('escalate = ["4h", "1h"]', "[alerts] escalate", "each longer than the one before"),
        ('escalate = "1h"', "[alerts] escalate", "a list of ages"),
        ("quiet_days = -1", "[alerts] quiet_days", "from 0"),
        ('worker_minutes = "5"', "[alerts] worker_minutes", "a number"),
    ],
)
def test_what_can_not_work_is_refused_with_the_key_and_what_is_allowed(tmp_path, monkeypatch, text, where, says):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, monkeypatch, f"[alerts]\n{text}")
    lines = [line for line in str(caught.value).splitlines() if f"{where}: " in line]
    assert lines, caught.value
    assert says in lines[0]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hooks.contoso.example/hunter2", "begins with http://"),
        ("ftp://hooks.contoso.example/hunter2", "is no web address"),
        ("hunter2", "is no web address"),
        ("https://[/hunter2", "is no web address"),
        ("https://hooks.contoso.example/hunter2 x", "is no web address"),
        ("https://hooks.contoso.example:x/hunter2", "is no web address"),
        ("https://169.254.169.254/hunter2", "leads to this machine's own link or cloud"),
        ("https://[fe80::1]/hunter2", "leads to this machine's own link or cloud"),
        ("https://[fe80::1%25eth0]/hunter2", "leads to this machine's own link or cloud"),
        ("https://[::ffff:169.254.169.254]/hunter2", "leads to this machine's own link or cloud"),
        ("https://Metadata.Google.Internal./hunter2", "leads to this machine's own link or cloud"),
        ("http://localhost.contoso.example/hunter2", "begins with http://"),
    ],
)
def test_a_webhook_that_is_not_safe_is_refused_and_not_shown(tmp_path, monkeypatch, url, says):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, monkeypatch, '[alerts]\nwebhook = "env:HOOK"', HOOK=url)
    assert f"[alerts] webhook: the address that env:HOOK holds {says}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://hooks.contoso.example/x", "http://127.0.0.1:8000/x", "http://[::1]/x", "http://localhost/x"]
)
def test_a_webhook_over_tls_or_on_this_machine_is_taken(tmp_path, monkeypatch, url):
    found = load(tmp_path, monkeypatch, '[alerts]\nwebhook = "env:HOOK"', HOOK=url)
    assert found.alerts.webhook.reveal() == url


# --- By mail


def mailing(make_email, server):
    return lambda _: make_email(server)


def test_an_alert_is_mailed_to_those_named_as_text_and_page_with_a_stable_name(mail_server, make_email):
    server = mail_server()
    settings = alert_settings(None, via="team-mail", to=("ops@contoso.example", "ops@contoso.example"))
    (channel,) = make_channels(settings, email=mailing(make_email, server), now=Clock())
    for _ in range(2):
        channel.send("alert-1", OPENED, at=from_ms(NOW))
    channel.close()

    first, second = server.parsed()
    assert [recipients for _, recipients, _ in server.mails] == [("ops@contoso.example",)] * 2
    assert first["To"] == "ops@contoso.example"
    assert first["Message-ID"] == second["Message-ID"] == "<alert-1@contoso.example>"
    assert first["Date"] == second["Date"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Subject"].endswith("(12 leads waiting)")
    text = first.get_body(["plain"]).get_content()
    page = first.get_body(["html"]).get_content()
    entry = CATALOGUE.get(OPENED["code"])
    for part in ("12 leads waiting", "table (azure_table)", entry.remedy[0].split("`")[0].strip()[:20], LINK):
        assert part in text
        assert part in page
    assert f'<a href="{LINK}">' in page


def test_without_names_of_its_own_an_alert_goes_to_whom_the_destination_writes(mail_server, make_email):
    server = mail_server()
    (channel,) = make_channels(alert_settings(None, via="team-mail"), email=mailing(make_email, server), now=Clock())
    channel.send("alert-1", OPENED, at=from_ms(NOW))
    channel.close()
    assert server.mails[0][1] == ("sales@contoso.example",)


def test_a_mail_whose_answer_was_lost_comes_again_under_the_same_name(store, mail_server, make_email):
    server, clock = mail_server(), Clock()
    drops = iter([True])

    def lose(_):
        return "drop" if next(drops, False) else None

    server.replies["DATA"] = lose
    watch = watch_of(store, alert_settings(None, via="team-mail"), clock, email=mailing(make_email, server))
    keep(store, arrival(1))
    settle(store, held)
    watch.look()
    names = [row_id for (row_id,) in _alert_ids(store)]
    assert server.mails == []
    clock.pass_(minutes=1)
    watch.look()

    (mail,) = server.parsed()
    assert mail["Message-ID"] == f"<{names[0]}@contoso.example>"


def test_when_one_channel_fails_the_other_tells_of_the_problem_and_of_the_failing(store, hook, mail_server, make_email):
    server, clock = mail_server(), Clock()
    server.refuse("AUTH", "535 5.7.3 Authentication unsuccessful")
    settings = alert_settings(hook, via="team-mail")
    watch = watch_of(store, settings, clock, email=mailing(make_email, server))
    keep(store, arrival(1))
    settle(store, held)
    for _ in range(12):
        watch.look()
        clock.pass_(minutes=1)
    assert hook.told() == [
        ("opened", "table", "azure_table.authentication-failed"),
        ("opened", None, "leadwire.alerts-failing"),
    ]

    server.replies.clear()
    clock.pass_(minutes=15)
    for _ in range(3):
        watch.look()
        clock.pass_(minutes=1)
    assert [mail["Subject"].split(":")[1] for mail in server.parsed()] == [" table"]
    assert hook.told()[2:] == [("recovered", None, "leadwire.alerts-failing")]


def _alert_ids(store):
    with store.read() as connection:
        return connection.execute(sa.select(alerts.c.id)).all()


# --- Trying


def test_a_trial_says_of_each_channel_whether_it_arrived_and_what_to_do_if_not(hook, mail_server, make_email):
    server = mail_server()
    server.refuse("AUTH", "535 5.7.3 Authentication unsuccessful")
    channels = make_channels(alert_settings(hook, via="team-mail"), email=mailing(make_email, server), now=Clock())
    mail, web = try_channels(channels, catalogue=CATALOGUE, id_="trial-1", link=LINK, now=from_ms(NOW))

    assert (mail["channel"], mail["ok"], mail["code"]) == ("mail", False, "email.authentication-failed")
    assert mail["remedy"]
    assert web == {"channel": "webhook", "ok": True, "code": None, "title": None, "remedy": []}
    assert "trial" in hook.got[0]["subject"]


# --- The whole program


def test_a_wrong_key_is_mailed_once_and_its_mending_once_over_a_restart_of_the_program(server, azurite):
    mails = MailServer(sign_in=False)
    post_office = controller(mails, tls=None, security="none")
    post_office.start()
    try:
        _configure(server, post_office.port)
        server.environment["TABLES"] = table_at(azurite.account_url, key="d3Jvbmcga2V5")
        server.start()
        for number in range(30):
            assert server.post(lead(number)).status_code == 202
        assert until(lambda: mails.mails, seconds=30), server.log.read_text()
        server.stop()
        server.environment["TABLES"] = azurite.connection_string
        server.start()
        assert until(lambda: len(mails.mails) == 2, seconds=45), server.log.read_text()
        server.stop()
    finally:
        post_office.stop()

    first, second = mails.parsed()
    assert first["Subject"].strip().startswith("Leadwire: table: ")
    assert second["Subject"].strip().startswith("Leadwire: over after ")
    assert [recipients for _, recipients, _ in mails.mails] == [("ops@contoso.example",)] * 2
    assert [event["kind"] for event in server.events("alert.made")] == ["opened", "recovered"]
    assert [event["kind"] for event in server.events("alert.sent")] == ["opened", "recovered"]
    everything = b"".join(content for _, _, content in mails.mails)
    assert b"someone" not in everything
    assert b"ops@contoso.example" not in server.log.read_bytes()


def _configure(server, port):
    with server.config.open("a") as config:
        config.write(f"""
[alerts]
via = "team-mail"
to = ["ops@contoso.example"]
[[routes]]
to = ["table"]
[destinations.table]
type = "azure_table"
connection_string = "env:TABLES"
table = "Alerts{port}"
[destinations.team-mail]
type = "email"
transport = "smtp"
host = "127.0.0.1"
port = {port}
security = "none"
from = "leads@contoso.example"
to = ["sales@contoso.example"]
""")
