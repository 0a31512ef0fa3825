"""What each destination knows of its system's limits, and how much of them is used."""

from datetime import UTC, datetime

import pytest

from app.destinations import load_type
from app.destinations.base import Tools, Usage
from app.destinations.salesforce.wire import Allowance
from tests.parts.smtp import parcel as mail_parcel
from tests.parts.smtp import parcels as mail_parcels
from tests.standins import dynamics_use, salesforce_use

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def org(monkeypatch):
    with salesforce_use.Office(monkeypatch) as made:
        yield made


@pytest.fixture
def dataverse(server_tls, ca_bundle, monkeypatch):
    with dynamics_use.Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("file", {"path": "leads.jsonl"}), ("azure_table", {"connection_string": None, "table": "leads"})],
)
def test_where_no_limit_is_known_there_is_no_figure(kind, settings):
    assert load_type(kind)("one", settings, Tools(now=lambda: AT, public_url="")).usage is None


def allowance(header):
    made = Allowance(reserve_percent=10, now=lambda: AT)
    made.note(header)
    return made.fullest()


@pytest.mark.parametrize(
    ("header", "fullest"),
    [
        ("api-usage=18/5000", (18, 5000)),
        ("api-usage=18/5000; per-app-api-usage=17/250(appName=leads)", (17, 250)),
        ("api-usage=4800/5000; per-app-api-usage=17/250(appName=leads)", (4800, 5000)),
        ("api-usage=18/0", None),
        ("nothing of the kind", None),
        (None, None),
    ],
)
def test_of_salesforces_counts_the_one_nearest_to_its_end_is_told(header, fullest):
    assert allowance(header) == fullest


def test_single_mails_of_the_hour_are_counted_against_ours(make_email, mail_server, mail_clock):
    destination = make_email(mail_server())
    assert destination.usage == Usage(0, 10, "single mails in an hour, then digests")
    destination.send([*mail_parcels(3), mail_parcel(9, test=True)])
    assert destination.usage.used == 3
    mail_clock.pass_(minutes=60)
    assert destination.usage.used == 0


def test_salesforce_tells_its_calls_with_every_answer(org):
    destination = org.make()
    assert destination.usage is None
    destination.send(salesforce_use.parcels(2))
    assert destination.usage == Usage(org.org.used, org.org.allowed, "API calls in 24 hours")


def test_requests_to_dataverse_are_counted_and_forgotten_after_five_minutes(dataverse):
    destination = dataverse.destination()
    assert destination.usage == Usage(0, 6000, "requests in 5 minutes")
    destination.send(dynamics_use.parcels(4))
    assert destination.usage.used == 5  # the batch is a request, too
    dataverse.clock.pass_(299)
    destination.send(dynamics_use.parcels(1, first=9))
    assert destination.usage.used == 7
    dataverse.clock.pass_(1)
    assert destination.usage.used == 2
