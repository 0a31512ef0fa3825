"""What people change, the audit of it, and the promise that no lead is ever lost from the count."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.lead import Lead
from app.store import open_store
from app.store.acts import CHUNK, Acts, Selection, Who
from app.store.arrival import Quarantined, person_key
from app.store.searching import Filter
from app.store.tables import Status, attempts, audit, deliveries, duplicate_keys, lanes, metadata, quarantine, receipts
from app.store.views import Views
from tests.parts.arrivals import (
    DAY,
    MINUTE,
    NOW,
    SOMEONE,
    arrival,
    dead,
    failed,
    held,
    id_of,
    inbox,
    keep,
    lead_of,
    outbox,
    result,
    settle,
    unreadable,
)
from tests.parts.arrivals import rows as rows_of

ALL = ("due", "sending", "sent", "dead", "discarded")


@pytest.fixture
def acts(store):
    return Acts(store)


def states(store):
    return {(int(row["receipt_id"][:8], 16), row["destination"]): row["state"] for row in rows_of(store, deliveries)}


def audited(store):
    return [(row["action"], row["target"], row["actor"], row["why"]) for row in rows_of(store, audit)]


# Finding, replaying, discarding


def test_deliveries_are_found_by_lead_destination_code_state_and_time(store, acts):
    keep(store, arrival(1, at=NOW - 9), arrival(2), arrival(3, to=["mail"]))
    settle(store, dead, limit=1)
    found = [
        [int(id_[:8], 16) for id_, _, _ in acts.find(Selection(states=ALL, **wanted))]
        for wanted in (
            {},
            {"ids": (id_of(2), id_of(3))},
            {"destination": "mail"},
            {"code": "azure_table.entity-too-large"},
            {"since": NOW},
            {"since": NOW, "destination": "table"},
        )
    ]
    assert found == [[1, 2, 3], [2, 3], [3], [1], [2, 3], [2]]
    assert acts.find(Selection(states=("dead",))) == [(id_of(1), "table", "dead")]


def test_a_replay_is_due_now_with_fresh_patience_and_keeps_its_history(store, acts):
    keep(store, arrival())
    settle(store, lambda claim: failed(claim, due=NOW))
    settle(store, dead)
    found = acts.find(Selection(states=("dead",)))
    assert acts.replay(found, now=NOW + 5, who=SOMEONE) == 1
    row = rows_of(store, deliveries)[0]
    assert (row["state"], row["due_at"], row["tries"], row["claims"]) == ("due", NOW + 5, 0, 2)
    settle(store, result, now=NOW + 5)
    assert [row["number"] for row in rows_of(store, attempts)] == [1, 2, 3]
    assert audited(store) == [("replay", f"{id_of(1)} table", "someone", "asked to")]


def test_a_replay_has_a_parked_destination_probed_at_once_and_no_other(store, acts):
    keep(store, arrival(1, to=["table", "mail"]))
    for destination in ("table", "mail"):
        settle(store, held, destination=destination)
    acts.replay(acts.find(Selection(destination="table", states=("due",))), now=NOW + 5, who=SOMEONE)
    assert {row["destination"]: row["next_probe_at"] for row in rows_of(store, lanes)} == {
        "table": NOW + 5,
        "mail": NOW + MINUTE,
    }


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_what_moved_on_since_it_was_looked_at_is_left_alone(store, acts, verb):
    keep(store, arrival(1), arrival(2))
    found = acts.find(Selection(states=("due",)))
    settle(store, result, limit=1)
    assert getattr(acts, verb)(found, now=NOW, who=SOMEONE) == 1
    assert states(store)[1, "table"] == "sent"
    assert [target for _, target, _, _ in audited(store)] == [f"{id_of(2)} table"]


def test_nothing_found_is_nothing_done(store, acts):
    assert acts.replay([], now=NOW, who=SOMEONE) == acts.discard([], now=NOW, who=SOMEONE) == 0
    assert audited(store) == []


def test_more_than_a_chunk_is_changed_in_few_statements(store, acts):
    with store.write() as connection:
        row = {"received_at": NOW, "source": "marketplace", "status": "accepted", "test": False}
        owed = {"destination": "table", "state": "dead", "due_at": NOW, "updated_at": NOW}
        connection.execute(receipts.insert(), [{"id": id_of(number), **row} for number in range(CHUNK + 1)])
        connection.execute(deliveries.insert(), [{"receipt_id": id_of(number), **owed} for number in range(CHUNK + 1)])
    store.keyring.unlock()  # made once a store
    found, statements = acts.find(Selection(states=("dead",))), []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert acts.replay(found, now=NOW, who=SOMEONE) == CHUNK + 1
    assert len(statements) < 25
    assert set(states(store).values()) == {"due"}
    assert len(audited(store)) == CHUNK + 1


def test_a_discarded_delivery_is_not_sent_even_by_who_is_sending_it(store, acts):
    keep(store, arrival())
    claim = outbox(store).claim("table", limit=1, now=NOW)[0]
    assert acts.discard(acts.find(Selection(states=("sending",))), now=NOW, who=SOMEONE) == 1
    assert outbox(store).record("table", [failed(claim, due=NOW)], now=NOW) == []
    assert states(store) == {(1, "table"): "discarded"}
    assert outbox(store).lane("table", now=NOW).next_at is None


def test_a_lead_can_be_owed_to_one_more_destination_once(store, acts):
    keep(store, arrival())
    assert acts.add_delivery(id_of(1), "mail", now=NOW + 5, who=SOMEONE)
    assert not acts.add_delivery(id_of(1), "mail", now=NOW + 6, who=SOMEONE)
    assert states(store) == {(1, "table"): "due", (1, "mail"): "due"}
    assert audited(store) == [("replay", f"{id_of(1)} mail", "someone", "asked to")]


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_where_the_audit_cannot_be_written_nothing_is_changed(store, acts, verb):
    keep(store, arrival())
    found, before = acts.find(Selection(states=("due",))), rows_of(store, deliveries)
    with pytest.raises(sa.exc.IntegrityError):
        getattr(acts, verb)(found, now=NOW + 5, who=Who(actor=None))
    assert rows_of(store, deliveries) == before


# Quarantine


def _body(text, **error):
    return Quarantined(content_type="application/json", body=text, length=len(text), error=error)


def test_a_repaired_body_takes_the_others_place(store, acts):
    keep(store, unreadable())
    assert acts.repair(id_of(1), _body(b"{}", title="Better"), now=NOW, who=SOMEONE)
    row = rows_of(store, quarantine)[0]
    assert (bytes(row["body"]), row["length"], row["error"]) == (b"{}", 2, '{"title": "Better"}')
    assert not acts.repair(id_of(9), _body(b"{}"), now=NOW, who=SOMEONE)
    assert [(action, target) for action, target, _, _ in audited(store)] == [("repair", id_of(1))]


def test_a_released_body_is_a_lead_like_any_other_under_its_own_id(store, acts):
    keep(store, unreadable(1, at=NOW - DAY))
    lead = lead_of(store, 77, Lead(last_name="One", email="someone@contoso.com", action_code="INS"))
    assert acts.release(id_of(1), lead, now=NOW, who=SOMEONE)
    shown = Views(store).show(id_of(1))
    assert (shown["status"], shown["action_code"], shown["received_at"]) == (
        "accepted", "INS", "2027-01-14T08:00:00.000Z",
    )  # fmt: skip
    assert rows_of(store, quarantine) == []
    claim = outbox(store).claim("table", limit=1, now=NOW)[0]
    assert (claim.receipt_id, claim.lead.last_name) == (id_of(1), "One")
    assert acts.find_person("someone@contoso.com", lead.person) == [id_of(1)]
    assert audited(store)[0][:2] == ("release", id_of(1))


def test_a_body_is_released_once(store, acts):
    keep(store, unreadable())
    assert acts.release(id_of(1), arrival(77), now=NOW, who=SOMEONE)
    assert not acts.release(id_of(1), arrival(78), now=NOW, who=SOMEONE)
    assert not acts.release(id_of(9), arrival(79), now=NOW, who=SOMEONE)
    assert len(audited(store)) == 1


def test_only_what_is_quarantined_is_discarded_as_such(store, acts):
    keep(store, unreadable(1), arrival(2))
    assert acts.discard_quarantined([id_of(1), id_of(2), id_of(9)], now=NOW, who=SOMEONE) == 1
    assert [row["status"] for row in rows_of(store, receipts)] == ["discarded", "accepted"]
    assert rows_of(store, quarantine) == []
    assert [target for _, target, _, _ in audited(store)] == [id_of(1)]


# Erasing a person

WANTED = "Someone@contoso.com"


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (lambda store: lead_of(store, 1, Lead(email="someone@CONTOSO.com")), True),
        (lambda _: arrival(1, lead=Lead(last_name="One", description="Ask SomeOne@contoso.com, please")), True),
        (lambda _: arrival(1, lead=Lead(last_name="One", extra={"Cc": ["x;someone@contoso.com"]})), True),
        (lambda store: lead_of(store, 1, Lead(email="other@contoso.com")), False),
        (lambda _: arrival(1, lead=Lead(last_name="One", description="someone%contoso.com")), False),
        (lambda _: unreadable(body=b'{"Email": "SOMEONE@contoso.com"'), True),
        (lambda _: unreadable(body='{"Email": "someone@contoso.com"'.encode("utf-16")), True),
        (lambda _: unreadable(body='{"Email": "someone@contoso.com"'.encode("utf-16-le")), True),
        (lambda _: unreadable(body='{"Email": "someone@contoso.com"'.encode("utf-16-be")), True),
        (lambda _: unreadable(body=b"email=someone%40contoso.com&%"), True),
        (lambda _: unreadable(body=b'{"Email": "someone\\u0040contoso.com"'), True),
        (lambda _: unreadable(body=b"\xff\xfe\x00 someone@contoso.com \xff"), True),
        (lambda _: unreadable(body=b'{"Email": "other@contoso.com"'), False),
        (lambda _: unreadable(body=None), False),
    ],
)
def test_an_address_is_found_wherever_it_stands(store, acts, made, found):
    keep(store, made(store))
    assert acts.find_person(WANTED, person_key(store, WANTED)) == ([id_of(1)] if found else [])


@pytest.mark.parametrize(
    "address", ["ärzte@contoso.com", '"some\\"one"@contoso.com', "some_one%x@contoso.com", "é@é.é"]
)
def test_an_unusual_address_is_found_in_somebody_elses_notes(store, acts, address):
    keep(store, arrival(1, lead=Lead(last_name="One", description=f"Ask {address.upper()}")), arrival(2))
    assert acts.find_person(address, person_key(store, address)) == [id_of(1)]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("some@b\u00fccher.example", "Some@xn--bcher-kva.example"),
        ("some@xn--bcher-kva.example", "some@B\u00dcCHER.example"),
        ("jose\u0301@contoso.com", "JOS\u00c9@contoso.com"),
        ("someone@contoso.com.", "someone@contoso.com"),
        ("some\u200bone@contoso.com", "someone@contoso.com"),
    ],
)
def test_an_address_is_found_in_its_other_spellings(store, acts, written, asked):
    keep(
        store,
        lead_of(store, 1, Lead(email=written)),
        arrival(2, lead=Lead(last_name="One", description=f"or {written}")),
        unreadable(3, body=f'{{"Email": "{written}"'.encode()),
        lead_of(store, 4, Lead(email=f"not-{written}")),
    )
    assert person_key(store, written) == person_key(store, asked)
    assert acts.find_person(asked, person_key(store, asked)) == [id_of(1), id_of(2), id_of(3)]


def test_a_body_that_is_no_utf_8_is_of_whom_it_names_and_of_nobody_else(store, acts):
    keep(store, unreadable(1, body="jos\u00e9@contoso.com".encode("latin-1")))
    assert acts.find_person("jos@contoso.com", b"") == []
    assert acts.find_person("jos\u00e9@contoso.com", b"") == [id_of(1)]


def test_erasing_forgets_who_it_was_and_says_who_else_holds_it(store, acts):
    keep(
        store,
        lead_of(store, 1, Lead(email=WANTED), to=["table", "mail", "late"]),
        unreadable(2, body=WANTED.encode()),
        arrival(3, to=["table"], lead=Lead(last_name="One")),
    )
    settle(store, lambda claim: result(claim, remote_id=f"row {claim.receipt_id[:8]}"), limit=1)
    settle(store, dead, destination="mail")
    assert acts.erase([id_of(1), id_of(2)], now=NOW, who=SOMEONE).held == [
        {"id": id_of(1), "destination": "mail", "remote_id": None, "certain": False},
        {"id": id_of(1), "destination": "table", "remote_id": "row 00000001", "certain": True},
    ]
    first, second, third = rows_of(store, receipts)
    assert (first["status"], first["lead"], first["person"]) == ("erased", None, None)
    assert (second["status"], third["status"]) == ("erased", "accepted")
    assert rows_of(store, quarantine) == []
    assert states(store) == {
        (1, "late"): "discarded", (1, "mail"): "discarded", (1, "table"): "sent", (3, "table"): "due",
    }  # fmt: skip
    assert acts.find_person(WANTED, person_key(store, WANTED)) == []
    assert audited(store) == [("erase", id_of(number), "someone", "asked to") for number in (1, 2)]


def test_an_erased_lead_is_never_sent_again(store, acts):
    """Not by who is sending it just now, not when its lease ends, not by a replay: an empty lead would go out."""
    keep(store, arrival(1, to=["sent", "sending"]))
    settle(store, result, destination="sent")
    claim = outbox(store).claim("sending", limit=1, now=NOW)[0]
    looked_at_before = acts.find(Selection(states=ALL))
    held_by = acts.erase([id_of(1)], now=NOW, who=SOMEONE).held
    assert {one["destination"] for one in held_by} == {"sent", "sending"}
    assert outbox(store).record("sending", [failed(claim, due=NOW)], now=NOW) == []
    assert acts.find(Selection(states=ALL)) == []
    still = [(id_, name, states(store)[1, name]) for id_, name, _ in looked_at_before]
    assert acts.replay(still, now=NOW, who=SOMEONE) == 0
    assert [outbox(store).claim(name, limit=1, now=NOW + DAY) for name in ("sent", "sending")] == [[], []]


@pytest.mark.parametrize("verb", ["erase", "purge"])
def test_what_is_forgotten_is_in_no_file_any_more(sqlite_url, tmp_path, opened, verb):
    store = opened(sqlite_url)
    long = "Secret " * 3000  # also what takes pages of its own
    keep(store, arrival(1, to=(), lead=Lead(last_name="Secret", description=long)), unreadable(2, body=long.encode()))
    with store.read() as connection:
        tables = receipts, quarantine
        seals = [
            bytes(seal) for table in tables for row in connection.execute(sa.select(table)) for seal in _seals(row)
        ]
    assert len(seals) == 4
    assert all(seal[:60] in _files(tmp_path) for seal in seals)
    if verb == "erase":
        Acts(store).erase([id_of(1), id_of(2)], now=NOW, who=SOMEONE)
    else:
        purge(Acts(store), leads=NOW + 1, bodies=NOW + 1)
    assert not any(seal[:60] in _files(tmp_path) for seal in seals)


def _seals(row):
    return [one for one in (row.sealed, row.data_key) if one is not None]


def _files(folder):
    return b"".join(path.read_bytes() for path in folder.glob("leadwire.db*") if path.is_file())


def test_an_erased_lead_that_comes_again_is_a_new_lead(store, acts):
    keep(store, arrival(1, duplicate_key=b"k" * 16))
    acts.erase([id_of(1)], now=NOW, who=SOMEONE)
    assert keep(store, arrival(2, duplicate_key=b"k" * 16))[0].status == "accepted"


def test_the_audit_has_nothing_personal(store, acts):
    keep(store, lead_of(store, 1, Lead(email=WANTED, last_name="Secret")), unreadable(2, body=WANTED.encode()))
    acts.replay(acts.find(Selection(states=ALL)), now=NOW, who=SOMEONE)
    acts.repair(id_of(2), _body(b"Secret"), now=NOW, who=SOMEONE)
    acts.erase(acts.find_person(WANTED, person_key(store, WANTED)), now=NOW, who=SOMEONE)
    acts.purge(leads=0, tests=0, bodies=0, tries=0, keys=0, now=NOW, who=SOMEONE)
    text = str(rows_of(store, audit)).casefold()
    assert {action for action, *_ in audited(store)} == {"replay", "repair", "erase", "purge"}
    assert "contoso" not in text
    assert "secret" not in text


# Purging


def purge(acts, **moments):
    values = {"leads": 0, "tests": 0, "bodies": 0, "tries": 0, "keys": 0}
    return acts.purge(**{**values, **moments}, now=NOW, who=SOMEONE)


def test_what_is_old_and_settled_goes_with_all_that_hangs_on_it(store, acts):
    keep(store, *(arrival(number, at=NOW - 10, duplicate_key=bytes(16)) for number in (1, 2)), arrival(3))
    settle(store, result)
    counts = purge(acts, leads=NOW)
    assert counts == {"leads": 2, "test_leads": 0, "quarantined": 0, "attempts": 0}
    assert [row["id"] for row in rows_of(store, receipts)] == [id_of(3)]
    assert [row["receipt_id"] for row in rows_of(store, deliveries)] == [id_of(3)]
    assert [row["receipt_id"] for row in rows_of(store, attempts)] == [id_of(3)]
    assert audited(store)[0][0] == "purge"


def test_what_still_waits_for_a_destination_stays_however_old(store, acts):
    keep(store, *(arrival(number, at=NOW - 10, to=["table", "mail"]) for number in (1, 2, 3)))
    settle(store, result, destination="table")
    settle(store, dead, destination="mail", limit=1)
    outbox(store).claim("mail", limit=1, now=NOW)
    assert purge(acts, leads=NOW)["leads"] == 1
    assert set(states(store)) == {(number, name) for number in (2, 3) for name in ("table", "mail")}


def test_every_kind_has_its_own_moment(store, acts):
    old = NOW - 10
    keep(store, arrival(1, at=old, to=()), arrival(2, at=old, to=(), test=True), unreadable(3, at=old))
    assert purge(acts, tests=NOW) == {"leads": 0, "test_leads": 1, "quarantined": 0, "attempts": 0}
    assert purge(acts, bodies=NOW) == {"leads": 0, "test_leads": 0, "quarantined": 1, "attempts": 0}
    assert rows_of(store, quarantine) == []
    assert purge(acts, leads=NOW) == {"leads": 1, "test_leads": 0, "quarantined": 0, "attempts": 0}
    assert rows_of(store, receipts) == []


def test_attempts_and_duplicate_keys_go_by_their_own_time(store, acts):
    keep(store, *(arrival(number, at=NOW + number, duplicate_key=bytes([number]) * 16) for number in (1, 2)))
    for number in (1, 2):
        settle(store, result, now=NOW + number)
    assert purge(acts, tries=NOW + 2, keys=NOW + 2)["attempts"] == 1
    assert [row["at"] for row in rows_of(store, attempts)] == [NOW + 2]
    assert [row["seen_at"] for row in rows_of(store, duplicate_keys)] == [NOW + 2]
    assert len(rows_of(store, receipts)) == 2


def test_more_than_a_chunk_is_purged_to_the_end(store, acts):
    with store.write() as connection:
        row = {"received_at": 1, "source": "marketplace", "status": "duplicate", "test": False}
        connection.execute(receipts.insert(), [{"id": id_of(number), **row} for number in range(2 * CHUNK)])
    assert purge(acts, leads=NOW)["leads"] == 2 * CHUNK


# No lead is lost from the count


class Accounting(RuleBasedStateMachine):
    """Anything may happen to leads in any order; a plain count of what was put in must agree with the store."""

    open_store = None  # a context's way to a fresh store, set by the test

    def __init__(self):
        super().__init__()
        self.store, self.finish = type(self).open_store()
        self.box, self.acts, self.views = outbox(self.store), Acts(self.store), Views(self.store)
        self.door = inbox(self.store)
        self.now, self.number = NOW, 0
        self.status = {}  # by id, what the model says
        self.keys = {}
        self.claims = []

    def teardown(self):
        self.finish()

    def _next(self):
        self.number += 1
        self.now += 1
        return self.number

    @rule(key=st.sampled_from([None, b"a" * 16, b"b" * 16]), to=st.sampled_from([(), ("a",), ("a", "b")]))
    def lead_comes(self, key, to):
        number = self._next()
        receipt = self.door.put(arrival(number, at=self.now, to=to, duplicate_key=key))
        first, seen_at = self.keys.get(key, (id_of(number), self.now))
        if self.now - seen_at >= DAY:
            first, seen_at = id_of(number), self.now
        if key is not None:
            self.keys[key] = first, seen_at
        assert receipt.id == first
        self.status[id_of(number)] = "accepted" if first == id_of(number) else "duplicate"
        assert receipt.status == self.status[id_of(number)]

    @rule()
    def unreadable_body_comes(self):
        number = self._next()
        self.door.put(unreadable(number, at=self.now))
        self.status[id_of(number)] = "quarantined"

    @rule(destination=st.sampled_from("ab"), limit=st.integers(1, 3), later=st.sampled_from([0, MINUTE, DAY]))
    def worker_claims(self, destination, limit, later):
        self.now += later
        self.claims += [(destination, one) for one in self.box.claim(destination, limit=limit, now=self.now)]

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def worker_records(self, data):
        destination, claim = data.draw(st.sampled_from(self.claims))
        how = data.draw(st.sampled_from([result, dead, held, lambda one: failed(one, due=self.now + 5)]))
        self.box.record(destination, [how(claim)], now=self.now)

    @rule(destination=st.sampled_from("ab"))
    def probe_is_green(self, destination):
        self.now += 20 * MINUTE
        if self.box.take_probe(destination, now=self.now):
            self.box.record_probe(destination, code=None)

    @rule()
    def worker_starts_again(self):
        self.box.start(now=self.now)

    @rule(verb=st.sampled_from(["replay", "discard"]), chosen=st.sampled_from(ALL))
    def person_changes(self, verb, chosen):
        getattr(self.acts, verb)(self.acts.find(Selection(states=(chosen,))), now=self.now, who=SOMEONE)

    @precondition(lambda self: self.status)
    @rule(data=st.data(), verb=st.sampled_from(["release", "discard", "erase"]))
    def person_settles_one(self, data, verb):
        id_ = data.draw(st.sampled_from(sorted(self.status)))
        if verb == "erase":
            self.acts.erase([id_], now=self.now, who=SOMEONE)
            self.status[id_] = "erased"
            self.keys = {key: (first, at) for key, (first, at) in self.keys.items() if first != id_}
            return
        waits = self.status[id_] == "quarantined"
        if verb == "release":
            assert self.acts.release(id_, arrival(99, to=["a"]), now=self.now, who=SOMEONE) is waits
        else:
            assert self.acts.discard_quarantined([id_], now=self.now, who=SOMEONE) == waits
        if waits:
            self.status[id_] = "accepted" if verb == "release" else "discarded"

    @invariant()
    def every_lead_is_counted(self):
        assert {row["id"]: row["status"] for row in rows_of(self.store, receipts)} == self.status
        figures = self.views.figures(names=["a", "b"], now=self.now)
        counted = Counter()
        for row in figures.leads:
            counted[row.status] += row.number
        assert counted == Counter(self.status.values())
        assert sum(row.number for row in figures.deliveries) == len(rows_of(self.store, deliveries))
        assert {row.state for row in figures.deliveries} <= {*ALL, "held"}

    @invariant()
    def only_accepted_leads_are_waiting_and_each_has_its_lead(self):
        owed = sa.select(deliveries.c.receipt_id).where(deliveries.c.state.in_(["due", "sending"]))
        for row in rows_of(self.store, receipts, receipts.c.id.in_(owed)):
            assert row["status"] == Status.ACCEPTED
            assert row["lead"]

    @invariant()
    def what_is_quarantined_has_its_body_and_nothing_else_has(self):
        waiting = {id_ for id_, status in self.status.items() if status == "quarantined"}
        assert {row["id"] for row in rows_of(self.store, quarantine)} == waiting
        assert {one["id"] for one in self.views.leads(Filter(state="quarantined"))} == waiting


@pytest.fixture
def fresh_store(database, request):
    """A way to a fresh store and to what finishes with it, for a machine that needs many."""
    if database == "sqlite":
        template = request.getfixturevalue("sqlite_template")

        def make():
            folder = Path(tempfile.mkdtemp())
            shutil.copy(template, folder / "leadwire.db")
            store = open_store(f"sqlite:///{folder}/leadwire.db")
            return store, lambda: (store.close(), shutil.rmtree(folder))

        return make
    url = request.getfixturevalue("postgres_url")

    def make_empty():
        store = open_store(url)
        with store.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        return store, store.close

    return make_empty


def test_whatever_happens_every_lead_stays_in_the_count(database, fresh_store):
    machine = type("Accounting", (Accounting,), {"open_store": staticmethod(fresh_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12 if database == "sqlite" else 5,  # where each is slower
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )


@pytest.mark.parametrize(
    "other", ["someone@contoso.com", "one@contoso.com.au", "x+one@contoso.com", "one@contoso.common"]
)
def test_somebody_else_with_a_similar_address_is_not_found(store, acts, other):
    keep(store, lead_of(store, 1, Lead(email=other)), unreadable(2, body=other.encode()))
    assert acts.find_person("one@contoso.com", person_key(store, "one@contoso.com")) == []


@pytest.mark.parametrize(
    "text", ["one@contoso.com", "Ask ONE@contoso.com.", "<one@contoso.com>", "to:one@contoso.com,"]
)
def test_the_address_itself_is_found_wherever_it_stands(store, acts, text):
    keep(store, lead_of(store, 1, Lead(last_name="Two", description=text)))
    assert acts.find_person("one@contoso.com", person_key(store, "one@contoso.com")) == [id_of(1)]
