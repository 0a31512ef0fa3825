"""How much may come from whom: wrong keys, leads with one key, networks, addresses behind proxies."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
import requests

from app.alerts.troubles import RETIRED_KEY, Troubles
from app.settings import ConfigError, Source, load_settings
from app.settings.secret import Secret
from app.store.acts import Who
from app.store.key_uses import KeyUses
from app.store.tables import to_ms
from app.web.keys import Keys, UseNotes
from app.web.limits import LARGEST, MINUTE, Limit, Strangers, caller, within
from tests.parts.alerting import alert_settings
from tests.parts.server import KEY, until
from tests.test_receive import LEAD, Site, kept


class Clock:
    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


# --- the limit itself


def test_so_many_are_taken_at_once_and_then_one_whenever_a_share_of_the_minute_is_over(clock):
    limit = Limit(6, clock=clock)
    assert [limit.take("a") for _ in range(6)] == [0.0] * 6
    assert limit.take("a") == pytest.approx(10)
    clock.at += 9.9
    assert limit.take("a") == pytest.approx(0.1)
    clock.at += 0.1
    assert limit.take("a") == 0.0
    assert limit.take("a") == pytest.approx(10)


def test_what_is_refused_does_not_count(clock):
    limit = Limit(1, clock=clock)
    assert limit.take("a") == 0.0
    assert [limit.take("a") for _ in range(100)] == [pytest.approx(MINUTE)] * 100
    clock.at += MINUTE
    assert limit.take("a") == 0.0


def test_names_count_by_themselves(clock):
    limit = Limit(1, clock=clock)
    assert [limit.take(name) for name in "abc"] == [0.0] * 3


def test_a_limit_of_0_is_none(clock):
    limit = Limit(0, clock=clock)
    assert {limit.take("a") for _ in range(100_000)} == {0.0}


def test_of_many_names_those_longest_unseen_are_forgotten(clock):
    limit = Limit(1, clock=clock)
    for number in range(LARGEST + 1):
        limit.take(number)
    assert limit.take(LARGEST) > 0
    assert limit.take(0) == 0.0


# --- who calls


def scope(peer="192.0.2.1", *forwarded):
    return {"client": (peer, 5000), "headers": [(b"x-forwarded-for", one.encode()) for one in forwarded]}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, ("203.0.113.9",), "192.0.2.1"),
        (1, (), "192.0.2.1"),
        (1, ("203.0.113.9",), "203.0.113.9"),
        (1, ("10.0.0.1, 203.0.113.9",), "203.0.113.9"),
        (1, ("10.0.0.1", "203.0.113.9"), "203.0.113.9"),
        (2, ("10.0.0.1, 203.0.113.9, 192.0.2.7",), "203.0.113.9"),
        (2, ("203.0.113.9",), "192.0.2.1"),
    ],
)
def test_a_forwarded_address_is_believed_of_trusted_proxies_only(proxies, forwarded, found):
    assert caller(scope("192.0.2.1", *forwarded), proxies) == found


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("203.0.113.9", True),
        ("::ffff:203.0.113.9", True),
        ("203.0.114.1", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_an_address_is_inside_a_network_or_not(address, inside):
    assert within(address, (ip_network("203.0.113.0/24"), ip_network("2001:db8::/32"))) is inside


def test_of_ipv6_a_whole_household_is_one(clock):
    strangers = Strangers(1, clock=clock)
    assert [strangers.answer(one).status for one in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [
        401,
        429,
        401,
    ]


# --- at the address for leads


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_A", "key-a")
    monkeypatch.setenv("KEY_B", "key-b")
    made = []

    def make(more):
        made.append(Site(tmp_path, f"sqlite:///{tmp_path}/leadwire.db", more))
        return made[-1]

    yield make
    for one in made:
        one.store.close()
        one.app.extensions["leadwire"].store.close()


def test_more_wrong_keys_than_allowed_get_429_with_when_to_come_again_and_a_right_one_never(site):
    made = site("[limits]\nwrong_keys_a_minute = 3")
    answers = [made.post(key=f"wrong-{number}") for number in range(5)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[-1].content_type == "application/problem+json"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 20
    assert made.post().status_code == 202


def test_another_address_is_not_refused_for_it(site):
    made = site("[server]\ntrusted_proxies = 1\n[limits]\nwrong_keys_a_minute = 1")
    by = [{"X-Forwarded-For": address} for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2")]
    assert [made.post(key="wrong", headers=one).status_code for one in by] == [401, 429, 401]


def test_leads_are_not_limited_unless_somebody_says_so(site):
    made = site("")
    assert {made.post().status_code for _ in range(200)} == {202}


def test_with_a_limit_a_key_gets_so_many_leads_a_minute_and_another_key_has_its_own(site):
    made = site("[limits]\nleads_a_minute = 2")
    answers = [made.post({**LEAD, "OfferTitle": str(number)}) for number in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert made.client().get("/leads?code=key-a").status_code == 200, "asking whether it is ready is no lead"
    assert made.post(key="key-b").status_code == 202
    assert kept(made) == ["accepted"] * 3


def test_a_right_key_from_another_network_gets_403_and_nothing_is_kept(site, tmp_path):
    made = site("[server]\ntrusted_proxies = 1\n")
    config = tmp_path / "leadwire.toml"
    config.write_text(config.read_text().replace('"env:KEY_B"]', '"env:KEY_B"]\nnetworks = ["203.0.113.0/24"]'))
    from app import create_app

    made.app.extensions["leadwire"].store.close()
    made.app = create_app(load_settings(config))
    from_, elsewhere = ({"X-Forwarded-For": address} for address in ("203.0.113.5", "198.51.100.5"))
    assert made.post(headers=elsewhere).status_code == 403
    assert kept(made) == []
    assert made.post(headers=from_).status_code == 202
    assert made.post(key="wrong", headers=from_).status_code == 401


@pytest.mark.parametrize("wrong", ['"everywhere"', '["203.0.113.5/24"]', '["203.0.113.0/33"]'])
def test_a_network_that_is_none_is_refused_with_what_is_allowed(tmp_path, monkeypatch, wrong):
    monkeypatch.setenv("KEY", "a-key")
    path = tmp_path / "leadwire.toml"
    path.write_text(f'[console]\nenabled = false\n[sources.marketplace]\nkeys = ["env:KEY"]\nnetworks = {wrong}\n')
    with pytest.raises(ConfigError, match=r"\[sources.marketplace\] networks.*a list of networks or addresses"):
        load_settings(path)


# --- retired keys

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Desk:
    """What a receiver notes of keys, before and after one of two was taken out of the settings."""

    def __init__(self, store):
        self.uses, self.at = KeyUses(store), START
        self.store = store
        self.notes = UseNotes(self.uses, now=lambda: self.at)
        self.both = Keys({"marketplace": Source(keys=(Secret("old"), Secret("new")), destinations=())})

    def troubles(self, **later):
        found = Troubles(self.store, alert_settings(quiet_days=0), {}).now(
            to_ms(START + timedelta(**later)), beside_worker=True
        )
        return [one for one in found if one.code == RETIRED_KEY]

    def use(self, key):
        known = self.both.find(key)
        self.notes.used(known)
        assert until(lambda: known.fingerprint in self.uses.all(), seconds=20)
        self.notes = UseNotes(self.uses, now=lambda: self.at)  # the process starts anew

    def seen(self):
        return until(lambda: self.uses.retired(since=0), seconds=20)


def test_a_key_that_was_live_once_and_is_tried_again_is_trouble_for_a_day(store):
    desk = Desk(store)
    desk.use("old")
    desk.notes.tried("old")
    assert desk.seen()
    (trouble,) = desk.troubles(hours=1)
    assert trouble.at_once
    assert trouble.since == to_ms(START)
    assert desk.both.find("old").fingerprint in trouble.evidence
    assert "marketplace" in trouble.evidence
    assert "old" not in trouble.evidence.split()
    assert desk.troubles(hours=24, minutes=1) == []


def test_a_retired_key_is_noticed_among_many_that_are_merely_wrong(store):
    desk = Desk(store)
    desk.use("old")
    for number in range(1000):
        desk.notes.tried(f"wrong-{number}")
    assert until(lambda: desk.notes._earlier is not None, seconds=20)
    desk.notes.tried("old")
    assert desk.seen()
    assert [use.source for use in desk.uses.retired(since=0)] == ["marketplace"]


def test_keys_that_were_never_live_are_no_trouble_and_nothing_of_them_is_kept(store):
    desk = Desk(store)
    desk.use("old")
    desk.notes.tried("wrong")
    assert until(lambda: desk.notes._earlier is not None, seconds=20)
    desk.notes.tried("wrong")
    desk.notes.tried("")
    assert desk.troubles() == []
    assert len(desk.uses.all()) == 1


def test_a_key_that_is_put_back_is_no_trouble_any_more(store):
    desk = Desk(store)
    desk.use("old")
    desk.notes.tried("old")
    assert desk.seen()
    desk.at = START + timedelta(minutes=2)
    desk.notes.used(desk.both.find("old"))
    assert until(lambda: desk.uses.retired(since=0) == [], seconds=20)


def test_a_lead_posted_with_a_retired_key_is_refused_and_told_as_a_problem(server):
    server.environment["OTHER_KEY"] = "another-key"
    server.config.write_text(
        server.config.read_text().replace('["env:LEADWIRE_TEST_KEY"]', '["env:LEADWIRE_TEST_KEY", "env:OTHER_KEY"]')
    )
    server.start()
    assert server.post(LEAD).status_code == 202
    assert until(lambda: "used_at" in str(server.json("addresses")) and _last_use(server), seconds=20)
    server.stop()
    server.config.write_text(server.config.read_text().replace('"env:LEADWIRE_TEST_KEY", ', ""))
    server.start()
    assert server.post(LEAD).status_code == 401
    assert until(lambda: RETIRED_KEY in [one["code"] for one in server.json("problems")], seconds=30)
    assert KEY not in server.log.read_text()


def _last_use(server):
    return any(key["last_used_at"] for source in server.json("addresses") for key in source["keys"])


# --- tokens of the API


def test_more_wrong_tokens_than_allowed_get_429_and_a_right_one_never(site):
    made = site("[limits]\nwrong_keys_a_minute = 2")
    wiring = made.app.extensions["leadwire"]
    _, token = wiring.access.new_token("script", "reader", who=Who("cli:someone"))

    def ask(text):
        return made.client().get("/api/v1/leads", headers={"Authorization": f"Bearer {text}"})

    answers = [ask("lw_wrong") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert answers[-1].content_type == "application/problem+json"
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert ask(token).status_code == 200


# --- everything else


def test_more_requests_than_allowed_get_429_and_leads_are_taken_all_the_same(server):
    with server.config.open("a") as config:
        config.write("[limits]\nrequests_a_minute = 6\n")
    server.start("--no-worker")  # which asks for /healthz
    asked = [requests.get(f"{server.url}/console/sign-in", timeout=10) for _ in range(20)]  # two receivers
    assert {answer.status_code for answer in asked} == {200, 429}
    assert asked[-1].headers["Content-Type"] == "application/problem+json"
    assert 0 < int(asked[-1].headers["Retry-After"]) <= 10
    assert {server.post({**LEAD, "OfferTitle": str(number)}).status_code for number in range(20)} == {202}
