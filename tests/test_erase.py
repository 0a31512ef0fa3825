"""A person is forgotten wherever the store has something of them, at the destinations too, and that is certified."""

import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app.cli import Context
from app.lead import Lead
from app.store.acts import Acts
from app.store.arrival import person_key
from app.store.auditing import verify
from app.store.desk import alerts, problems
from app.store.problems import Evidence, ProblemLog
from app.store.tables import attempts, deliveries, duplicate_keys, inbox, receipts
from tests.parts.arrivals import (
    NOW,
    SOMEONE,
    arrival,
    dead,
    failed,
    id_of,
    keep,
    lead_of,
    outbox,
    result,
    rows,
    settle,
    unreadable,
)
from tests.parts.arrivals import inbox as door
from tests.parts.commands import commands
from tests.parts.desk import desk  # noqa: F401  (a fixture)

EMAIL = "someone@contoso.com"


def erase(store, ids, email=EMAIL):
    return Acts(store).erase(ids, now=NOW, who=SOMEONE, email=email)


def found(store, email=EMAIL):
    return Acts(store).find_person(email, person_key(store, email))


# In the store


def test_what_is_erased_is_counted_by_where_it_stood(store):
    keep(
        store,
        lead_of(store, 1, Lead(email=EMAIL), to=["table", "mail", "crm"]),
        unreadable(2, body=EMAIL.encode()),
        arrival(3, to=["table"], lead=Lead(last_name="Other"), duplicate_key=b"o" * 16),
        arrival(4, to=(), lead=Lead(last_name="One", description=f"for {EMAIL}"), duplicate_key=b"k" * 16),
    )
    settle(store, result)
    settle(store, lambda claim: failed(claim, due=NOW), destination="mail")
    assert found(store) == [id_of(1), id_of(2), id_of(4)]
    counts = erase(store, found(store)).counts
    assert counts == {
        "leads": 2, "quarantined": 1, "unsorted": 0, "deliveries": 2, "attempts": 2, "duplicate_keys": 1,
        "problem_texts": 0,
    }  # fmt: skip
    assert {row["receipt_id"] for row in rows(store, attempts)} == {id_of(3)}
    assert [row["receipt_id"] for row in rows(store, duplicate_keys)] == [id_of(3)]
    left = {(row["receipt_id"], row["destination"]): row["state"] for row in rows(store, deliveries)}
    assert left[id_of(1), "mail"] == left[id_of(1), "crm"] == "discarded"
    assert [row["status"] for row in rows(store, receipts)] == ["erased", "erased", "accepted", "erased"]
    assert found(store) == []
    assert verify(store).fault is None


def test_what_is_not_sorted_in_is_found_by_its_hash_and_by_its_text_and_erased(store):
    own = door(store)
    kept = [
        lead_of(store, 1, Lead(email=EMAIL)),
        arrival(2, lead=Lead(last_name="One", description=f"Ask {EMAIL.upper()}")),
        unreadable(3, body=f'{{"Email": "{EMAIL}"'.encode()),
        arrival(4, lead=Lead(email="x.someone@contoso.com")),
    ]
    own.keep([own.letter(one) for one in kept])
    with store.write() as connection:
        connection.execute(inbox.insert().values(id=id_of(9), arrival=b"of a later version"))
    assert found(store) == [id_of(1), id_of(2), id_of(3)]
    assert erase(store, found(store)).counts["unsorted"] == 3
    assert [row["id"] for row in rows(store, inbox)] == [id_of(4), id_of(9)]


def test_an_address_is_taken_out_of_what_is_told_of_problems_and_the_rest_stays(store):
    with store.write() as connection:
        text = f"duplicate of Someone@Contoso.com, not of x.{EMAIL}"
        ProblemLog(store).noted(connection, "table", Evidence(code="x", text=text), now=NOW)
        ProblemLog(store).noted(connection, "mail", Evidence(code="y", text="nothing personal"), now=NOW)
        connection.execute(problems.update().where(problems.c.code == "x").values(note=f"called {EMAIL}"))
        (problem,) = connection.execute(sa.select(problems.c.id).where(problems.c.code == "x")).scalars()
        told = {"id": id_of(1), "channel": "mail", "problem_id": problem, "kind": "opened", "made_at": NOW}
        body = json.dumps({"lines": [f"It said: {EMAIL}."]})
        connection.execute(alerts.insert().values(**told, text=body, due_at=NOW))
    assert erase(store, []).counts["problem_texts"] == 2
    first = next(row for row in rows(store, problems) if row["code"] == "x")
    assert (first["evidence"], first["note"]) == (f"duplicate of [erased], not of x.{EMAIL}", "called [erased]")
    assert json.loads(rows(store, alerts)[0]["text"]) == {"lines": ["It said: [erased]."]}
    assert erase(store, []).counts["problem_texts"] == 0


def test_a_duplicate_of_an_erased_lead_has_nothing_of_the_person(store):
    keep(store, *(arrival(number, duplicate_key=b"k" * 16, person=b"p" * 16) for number in (1, 2)))
    erase(store, [id_of(1)])
    (second,) = rows(store, receipts, receipts.c.id == id_of(2))
    assert (second["status"], second["lead"], second["person"]) == ("duplicate", None, None)


def test_no_word_of_the_person_is_in_any_file_although_it_stood_in_evidence_and_inbox(sqlite_url, tmp_path, opened):
    store = opened(sqlite_url)
    canary = "canary.of.somebody@contoso.com"
    own = door(store)
    own.keep([own.letter(lead_of(store, 1, Lead(email=canary)))])
    with store.write() as connection:
        found_there = Evidence(code="x", text=f"of {canary}")
        ProblemLog(store).noted(connection, "table", found_there, now=NOW)
        sealed = bytes(connection.execute(sa.select(inbox.c.arrival)).scalar_one())[-60:]
    assert all(one in _files(tmp_path) for one in (canary.encode(), sealed))
    erase(store, found(store, canary), email=canary)
    assert not any(one in _files(tmp_path) for one in (canary.encode(), sealed))


def _files(folder):
    return b"".join(path.read_bytes() for path in folder.glob("leadwire.db*") if path.is_file())


# By the command, with a certificate


@pytest.fixture
def person(desk):  # noqa: F811
    """Somebody whose lead is in two files, and waits for a third destination that is gone from the settings."""
    keep(
        desk.store,
        lead_of(desk.store, 1, Lead(first_name="Some", last_name="One", email=EMAIL), to=["table", "crm", "gone"]),
        lead_of(desk.store, 2, Lead(last_name="Other", email="other@contoso.com"), to=["table"]),
    )
    for name in ("table", "crm"):
        lane = desk.wiring.lane(name, worker="w")
        lane.step()
        lane.destination.close()
    settle(desk.store, result, destination="gone")
    return desk


def run(desk, *words, text=None):  # noqa: F811
    context = Context(None)
    context.wiring = desk.wiring
    return CliRunner().invoke(commands()["erase"], list(words), obj=context, input=text)


def test_a_person_is_erased_at_the_destinations_and_what_is_left_is_named(person):
    done = run(person, "--email", EMAIL, "--destinations", "--yes", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"], told["erased"]) == (1, False, [id_of(1)])
    assert {one["destination"]: one["erased"] for one in told["destinations"]} == {
        "crm": True, "gone": False, "table": True,
    }  # fmt: skip
    left = next(one for one in told["destinations"] if not one["erased"])
    assert "not configured" in left["told"]
    assert EMAIL not in (person.folder / "leads.jsonl").read_text()
    assert "other@contoso.com" in (person.folder / "leads.jsonl").read_text()
    assert (person.folder / "crm.jsonl").read_text() == ""
    acts = person.operations.audit(action="erase-there")
    assert sorted(one["target"] for one in acts) == [f"{id_of(1)} crm", f"{id_of(1)} table"]


def test_without_asking_for_it_no_destination_is_touched(person):
    done = run(person, "--email", EMAIL, "--yes", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"]) == (0, True)
    assert [(one["erased"], one["told"]) for one in told["destinations"]] == [(False, None)] * 3
    assert EMAIL in (person.folder / "leads.jsonl").read_text()


def test_the_certificate_names_no_person_and_proves_what_was_done(person):
    path = person.folder / "erased.json"
    run(person, "--email", EMAIL, "--destinations", "--yes", "--certificate", str(path), "--why", "ticket 7")
    text = path.read_text()
    told = json.loads(text)
    assert "contoso" not in text
    assert "One" not in text
    assert told["person"] == person_key(person.store, EMAIL.upper()).hex()
    assert (told["why"], told["erased"], told["counts"]["leads"]) == ("ticket 7", [id_of(1)], 1)
    assert told["at"] == "2027-01-15T08:00:00.000Z"
    assert person.operations.verify_audit(head=told["audit_head"])["ok"]
    number = told["audit_head"].partition(":")[0]
    assert int(number) == person.operations.verify_audit()["entries"]


@pytest.mark.parametrize("there", ["a file", "no folder"])
def test_where_the_certificate_cannot_be_written_nothing_is_erased(person, there):
    path = person.folder / "old.json" if there == "a file" else person.folder / "nowhere/erased.json"
    if there == "a file":
        path.write_text("an earlier one")
    done = run(person, "--email", EMAIL, "--yes", "--certificate", str(path))
    assert done.exit_code == 1
    assert "Nothing was erased" in done.stderr
    assert person.operations.find_person(EMAIL) == [id_of(1)]
    assert there != "a file" or path.read_text() == "an earlier one"


def test_what_failed_at_a_destination_is_erased_again_by_id(person):
    blocked = person.folder / "crm.jsonl.erasing"
    blocked.mkdir()
    first = json.loads(run(person, "--email", EMAIL, "--destinations", "--yes", "--json").stdout)
    failed_there = next(one for one in first["destinations"] if one["destination"] == "crm")
    assert (failed_there["erased"], "It failed" in failed_there["told"]) == (False, True)
    assert EMAIL in (person.folder / "crm.jsonl").read_text()
    blocked.rmdir()
    again = json.loads(run(person, "--id", id_of(1), "--destinations", "--yes", "--json").stdout)
    assert next(one for one in again["destinations"] if one["destination"] == "crm")["erased"]
    assert EMAIL not in (person.folder / "crm.jsonl").read_text()
    assert again["counts"]["leads"] == 0


def test_a_dead_delivery_is_looked_for_at_its_destination_too(desk):  # noqa: F811
    keep(desk.store, lead_of(desk.store, 1, Lead(email=EMAIL)))
    settle(desk.store, dead)
    (one,) = desk.operations.erase([id_of(1)], who=SOMEONE, destinations=True)["destinations"]
    assert (one["certain"], one["erased"]) == (False, True)
    assert one["told"].startswith("It is not in the file")


def test_what_never_went_out_is_asked_of_nobody(desk):  # noqa: F811
    keep(desk.store, lead_of(desk.store, 1, Lead(email=EMAIL), to=["gone"]))
    told = desk.operations.erase([id_of(1)], who=SOMEONE, destinations=True)
    assert (told["destinations"], told["counts"]["deliveries"]) == ([], 1)
    assert outbox(desk.store).claim("gone", limit=1, now=NOW) == []


@pytest.mark.parametrize("words", [(), ("--email", EMAIL, "--id", id_of(1))])
def test_one_of_address_and_id_is_wanted(desk, words):  # noqa: F811
    done = run(desk, *words, "--yes")
    assert (done.exit_code, "either --email or --id" in done.stderr) == (2, True)


def test_an_unknown_id_is_said_so(desk):  # noqa: F811
    assert run(desk, "--id", id_of(77), "--yes").exit_code == 1


def test_the_command_asks_first(person):
    done = run(person, "--email", EMAIL, "--destinations", text="n\n")
    assert "here and at the destinations" in done.stderr
    assert person.operations.find_person(EMAIL) == [id_of(1)]


def test_the_console_erases_at_destinations_too_and_shows_the_certificate(person):
    visitor = person.operator()
    fields = {"email": EMAIL, "sure": "yes", "destinations": "yes"}
    page = visitor.post(f"/console/leads/{id_of(1)}/erase", fields)
    assert "Erased at destinations" in page.words
    assert "not configured any more" in page.words
    assert person_key(person.store, EMAIL).hex() in page.words
    assert (person.folder / "crm.jsonl").read_text() == ""
