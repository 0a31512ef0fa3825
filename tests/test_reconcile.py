"""Partner Center's export against what arrived: who came, who is missing, and each taken in once."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from app.lead import Envelope
from app.operations import NotPossible
from app.store.acts import Who
from app.store.tables import audit, deliveries, receipts
from app.wiring import Wiring
from tests.parts.arrivals import rows
from tests.parts.server import Server, lead, until

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOW = NOON + timedelta(days=3)
HOUR = timedelta(hours=1)
SOMEONE = Who("someone", "asked to")


class Here:
    """A Leadwire whose clock can be set, and what to compare it with."""

    def __init__(self, config):
        self.at = NOW
        self.wiring = Wiring.from_file(str(config), now=lambda: self.at)
        self.wiring.store.migrate()

    def came(self, email, at, *, offer="Test", key="Email", **more):
        """A lead, or a body that is none, came in at a time."""
        self.at = at
        body = more.get("body") or json.dumps({"UserDetails": {key: email}, "OfferTitle": offer}).encode()
        envelope = Envelope(body=body, content_type="application/json")
        intake = self.wiring.intake
        id_ = intake.inbox.put(intake.arrival(intake.read(envelope), envelope, source="marketplace")).id
        self.at = NOW
        return id_

    def compare(self, *sent, **more):
        found = self.wiring.operations.reconcile(export(*sent), who=SOMEONE, **more)
        assert len(found["rows"]) == len(sent)
        return [row["found"] for row in found["rows"]]


def export(*sent):
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["LeadCreationDateTime", "Email", "Offer", "First name", "Call to action"])
    lines.writerows([at.isoformat(), email, "Test", "Some", "Contact me"] for email, at in sent)
    return text.getvalue().encode()


@pytest.fixture
def here(store_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADWIRE_TEST_KEY", "a-key-for-tests")
    config = tmp_path / "leadwire.toml"
    config.write_text(
        f'[store]\nurl = "{store_url}"\n[console]\nenabled = false\n'
        '[sources.marketplace]\nkeys = ["env:LEADWIRE_TEST_KEY"]\n'
        '[destinations.archive]\ntype = "file"\npath = "leads.jsonl"\n'
    )
    made = Here(config)
    yield made
    made.wiring.store.close()


def test_a_lead_that_arrived_is_found_by_its_person_and_its_time(here):
    here.came("Some.One@contoso.com", NOON)
    assert here.compare(("some.one@CONTOSO.com", NOON - timedelta(minutes=2))) == ["arrived"]
    assert here.compare(("another@contoso.com", NOON)) == ["missing"]
    assert here.compare(("some.one@contoso.com", NOON - timedelta(hours=25))) == ["missing"]


def test_each_arrival_stands_for_one_lead_the_one_that_is_nearest(here):
    here.came("one@contoso.com", NOON + 20 * HOUR)
    assert here.compare(("one@contoso.com", NOON), ("one@contoso.com", NOON + 20 * HOUR)) == ["missing", "arrived"]
    here.came("one@contoso.com", NOON + 21 * HOUR)  # a duplicate: it came, and is delivered once
    assert here.compare(("one@contoso.com", NOON + 20 * HOUR), ("one@contoso.com", NOON + 21 * HOUR)) == ["arrived"] * 2


def test_what_is_missing_is_taken_in_once_and_marked(here):
    sent = [("one@contoso.com", NOON), ("two@contoso.com", NOON), ("two@contoso.com", NOON)]
    here.came("one@contoso.com", NOON)
    assert here.compare(*sent) == ["arrived", "missing", "missing"]
    assert here.compare(*sent, ingest=True) == ["arrived", "ingested", "ingested"]
    # Again, in another order, with more leads in it: those are there.
    assert here.compare(sent[1], *sent[:2], ("three@contoso.com", NOON), ingest=True) == [
        "ingested", "arrived", "ingested", "ingested",
    ]  # fmt: skip
    store = here.wiring.store
    kept = {row["id"]: row for row in rows(store, receipts)}
    assert len(kept) == 4
    taken = [row["target"] for row in rows(store, audit) if row["action"] == "ingest"]
    assert len(taken) == len(set(taken)) == 3
    assert {row["receipt_id"] for row in rows(store, deliveries)} == set(kept)
    shown = here.wiring.operations.reveal(taken[0], who=SOMEONE)["lead"]
    assert (shown["email"], shown["action_code"], shown["offer_title"]) == ("two@contoso.com", "PLT", "Test")
    assert shown["extra"] == {
        "ReconciledFrom": "Partner Center export",
        "LeadCreationDateTime": "2026-11-20T12:00:00.000Z",
    }


def test_one_that_was_taken_in_does_not_stand_for_another_that_is_missing(here):
    here.compare(("one@contoso.com", NOW - 4 * HOUR), ingest=True)
    assert here.compare(("one@contoso.com", NOW - 4 * HOUR), ("one@contoso.com", NOW - 2 * HOUR)) == [
        "ingested", "missing",
    ]  # fmt: skip


def test_a_lead_in_quarantine_is_not_missing(here):
    here.came("one@contoso.com", NOON, body=b'{"UserDetails": {"Email": "one@contoso.com"')
    assert here.compare(("one@contoso.com", NOON), ingest=True) == ["quarantined"]


def test_a_body_in_quarantine_stands_for_no_lead_of_another_week(here):
    here.came("one@contoso.com", NOON - timedelta(days=14), body=b'{"UserDetails": {"Email": "one@contoso.com"')
    assert here.compare(("one@contoso.com", NOON)) == ["missing"]


def test_a_withheld_lead_is_known_by_its_domain_and_nobody_is_taken_in(here):
    here.came("one@cs.mit.edu", NOON)
    sent = ("one@cs.mit.edu", NOON), ("two@cs.mit.edu", NOON + 5 * HOUR)
    assert here.compare(*sent) == ["arrived", "missing"]
    assert here.compare(*sent, ingest=True) == ["arrived", "ingested"]
    kept = rows(here.wiring.store, receipts)
    assert [row["status"] for row in kept] == ["withheld"] * 2
    lead = here.wiring.operations.reveal(kept[1]["id"], who=SOMEONE)["lead"]
    assert (lead["email"], lead["first_name"], lead["extra"]) == (None, None, {})


def test_somebody_who_was_erased_is_not_taken_in_again(here):
    here.came("one@contoso.com", NOON)
    operations = here.wiring.operations
    operations.erase(operations.find_person("one@contoso.com"), who=SOMEONE)
    assert here.compare(("one@contoso.com", NOON), ingest=True) == ["perhaps-erased"]


def test_what_may_be_on_its_way_or_was_purged_is_neither_missing_nor_taken_in(here):
    young, old = NOW - timedelta(minutes=59), NOW - timedelta(days=181)
    assert here.compare(("one@contoso.com", young), ("two@contoso.com", old), ingest=True) == ["too-young", "too-old"]
    assert rows(here.wiring.store, receipts) == []


def test_5000_leads_are_compared_in_seconds(here):
    sent = [(f"{number}@contoso.com", NOON) for number in range(5000)]
    for email, at in sent[::50]:
        here.came(email, at)
    assert here.compare(*sent).count("missing") == 4900


@pytest.mark.usefixtures("here")
def test_whose_export_it_is_has_to_be_said_where_there_are_several(tmp_path):
    config = tmp_path / "two.toml"
    config.write_text((tmp_path / "leadwire.toml").read_text() + '[sources.second]\nkeys = ["file:second.key"]\n')
    (tmp_path / "second.key").write_text("another-key-for-tests")
    two = Here(config)
    with pytest.raises(NotPossible, match="there are: marketplace, second"):
        two.compare(("one@contoso.com", NOON))
    assert two.compare(("one@contoso.com", NOON), source="second", ingest=True) == ["ingested"]
    assert [row["source"] for row in rows(two.wiring.store, receipts)] == ["second"]
    two.wiring.store.close()


def test_the_command_says_what_is_missing_and_names_nobody(server: Server):
    server.start()
    assert server.post(lead(1)).status_code == 202
    now = datetime.now(UTC)
    file = server.folder / "export.csv"
    file.write_bytes(export(("someone1@contoso.com", now), ("someone2@contoso.com", now - 2 * HOUR)))
    said = server.command("reconcile", "export.csv")
    assert said.returncode == 1
    assert "1 did not arrive" in said.stdout
    assert "contoso" not in said.stdout + said.stderr
    found = server.json("reconcile", "export.csv", "--ingest")
    assert (found["ok"], found["counts"]) == (True, {"arrived": 1, "ingested": 1})
    assert server.command("reconcile", "export.csv").returncode == 0
    assert until(lambda: len(server.delivered()) == 2, seconds=20)
    named = server.command("reconcile", "export.csv", "--column", "email=Nobody")
    assert (named.returncode, "No column for email" in named.stderr) == (1, True)
    assert server.command("reconcile", "export.csv", "--column", "nonsense").returncode == 2


def test_an_id_made_from_a_row_is_a_uuid_in_the_order_of_time(here):
    here.compare(("one@contoso.com", NOON), ("two@contoso.com", NOON + HOUR), ingest=True)
    first, second = (msgspec.convert(row["id"], str) for row in rows(here.wiring.store, receipts))
    assert first < second
    assert first[14] == second[14] == "8"
