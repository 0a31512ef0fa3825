"""When each key was last used: noted beside the requests, shown by fingerprint, never holding an answer up."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import requests

from app.settings import Source
from app.settings.secret import Secret
from app.store.key_uses import KeyUses
from app.store.tables import to_ms
from app.web.keys import Key, Keys, UseNotes
from tests.parts.server import KEY, until

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
A, B, C = "key-a", "key-b", "key-c"


def fingerprint(key):
    return sha256(key.encode()).hexdigest()[:12]


class Desk:
    """Keys, a store, a clock that stands until it is moved, and what notes uses."""

    def __init__(self, store):
        self.at = START
        first = Source(keys=(Secret(A), Secret(B)), destinations=())
        self.keys = Keys({"marketplace": first, "other": Source(keys=(Secret(C),), destinations=())})
        self.kept = KeyUses(store)
        self.notes = UseNotes(self.kept, now=lambda: self.at)

    def use(self, key, **later):
        self.at = START + timedelta(**later)
        self.notes.used(self.keys.find(key))

    def seconds(self, key):
        """When a key's last use was, in seconds from the start."""
        noted = self.kept.all().get(fingerprint(key))
        return None if noted is None else (noted - to_ms(START)) / 1000

    def comes(self, key, seconds):
        return until(lambda: self.seconds(key) == seconds, seconds=20)


@pytest.fixture
def desk(store):
    return Desk(store)


# --- the store


def test_the_last_use_of_each_key_is_kept_by_fingerprint(store):
    kept = KeyUses(store)
    assert kept.all() == {}
    kept.note("aaaaaaaaaaaa", source="marketplace", now=1000)
    kept.note("bbbbbbbbbbbb", source="other", now=2000)
    kept.note("aaaaaaaaaaaa", source="marketplace", now=3000)
    assert kept.all() == {"aaaaaaaaaaaa": 3000, "bbbbbbbbbbbb": 2000}


# --- which key


def test_a_key_is_found_with_its_source_and_the_beginning_of_its_hash(desk):
    found = desk.keys.find(B)
    assert (found.source, found.fingerprint) == ("marketplace", fingerprint(B))
    assert desk.keys.find(C).source == "other"


@pytest.mark.parametrize("given", ["", "key-d", "KEY-A", "key-a "])
def test_any_other_text_is_no_key(desk, given):
    assert desk.keys.find(given) is None


# --- noting


def test_the_first_use_of_each_key_is_noted_at_once(desk):
    desk.use(A)
    desk.use(B, seconds=1)
    desk.use(C, seconds=2)
    assert desk.comes(C, 2)  # what was asked for before it, is written before it
    assert (desk.seconds(A), desk.seconds(B)) == (0, 1)


def test_a_key_in_steady_use_is_noted_once_a_minute(desk):
    desk.use(A)
    desk.use(A, seconds=59.999)
    desk.use(C, seconds=59.999)
    assert desk.comes(C, 59.999)
    assert desk.seconds(A) == 0
    desk.use(A, seconds=60)
    assert desk.comes(A, 60)


def test_a_clock_that_was_ahead_does_not_silence_a_key(desk):
    desk.use(A, days=400)
    desk.use(A, seconds=5)
    assert desk.comes(A, 5)


def test_a_store_that_is_held_holds_no_request_up(sqlite_url, opened):
    desk = Desk(opened(sqlite_url))
    with opened(sqlite_url).write():
        for key in (A, B, C):
            desk.use(key)  # would hang here for good
        assert desk.kept.all() == {}
    assert desk.comes(C, 0)


def test_a_use_that_the_store_could_not_take_is_logged_and_the_next_one_is_noted(sqlite_url, opened, tmp_path, capfd):
    desk = Desk(opened(sqlite_url))
    desk.use(C)
    assert desk.comes(C, 0)
    (tmp_path / "leadwire.db").rename(tmp_path / "away")
    desk.use(A)
    assert until(lambda: "store.unavailable" in "".join(capfd.readouterr()), seconds=20)
    (tmp_path / "away").rename(tmp_path / "leadwire.db")
    desk.use(A, minutes=1)
    assert desk.comes(A, 60)


def test_a_use_that_cannot_be_written_at_all_stops_nothing(desk, capfd):
    desk.notes.used(Key(None, sha256(b"key-d").digest()))
    desk.use(A)
    assert desk.comes(A, 0)
    logged = "".join(capfd.readouterr())
    assert "key_use.lost" in logged
    assert "key-d" not in logged


# --- a running server


def test_a_server_notes_right_keys_by_any_method_and_no_wrong_ones(server_on, opened, store_url):
    server_on.start()
    kept = KeyUses(opened(store_url))
    assert requests.get(f"{server_on.url}/leads?code=wrong", timeout=5).status_code == 401
    assert kept.all() == {}
    assert requests.get(f"{server_on.url}/leads?code={KEY}", timeout=5).status_code == 200
    assert until(lambda: list(kept.all()) == [fingerprint(KEY)], seconds=20)


def test_a_server_notes_the_key_of_a_lead(server_on, opened, store_url):
    server_on.start()
    kept = KeyUses(opened(store_url))
    assert server_on.post({"UserDetails": {"FirstName": "Some"}}).status_code == 202
    assert until(lambda: list(kept.all()) == [fingerprint(KEY)], seconds=20)
