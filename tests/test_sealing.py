"""What is personal lies sealed in the store: under keys of its own, which only the master key opens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app.lead import Lead
from app.settings import ConfigError, Secret, new_key
from app.settings.model import Encryption
from app.store import engine, open_store
from app.store.acts import Acts
from app.store.arrival import person_key
from app.store.claims import SEAL_BROKEN
from app.store.keyring import PLAIN_HASH_KEY
from app.store.resealing import GROUP, SETTLED_MS, Resealer, renew
from app.store.sealing import SealBroken, wrapped_by
from app.store.sorting import Sorter
from app.store.tables import audit, deliveries, encryption_keys, inbox, meta, metadata, quarantine, receipts
from app.store.views import Views
from tests.parts.arrivals import (
    DAY,
    NOW,
    SOMEONE,
    arrival,
    id_of,
    keep,
    lead_of,
    outbox,
    result,
    rows,
    settle,
    together,
    unreadable,
)
from tests.parts.arrivals import inbox as door_of

CANARY = "Zaphkiel"
LEAD = Lead(
    first_name=CANARY, last_name=CANARY, email=f"{CANARY}@contoso.com", phone=f"+1 {CANARY}", company=f"{CANARY} AG",
    title=CANARY, description=f"Call {CANARY}", campaign={"utm": CANARY}, extra={CANARY: CANARY}, offer_title="Contoso",
)  # fmt: skip
BODY = f'{{"FirstName": "{CANARY}", "Email": "{CANARY}@contoso.com"'.encode()


def secret(reference="env:LEADWIRE_MASTER_KEY"):
    """A master key as the settings give it."""
    return Secret(new_key(), reference=reference)


def by(key, previous=None):
    return Encryption(key=key, previous=previous)


@pytest.fixture
def open_under(store_url):
    """Open the test's store under master keys; all are closed at its end."""
    stores = []

    def open_one(key=None, previous=None):
        stores.append(open_store(store_url, encryption=by(key, previous)))
        return stores[-1]

    yield open_one
    for one in stores:
        one.close()


def raw(store, table):
    """The rows as they lie there."""
    with store.read() as connection:
        return connection.execute(sa.select(table).order_by(*table.primary_key.columns)).all()


def reseal(store, *, now):
    """Do all that waits; gives how many rows were written."""
    resealer, written = Resealer(store), 0
    while resealer.waits(now=now) == 0:
        written = resealer.step().rows
    return written


# Sealed, and read again


def test_a_lead_and_a_body_are_read_again_by_every_connection(store, store_url, opened):
    keep(store, arrival(1, lead=LEAD), unreadable(2, body=BODY))
    other = opened(store_url)
    assert Views(other).show(id_of(1))["lead"] == LEAD.as_dict()
    assert Views(other).body(id_of(2)) == ("marketplace", "application/json", BODY)
    assert outbox(other).claim("table", limit=9, now=NOW)[0].lead == LEAD


def test_the_same_lead_twice_looks_like_two(store):
    keep(store, arrival(1, lead=LEAD), arrival(2, lead=LEAD))
    first, second = raw(store, receipts)
    assert first.sealed[12:] != second.sealed[12:]
    assert first.data_key != second.data_key


def test_what_waits_to_be_sorted_in_is_sealed_already(store):
    door = door_of(store)
    door.keep([door.letter(arrival(1, lead=LEAD)), door.letter(unreadable(2, body=BODY))])
    assert not any(CANARY.encode() in bytes(row.arrival) for row in raw(store, inbox))
    Sorter(store).finish()
    assert Views(store).show(id_of(1))["lead"] == LEAD.as_dict()


def test_no_file_of_a_sqlite_store_has_a_person_in_it(sqlite_url, tmp_path, opened):
    store = opened(sqlite_url)
    door = door_of(store)
    keep(store, lead_of(store, 1, LEAD), unreadable(2, body=BODY))
    settle(store, result)
    door.keep([door.letter(arrival(3, lead=LEAD))])
    Acts(store).repair(id_of(2), unreadable(2, body=BODY + b"}").quarantined, now=NOW, who=SOMEONE)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert {"leadwire.db", "leadwire.db-wal", "leadwire.db-shm"} <= files.keys()
    for name, content in files.items():
        assert CANARY.casefold().encode() not in content.lower(), name
    assert b"marketplace" in files["leadwire.db-wal"], "what isn't personal shows that the right files were read"


def test_a_dump_of_postgresql_has_no_person_in_it(postgres_url, opened):
    dump = shutil.which("pg_dump") or next(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"), None)
    assert dump, "PostgreSQL is here, so its tools are"
    store = opened(postgres_url)
    keep(store, lead_of(store, 1, LEAD), unreadable(2, body=BODY))
    found = subprocess.run([dump, postgres_url], capture_output=True, check=True).stdout
    # A dump writes bytes as hexadecimal digits.
    for form in (CANARY.encode(), CANARY.encode().hex().encode()):
        assert form.lower() not in found.lower()
    assert b"marketplace" in found


def test_a_hash_can_not_be_made_again_from_what_the_store_holds(store):
    keep(store, lead_of(store, 1, LEAD))
    everything = b"".join(bytes(row.value) for row in raw(store, meta))
    everything += b"".join(bytes(row.wrapped) for row in raw(store, encryption_keys))
    assert store.salt() not in everything
    assert raw(store, receipts)[0].person == person_key(store, f" {CANARY.upper()}@Contoso.com")


# Only in its own place, and only as it was


@pytest.mark.parametrize("column", ["sealed", "data_key"])
@pytest.mark.parametrize("at", [0, 5, 20, -1])
def test_what_was_changed_by_a_bit_is_refused(store, column, at):
    keep(store, arrival(1, lead=LEAD))
    value = bytearray(getattr(raw(store, receipts)[0], column))
    value[at] ^= 1
    with store.write() as connection:
        connection.execute(receipts.update().values({column: bytes(value)}))
    # In the first four bytes of a wrapped key stands whose it is: of a key that there isn't.
    with pytest.raises(engine.StoreUnavailable if (column, at) == ("data_key", 0) else SealBroken):
        Views(store).show(id_of(1))


def test_a_seal_in_another_lead_s_place_is_refused_and_the_neighbour_is_delivered(store):
    keep(store, arrival(1, lead=LEAD), arrival(2))
    stolen = raw(store, receipts)[0]
    with store.write() as connection:
        moved = {"sealed": stolen.sealed, "data_key": stolen.data_key}
        connection.execute(receipts.update().where(receipts.c.id == id_of(2)).values(**moved))
    with pytest.raises(SealBroken, match=id_of(2)) as caught:
        Views(store).show(id_of(2))
    assert CANARY not in str(caught.value)
    assert [claim.receipt_id for claim in outbox(store).claim("table", limit=9, now=NOW)] == [id_of(1)]
    found = {row["receipt_id"]: (row["state"], row["code"]) for row in rows(store, deliveries)}
    assert found == {id_of(1): ("sending", None), id_of(2): ("dead", SEAL_BROKEN)}


def test_a_lead_is_no_body(store):
    keep(store, arrival(1, lead=LEAD), unreadable(1, body=BODY), unreadable(2, body=BODY))
    lead = raw(store, receipts)[0]
    with store.write() as connection:
        connection.execute(receipts.update().where(receipts.c.id == id_of(1)).values(status="quarantined"))
        row = {"content_type": "", "length": 1, "error": "{}", "sealed": lead.sealed, "data_key": lead.data_key}
        connection.execute(quarantine.insert().values(id=id_of(1), **row))
    with pytest.raises(SealBroken):
        Views(store).body(id_of(1))


def test_a_broken_seal_keeps_nobody_from_being_forgotten(store):
    keep(store, lead_of(store, 1, LEAD), arrival(2, lead=Lead(description=f"For {CANARY}@contoso.com")), arrival(3))
    with store.write() as connection:
        connection.execute(receipts.update().where(receipts.c.id == id_of(3)).values(sealed=b"x" * 40))
    address = f"{CANARY}@contoso.com"
    assert Acts(store).find_person(address, person_key(store, address)) == [id_of(1), id_of(2)]


def test_erasing_shreds_the_key_with_the_lead(store):
    keep(store, lead_of(store, 1, LEAD), unreadable(2, body=BODY))
    Acts(store).erase([id_of(1), id_of(2)], now=NOW, who=SOMEONE)
    assert [(row.sealed, row.data_key, row.unsealed) for row in raw(store, receipts)] == [(None, None, None)] * 2
    assert not raw(store, quarantine)


# The master key


def test_a_sqlite_store_makes_its_own_key_file_that_only_its_owner_reads(sqlite_url, tmp_path, opened):
    keep(opened(sqlite_url), arrival(1))
    made = tmp_path / "leadwire.db.key"
    assert made.stat().st_mode & 0o777 == 0o600
    assert len(made.read_text().strip()) == 43
    assert sorted(path.name for path in tmp_path.glob("*.key*")) == ["leadwire.db.key"]


@pytest.mark.parametrize("content", [None, "", "not a key", new_key()], ids=["gone", "empty", "nonsense", "another"])
def test_without_the_right_key_file_the_store_says_what_is_lost_and_changes_nothing(
    sqlite_url, tmp_path, opened, content
):
    keep(opened(sqlite_url), arrival(1, lead=LEAD))
    file = tmp_path / "leadwire.db.key"
    kept, before = file.read_text(), raw(opened(sqlite_url), encryption_keys)
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        opened(sqlite_url).keyring.unlock()
    assert str(file) in str(caught.value)
    if content is None or len(content) != 43:
        assert "backup" in str(caught.value)
    assert file.exists() is (content is not None)
    assert raw(opened(sqlite_url), encryption_keys) == before
    file.write_text(kept)
    assert Views(opened(sqlite_url)).show(id_of(1))["lead"] == LEAD.as_dict()


def test_another_master_key_is_refused_and_nothing_is_changed(open_under):
    key, other = secret(), secret("file:/etc/other.key")
    keep(open_under(key), arrival(1, lead=LEAD))
    before = raw(open_under(), encryption_keys)
    for wrong in (other, None):
        store = open_under(wrong)
        with pytest.raises(ConfigError) as caught:
            store.keyring.unlock()
        if wrong is not None or store.engine.dialect.name != "sqlite":
            assert key.reference in str(caught.value)
            assert key.reveal() not in str(caught.value)
        with pytest.raises(ConfigError):
            keep(store, arrival(2))
    assert raw(open_under(), encryption_keys) == before
    assert len(raw(open_under(), receipts)) == 1
    assert Views(open_under(key)).show(id_of(1))["lead"] == LEAD.as_dict()


def test_without_a_master_key_postgresql_says_so_and_goes_on(postgres_url, opened, capsys):
    store = opened(postgres_url)
    keep(store, arrival(1, lead=LEAD))
    assert "encryption.no-master-key" in capsys.readouterr().out
    assert [row.reference for row in raw(store, encryption_keys)] == [""]


def _unlock_one(stores):
    return stores.pop().keyring.unlock()


def test_stores_that_start_together_have_one_key(open_under, database):
    key = secret() if database == "postgresql" else None
    stores = [open_under(key) for _ in range(8)]
    given = together(8, _unlock_one, stores)
    assert len({held.hash_key for held in given}) == 1
    assert len(raw(open_under(key), encryption_keys)) == 1


# Keys are renewed while everything runs


def test_a_renewed_key_takes_everything_over(open_under):
    store = open_under(secret())
    keep(store, lead_of(store, 1, LEAD), unreadable(2, body=BODY))
    salt, before = store.salt(), raw(store, receipts)[0]
    assert renew(store, now=NOW, who=SOMEONE) == 2
    assert reseal(store, now=NOW) == 0, "others may not have heard of it yet"
    assert reseal(store, now=NOW + SETTLED_MS) == 2
    after = raw(store, receipts)[0]
    assert (wrapped_by(before.data_key), wrapped_by(after.data_key)) == (1, 2)
    assert before.sealed == after.sealed, "only the wrapped key is written anew"
    assert Views(store).show(id_of(1))["lead"] == LEAD.as_dict()
    assert Views(store).body(id_of(2))[2] == BODY
    assert store.salt() == salt
    assert [(row["action"], row["target"]) for row in rows(store, audit)] == [("rotate-keys", "key 2")]


def test_the_master_key_is_replaced_without_anybody_noticing(open_under):
    old, new = secret("env:OLD"), secret("env:NEW")
    running = open_under(old)
    keep(running, arrival(1, lead=LEAD))
    renew(open_under(new, old), now=NOW, who=SOMEONE)
    running.keyring.look()  # with the old configuration, and the old master key only
    keep(running, arrival(2, lead=LEAD))
    assert wrapped_by(raw(running, receipts)[1].data_key) == 2
    reseal(running, now=NOW + SETTLED_MS)
    last = open_under(new)
    renew(last, now=NOW + DAY, who=SOMEONE)
    reseal(last, now=NOW + 2 * DAY)
    assert [Views(open_under(new)).show(id_of(number))["lead"] for number in (1, 2)] == [LEAD.as_dict()] * 2
    with pytest.raises(ConfigError, match="env:NEW"):
        open_under(old).keyring.unlock()
    # Who runs on with the old one loses nothing: what it seals can be read by all, and what it can't read waits.
    running.keyring.look()
    keep(running, arrival(3, lead=LEAD))
    assert Views(open_under(new)).show(id_of(3))["lead"] == LEAD.as_dict()
    with pytest.raises(engine.StoreUnavailable):
        Views(running).show(id_of(1))


def test_a_key_that_lay_in_the_store_is_replaced_when_there_is_a_master_key(postgres_url, opened):
    keep(opened(postgres_url), arrival(1, lead=LEAD))
    key = secret()
    store = open_store(postgres_url, encryption=by(key))
    assert Views(store).show(id_of(1))["lead"] == LEAD.as_dict()
    renew(store, now=NOW, who=SOMEONE)
    reseal(store, now=NOW + DAY)
    assert {row.reference for row in raw(store, encryption_keys)} == {key.reference}
    assert Views(store).show(id_of(1))["lead"] == LEAD.as_dict()
    store.close()
    with pytest.raises(ConfigError, match="none"):
        opened(postgres_url).keyring.unlock()


class Load:
    """Senders and a worker in threads, each with a store of its own; `faults` is whatever they raised."""

    def __init__(self, open_one):
        self._open = open_one
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.sent, self.delivered, self.faults = 0, [], []
        self._threads = [
            threading.Thread(target=self._guarded, args=(role,)) for role in (*[self._send] * 4, self._work)
        ]
        for thread in self._threads:
            thread.start()

    def _guarded(self, role):
        try:
            role(self._open())
        except Exception as exc:  # noqa: BLE001  (whatever it is, the test must fail)
            self.faults.append(exc)

    def _send(self, store):
        store.keyring.look_again = 0.02
        while not self._stopping.is_set():
            with self._lock:
                self.sent += 1
                number = self.sent
            keep(store, arrival(number, lead=Lead(last_name=f"{CANARY} {number}")))

    def _work(self, store):
        box = outbox(store)
        while not self._stopping.wait(0.01):
            self._deliver(box)

    def _deliver(self, box):
        claims = box.claim("table", limit=5000, now=NOW)
        box.record("table", [result(claim) for claim in claims], now=NOW)
        self.delivered += [claim.lead.last_name for claim in claims]

    def end(self):
        """Let everything that is under way end, and deliver the rest."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._deliver(outbox(self._open()))


def test_keys_are_renewed_under_load_and_nothing_is_lost(store_url, opened):
    rotating = opened(store_url)
    rotating.keyring.unlock()
    load = Load(lambda: opened(store_url))
    for moment in range(3):
        renew(rotating, now=NOW + moment, who=SOMEONE)
        time.sleep(0.3)  # the senders look for it meanwhile
        reseal(rotating, now=NOW + moment + SETTLED_MS)
    load.end()
    assert not load.faults
    assert load.sent > 20
    names = sorted(f"{CANARY} {number}" for number in range(1, load.sent + 1))
    assert sorted(load.delivered) == names
    assert sorted(json.loads(row["lead"])["last_name"] for row in rows(rotating, receipts)) == names
    assert {wrapped_by(row.data_key) for row in raw(rotating, receipts)} == {4}


def test_who_sealed_nothing_for_a_while_looks_for_a_newer_key_first(store, store_url, opened):
    keep(store, arrival(1))
    renew(opened(store_url), now=NOW, who=SOMEONE)
    store.keyring.look_again = 0
    store.keyring._look_at = 0  # as if it were long ago
    keep(store, arrival(2))
    assert [wrapped_by(row.data_key) for row in raw(store, receipts)] == [1, 2]


def test_resealing_goes_on_where_it_was_cut_off(store, store_url, opened):
    keep(store, *(arrival(number) for number in range(1, GROUP + 31)))
    renew(store, now=NOW, who=SOMEONE)
    assert Resealer(store).step().rows == GROUP
    assert [wrapped_by(row.data_key) for row in raw(store, receipts)] == [2] * GROUP + [1] * 30
    other = opened(store_url)
    assert reseal(other, now=NOW + SETTLED_MS) == GROUP + 30
    assert {wrapped_by(row.data_key) for row in raw(store, receipts)} == {2}
    assert Resealer(store).waits(now=NOW + DAY) is None


def test_what_was_erased_while_it_was_resealed_stays_erased(store):
    keep(store, lead_of(store, 1, LEAD), arrival(2))
    renew(store, now=NOW, who=SOMEONE)
    Acts(store).erase([id_of(1)], now=NOW, who=SOMEONE)
    assert reseal(store, now=NOW + SETTLED_MS) == 1
    assert raw(store, receipts)[0].data_key is None


# What an earlier version left in the clear


@pytest.fixture
def old_store(empty_url, opened):
    """A store as the version before sealing left it: leads, a body and the hash key in the clear."""
    store = opened(empty_url)
    config = Config()
    config.set_main_option("script_location", str(Path(engine.__file__).parent / "migrations"))
    store.path.parent.mkdir(parents=True, exist_ok=True) if hasattr(store, "path") else None
    with store.write() as connection:
        config.attributes.update(connection=connection, metadata=metadata)
        command.upgrade(config, "0003")
        for number in range(1, 251):
            row = {"id": id_of(number), "at": NOW, "status": "accepted", "lead": msgspec.json.encode(LEAD).decode()}
            connection.execute(
                sa.text(
                    "INSERT INTO receipts (id, received_at, source, status, test, lead)"
                    " VALUES (:id, :at, 'marketplace', :status, false, :lead)"
                ),
                row if number > 1 else row | {"status": "quarantined", "lead": None},
            )
        text = sa.text(
            "INSERT INTO quarantine (id, content_type, body, length, error) VALUES (:id, '', :body, 1, '{}')"
        )
        connection.execute(text, {"id": id_of(1), "body": BODY})
        salt = {"name": PLAIN_HASH_KEY, "value": b"s" * 32}
        connection.execute(sa.text("INSERT INTO meta (name, value) VALUES (:name, :value)"), salt)
        waiting = {"id": id_of(300), "received_at": NOW, "source": "s", "status": "accepted", "lead": LEAD}
        letter = {"id": id_of(300), "arrival": msgspec.msgpack.encode(waiting)}
        connection.execute(sa.text("INSERT INTO inbox (id, arrival) VALUES (:id, :arrival)"), letter)
    store.migrate()
    return store


def test_what_lay_in_the_clear_is_read_at_once_and_sealed_by_and_by(old_store):
    store = old_store
    assert Views(store).show(id_of(2))["lead"] == LEAD.as_dict()
    assert Views(store).body(id_of(1))[2] == BODY
    Sorter(store).finish()
    assert raw(store, receipts)[-1].unsealed is None
    assert Acts(store).find_person(LEAD.email, person_key(store, LEAD.email))[0] == id_of(1)
    assert reseal(store, now=NOW) == 250
    assert [row.unsealed for row in (*raw(store, receipts), *raw(store, quarantine))] == [None] * 252
    shown = [Views(store).show(id_of(number))["lead"] for number in (2, 250, 300)]
    assert shown == [LEAD.as_dict()] * 3
    assert Views(store).body(id_of(1))[2] == BODY
    assert Resealer(store).waits(now=NOW) is None


def test_the_key_of_the_hashes_is_taken_over_and_no_longer_in_the_clear(old_store):
    assert old_store.salt() == b"s" * 32
    assert PLAIN_HASH_KEY not in {row.name for row in raw(old_store, meta)}
    assert not any(b"s" * 32 in bytes(row.value) for row in raw(old_store, meta))


def test_nothing_in_the_clear_is_left_in_the_files_of_sqlite(old_store, database):
    if database != "sqlite":
        return  # PostgreSQL keeps dead rows until its vacuum; the README says so
    Sorter(old_store).finish()
    reseal(old_store, now=NOW)
    for path in old_store.path.parent.iterdir():
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
            assert b"s" * 32 not in path.read_bytes(), path


def test_no_random_byte_is_given_twice_not_even_to_a_forked_process():
    from app.store.sealing import _random

    _random(16)  # from here on there are some left
    given, taken = os.pipe()
    child = os.fork()
    if not child:
        os.write(taken, b"".join(_random(68) for _ in range(100)))
        os._exit(0)
    ours = {_random(68) for _ in range(100)}
    os.close(taken)
    theirs = b""
    while piece := os.read(given, 65536):
        theirs += piece
    os.close(given)
    os.waitpid(child, 0)
    assert len(ours) == 100
    assert not ours & {theirs[start : start + 68] for start in range(0, len(theirs), 68)}
