"""What the console shows and does, by command: how things stand, the remediation log, tokens, who did what."""

import json
import re
import resource
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from app.access import Access
from app.cli import main
from app.lead import Lead
from app.store.desk import problems
from app.store.problems import Evidence, ProblemLog
from app.store.tables import audit
from app.wiring import Wiring, utc_now
from tests.parts.arrivals import HOUR, NOW, arrival, dead, held, id_of, keep, lead_of, outbox, rows, settle, unreadable

CODE = "azure_table.entity-too-large"
LEAD = b'{"UserDetails": {"Email": "someone@contoso.com", "Company": "Contoso"}, "LeadSource": "AzureMarketplace"}'


class Line:
    """The command line in a folder of its own, and the store behind it."""

    def __init__(self, folder):
        self.config = folder / "leadwire.toml"
        self.config.write_text(
            '[sources.marketplace]\nkeys = ["env:KEY_A"]\ndestinations = ["table"]\n'
            '[destinations.table]\ntype = "file"\npath = "leads.jsonl"\n'
            '[destinations.crm]\ntype = "file"\npath = "crm.jsonl"\n'
        )
        self.wiring = Wiring.from_file(str(self.config))
        self.store = self.wiring.store
        self.store.migrate()

    def run(self, *words, text=None):
        return CliRunner().invoke(main, ["--config", str(self.config), *words], input=text)

    def json(self, *words, text=None, status=0):
        done = self.run(*words, "--json", text=text)
        assert done.exit_code == status, done.output
        return json.loads(done.stdout)

    def problem(self, destination="table", code=CODE):
        with self.store.write() as connection:
            ProblemLog(self.store).noted(connection, destination, Evidence(code=code, raw_code="413"), now=NOW)
        return rows(self.store, problems, problems.c.destination == destination)[0]["id"]

    def acts(self):
        return [(row["action"], row["target"], row["why"]) for row in rows(self.store, audit)]


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADWIRE_CONFIG", raising=False)
    monkeypatch.setenv("KEY_A", "a-key-for-tests")
    made = Line(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def working(line):
    """The same with a worker that was seen just now."""
    box = outbox(line.store)
    box.beat(now=round(utc_now().timestamp() * 1000))
    return line


def test_leads_are_found_by_person_offer_source_destination_and_time(line):
    offered = Lead(first_name="Some", last_name="One", email="someone@contoso.com", offer_title="Contoso Test")
    keep(
        line.store,
        lead_of(line.store, 1, offered),
        arrival(2, at=NOW + HOUR, to=("crm",), source="other"),
        arrival(3, at=NOW + 2 * HOUR),
    )

    def found(*words):
        return [int(one["id"][:8], 16) for one in line.json("leads", *words)]

    assert found() == [3, 2, 1]
    assert found("--email", "SomeOne@contoso.com") == [1]
    assert found("--offer", "Contoso*") == [1]
    assert found("--source", "other") == [2]
    assert found("--destination", "crm") == [2]
    assert found("--until", "2027-01-15T09:00:00Z") == [1]
    assert found("--limit", "1", "--before", id_of(3)) == [2]


def test_an_address_that_is_no_whole_one_is_refused(line):
    for given in (
        "someone",
        "mailto:someone@contoso.com",
        "Some One <someone@contoso.com>",
        "a@contoso.com,b@contoso.com",
    ):
        assert "whole e-mail address" in line.json("leads", "--email", given, status=1)["error"]


def test_to_show_a_lead_is_recorded_with_its_reason(line):
    keep(line.store, arrival(1))
    found = line.json("show", id_of(1), "--why", "a call")
    assert found["lead"]["email"] == "someone@contoso.com"
    assert line.acts() == [("reveal", f"{id_of(1)} first_name,last_name,email", "a call")]


def test_a_lead_is_not_shown_where_that_cannot_be_recorded(line):
    keep(line.store, arrival(1))
    line.store.close()
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)); "
        "from app.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "--config", str(line.config), "show", id_of(1)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "The store can't be used." in done.stderr
    assert "someone@contoso.com" not in done.stdout + done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1


def test_a_body_is_shown_with_its_reason_recorded(line):
    keep(line.store, unreadable(4))
    assert line.json("quarantine", id_of(4), "--why", "to mend it")["body"] == "{"
    assert line.acts() == [("reveal", f"{id_of(4)} body", "to mend it")]


def test_a_preview_of_what_is_kept_says_how_it_reads_and_names_nobody(line):
    keep(line.store, unreadable(4, body=LEAD))
    done = line.run("repair", id_of(4), "--preview")
    assert done.exit_code == 0
    assert "reads as a lead" in done.stdout
    assert "AzureMarketplace" in done.stdout
    assert "contoso" not in done.stdout.lower()
    assert line.acts() == []


def test_a_preview_of_a_repaired_body_shows_it_and_changes_nothing(line):
    keep(line.store, unreadable(4))
    found = line.json("repair", id_of(4), "--file", "-", "--preview", text=LEAD.decode())
    assert found["lead"]["email"] == "someone@contoso.com"
    assert line.json("repair", id_of(4), "--file", "-", "--preview", text="[", status=1)["ok"] is False
    assert line.json("quarantine", id_of(4))["body"] == "{"


def test_a_preview_and_a_release_do_not_go_together(line):
    assert line.run("repair", id_of(4), "--preview", "--release").exit_code == 2


def test_nobody_to_act_ends_well_and_what_is_counted_is_there(working):
    keep(working.store, arrival(1, at=round(utc_now().timestamp() * 1000)))
    found = working.json("overview", "--days", "3")
    assert (found["ok"], found["needs"], len(found["days"])) == (True, [], 3)
    assert found["days"][-1]["accepted"] == 1
    assert {card["name"] for card in found["destinations"]} == {"table", "crm"}


@pytest.mark.parametrize("trouble", ["parked", "dead", "quarantined", "own"])
def test_what_needs_a_person_is_named_and_ends_badly(working, trouble):
    if trouble == "quarantined":
        keep(working.store, unreadable(4))
    elif trouble == "own":
        working.problem("", "leadwire.no-leads")
    else:
        keep(working.store, arrival(1))
        settle(working.store, held if trouble == "parked" else dead)
    done = working.run("overview")
    assert done.exit_code == 1
    assert len(working.json("overview", status=1)["needs"]) == 1


def test_the_overview_says_that_no_worker_is_there(line):
    done = line.run("overview")
    assert (done.exit_code, "no worker was ever seen" in done.stdout) == (1, True)


def test_the_overview_gives_the_first_step_of_each_remedy(working):
    keep(working.store, arrival(1))
    settle(working.store, dead)
    text = working.run("overview").stdout
    (found,) = working.json("problems")
    assert found["remedy"][0] in text
    assert found["remedy"][1] not in text


def test_a_problem_is_noted_and_ticked_off_and_says_so(line):
    keep(line.store, arrival(1))
    settle(line.store, dead)
    (found,) = line.json("problems")
    assert line.json("acknowledge", found["id"], "--note", "the CRM team knows")["ok"] is True
    assert line.json("tick", found["id"], "2")["done"] is True
    text = line.run("problems").stdout
    assert "the CRM team knows" in text
    assert re.search(r"2\. .*\(done\)", text)
    assert found["id"] in text
    assert line.json("tick", found["id"], "2", "--undo")["done"] is False
    assert line.json("problems")[0]["done"] == []


def test_what_is_over_is_listed_with_the_id_that_the_next_page_needs(line):
    for number, name in enumerate(("table", "crm")):
        line.problem(name)
        with line.store.write() as connection:
            ended = problems.update().where(problems.c.destination == name)
            connection.execute(ended.values(closed_at=NOW + number))
    first, second = line.json("problems", "--closed")
    assert [first["destination"], second["destination"]] == ["crm", "table"]
    assert first["id"] in line.run("problems", "--closed").stdout
    assert line.json("problems", "--closed", "--before", first["id"]) == [second]


def test_one_destination_is_checked_and_its_result_kept(line):
    found = line.json("check", "--destination", "crm", "--why", "new disk")["destinations"]
    assert [one["name"] for one in found] == ["crm"]
    (kept,) = line.json("checks")
    assert kept | {"at": found[0]["at"]} == found[0]
    assert line.acts() == [("check", "crm ok", "new disk")]


def test_checks_end_badly_while_the_latest_of_one_failed(line, tmp_path):
    (tmp_path / "leads.jsonl").mkdir()
    line.json("check", status=1)
    found = {one["name"]: one["code"] for one in line.json("checks", status=1)}
    assert found == {"table": "file.is-a-folder", "crm": None}


def test_a_token_is_made_shown_once_and_revoked(line):
    made = line.json("tokens", "new", "reports", "--role", "operator")
    door = Access(line.store, None, utc_now)
    assert (door.verify_token(made["token"]).name, made["role"]) == ("reports", "operator")
    (listed,) = line.json("tokens")
    assert listed == line.json("tokens", "list")[0]
    assert made["token"] not in json.dumps(listed)
    line.json("tokens", "revoke", made["id"])
    assert door.verify_token(made["token"]) is None
    assert made["id"] in line.json("tokens", "revoke", made["id"], status=1)["error"]


def test_json_may_stand_before_the_word_too(line):
    done = line.run("tokens", "--json", "new", "reports")
    assert json.loads(done.stdout)["role"] == "reader"


def test_an_address_is_shown_with_its_key_only_when_asked_and_that_is_recorded(line):
    listed = line.run("addresses").stdout
    assert "a-key-for-tests" not in listed
    (found,) = line.json("addresses")
    key = found["keys"][0]["fingerprint"]
    assert key in listed
    assert line.acts() == []
    shown = line.json("addresses", "--show", "marketplace", key, "--why", "Partner Center")
    assert shown["url"].endswith("/leads?code=a-key-for-tests")
    assert line.acts() == [("reveal-address", f"marketplace {key}", "Partner Center")]
    assert "no key" in line.json("addresses", "--show", "marketplace", "0" * 12, status=1)["error"]


def test_settings_name_where_each_value_comes_from_and_no_secret(line):
    found = {(one["section"], one["key"]): one for one in line.json("settings")}
    assert found["sources.marketplace", "keys"] | {"section": "", "key": ""} == {
        "section": "",
        "key": "",
        "value": "set",
        "origin": "env:KEY_A",
    }
    assert found["server", "workers"]["origin"] == "default"
    assert "a-key-for-tests" not in line.run("settings").output


def test_the_audit_is_narrowed_and_paged(line):
    keep(line.store, arrival(1), arrival(2), arrival(3))
    line.json("discard", id_of(1), id_of(2), "--yes")
    line.json("show", id_of(3))
    line.json("replay", id_of(1))
    everything = line.json("audit")
    assert [one["action"] for one in everything] == ["replay", "reveal", "discard", "discard"]
    assert [one["action"] for one in line.json("audit", "--target", id_of(1))] == ["replay", "discard"]
    assert len(line.json("audit", "--action", "discard")) == 2
    assert line.json("audit", "--actor", "nobody") == []
    assert line.json("audit", "--actor", everything[0]["actor"], "--limit", "1") == everything[:1]
    assert line.json("audit", "--before", str(everything[0]["id"]), "--limit", "2") == everything[1:3]


def test_offers_are_listed(line):
    assert line.json("offers") == []
    keep(line.store, arrival(1, lead=Lead(email="someone@contoso.com", offer_title="Contoso Test")))
    assert line.json("offers") == ["Contoso Test"]


def test_a_trial_alert_without_a_channel_says_which_setting_is_missing(line):
    assert "[alerts]" in line.json("alert-test", status=1)["error"]


def test_a_purge_keeps_its_reason(line):
    line.json("purge", "--yes", "--why", "as every month")
    assert [(action, why) for action, _, why in line.acts()] == [("purge", "as every month")]


def test_a_hash_opens_what_its_password_opens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["hash-password"], input="a password for tests\n")
    assert done.exit_code == 0
    assert "a password for tests" not in done.output
    hashed = done.stdout.strip()
    kept = tmp_path / "password"
    kept.write_text(hashed)
    kept.chmod(stat.S_IRUSR)
    config = tmp_path / "leadwire.toml"
    config.write_text(f'[console]\npassword = "file:{kept}"\n[sources.marketplace]\nkeys = ["env:KEY_A"]\n')
    monkeypatch.setenv("KEY_A", "a-key-for-tests")
    wiring = Wiring.from_file(str(config))
    wiring.store.migrate()
    cookie = wiring.access.sign_in("a password for tests", address="127.0.0.1")
    assert wiring.access.session(cookie).role == "operator"
    wiring.store.close()


def test_an_empty_password_has_no_hash():
    done = CliRunner().invoke(main, ["hash-password", "--json"], input="\n")
    assert (done.exit_code, json.loads(done.stdout)["ok"]) == (1, False)
