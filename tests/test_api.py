"""`/api/v1`: every endpoint over a real store, for both roles, and what it answers when something is wrong."""

import dataclasses
import json
import re
import time

import pytest
import sqlalchemy as sa

from app import create_app
from app.access import Access
from app.settings import load_settings
from app.store import open_store
from app.store.acts import Who
from app.store.desk import problems
from app.store.problems import Evidence, ProblemLog
from app.store.tables import audit, deliveries
from app.wiring import utc_now
from tests.parts.arrivals import dead, failed, held, rows, settle
from tests.parts.server import until

KEY = "a-source-key"
PERSON = {"FirstName": "Some", "LastName": "One", "Email": "someone@contoso.com", "Phone": "1234567890"}
LEAD = {
    "UserDetails": {**PERSON, "Country": "US", "Company": "Contoso", "Title": "Esquire"},
    "LeadSource": "AzureMarketplace",
    "ActionCode": "INS",
    "OfferTitle": "Test Microsoft",
    "Description": "Test run",
}
NOBODY = "01900000-0000-7000-8000-000000000000"
PERSONAL = re.compile(r"someone|contoso\.com|1234567890|Esquire", re.IGNORECASE)
MASK = "•••"


class Site:
    """The application over a migrated store, with a token of each role."""

    def __init__(self, folder, url, more=""):
        config = folder / "leadwire.toml"
        config.write_text(
            "[limits]\nwrong_keys_a_minute = 0\n"
            f'[server]\nbind = "127.0.0.1:9"\n[store]\nurl = "{url}"\n[console]\nenabled = false\n{more}\n'
            '[sources.marketplace]\nkeys = ["env:KEY_A"]\n'
            f'[destinations.archive]\ntype = "file"\npath = "{folder}/leads.jsonl"\n'
            f'[destinations.second]\ntype = "file"\npath = "{folder}/second.jsonl"\n'
        )
        self.app = create_app(load_settings(config))
        self.wiring = self.app.extensions["leadwire"]
        self.store = self.wiring.store
        self.tokens = {}

    def now_ms(self):
        return round(time.time() * 1000)

    def token(self, role):
        if role not in self.tokens:
            self.tokens[role] = self.wiring.access.new_token(f"a {role}", role, who=Who("cli:someone"))[1]
        return self.tokens[role]

    def ask(self, method, path, body=None, *, role="operator", headers=None, **more):
        authorization = {} if role is None else {"Authorization": f"Bearer {self.token(role)}"}
        return self.app.test_client().open(
            f"/api/v1{path}", method=method, json=body, headers={**authorization, **(headers or {})}, **more
        )

    def get(self, path, **more):
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def do(self, path, body=None, *, status=200, method="POST", **more):
        answer = self.ask(method, path, {} if body is None else body, **more)
        assert answer.status_code == status, answer.text
        return answer.get_json() if answer.data else None

    def post(self, body, type_="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.app.test_client().post(f"/leads?code={KEY}", data=data, content_type=type_).get_json()

    def lead(self, number=1):
        return self.post({**LEAD, "Description": f"Test run {number}"})["id"]

    def quarantined(self, body=b'{"Email": "someone@contoso.com"'):
        return self.post(body)["quarantine_id"]

    def problem(self, destination="archive", code="azure_table.authentication-failed"):
        with self.store.write() as connection:
            ProblemLog(self.store).noted(connection, destination, Evidence(code=code, status=403), now=self.now_ms())
        return rows(self.store, problems)[0]["id"]

    def acts(self, action):
        return rows(self.store, audit, audit.c.action == action)

    def close(self):
        self.store.close()


@pytest.fixture
def site(tmp_path, monkeypatch, store_url):
    monkeypatch.setenv("KEY_A", KEY)
    made = Site(tmp_path, store_url)
    yield made
    made.close()


@pytest.fixture
def lite(tmp_path, monkeypatch, sqlite_url):
    """The same on SQLite alone, for what no database has a part in."""
    monkeypatch.setenv("KEY_A", KEY)
    made = Site(tmp_path, sqlite_url)
    yield made
    made.close()


def endpoints(site):
    """Every method and address of the document under `/api/v1`, made concrete, with its role."""
    document = site.app.test_client().get("/openapi.json").get_json()
    made = {"id": NOBODY, "step": "1", "name": "archive", "source": "marketplace", "fingerprint": "0" * 12}
    for path, operations in document["paths"].items():
        if path.startswith("/api/v1"):
            for method, found in operations.items():
                if method in ("get", "post", "put", "delete"):
                    yield method.upper(), path.removeprefix("/api/v1").format(**made), found


def running(server, *arguments):
    """Start a server without a console and give the headers of an operator."""
    with server.config.open("a") as config:
        config.write("[console]\nenabled = false\n")
    server.start(*arguments)
    store = open_store(f"sqlite:///{server.folder}/var/leadwire.db")
    _, token = Access(store, None, utc_now).new_token("ci", "operator", who=Who("cli:someone"))
    store.close()
    return {"Authorization": f"Bearer {token}"}


def assert_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.get_json()
    assert {"type", "status", "title", "detail"} <= set(document)
    assert document["status"] == status
    return document


# Who may come in.


def test_without_a_live_token_nothing_is_answered(lite):
    wrong = {"none": {}, "wrong": {"Authorization": "Bearer lw_wrong"}, "other": {"Authorization": "Basic eDp5"}}
    for method, path, _ in endpoints(lite):
        for headers in wrong.values():
            answer = lite.ask(method, path, role=None, headers=headers)
            assert_problem(answer, 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert lite.acts("erase") == []


def test_a_source_key_is_no_token_and_a_token_no_source_key(lite):
    assert_problem(lite.ask("GET", "/leads", role=None, headers={"Authorization": f"Bearer {KEY}"}), 401)
    bearer = {"Authorization": f"Bearer {lite.token('operator')}"}
    assert lite.app.test_client().post("/leads", json=LEAD, headers=bearer).status_code == 401


def test_a_revoked_token_is_let_in_no_more(site):
    made = site.do("/tokens", {"name": "ci", "role": "reader"}, status=201)
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert site.ask("GET", "/leads", role=None, headers=bearer).status_code == 200
    site.do(f"/tokens/{made['id']}", method="DELETE", status=204)
    answer = site.ask("GET", "/leads", role=None, headers=bearer)
    assert_problem(answer, 401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert_problem(site.ask("DELETE", f"/tokens/{made['id']}"), 404)


def test_a_reader_may_look_search_and_explain_and_nothing_else(lite):
    allowed = set()
    for method, path, found in endpoints(lite):
        answer = lite.ask(method, path, role="reader")
        if answer.status_code != 403:
            allowed.add((method, path))
            assert found["description"] == "Role: reader or operator."
        else:
            assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    posts = {path for method, path in allowed if method != "GET"}
    assert posts == {"/leads/search", "/explain"}
    forbidden = {path for method, path, _ in endpoints(lite) if method == "GET"} - {path for _, path in allowed}
    assert forbidden == {"/tokens", f"/quarantine/{NOBODY}/body"}


def test_whoever_has_no_token_is_not_told_what_exists(lite):
    assert_problem(lite.ask("GET", "/nothing", role=None), 401)
    assert_problem(lite.ask("GET", "/nothing"), 404)
    answer = lite.ask("PATCH", "/leads")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["Allow"]


def test_slashes_too_many_lead_nowhere_and_to_no_page(lite):
    assert_problem(lite.ask("GET", "//leads"), 404)
    assert_problem(lite.ask("GET", "/leads//search"), 404)


def test_the_audit_names_the_token_that_acted(site):
    id_ = site.lead()
    site.do(f"/leads/{id_}/reveal", {"why": "asked by the publisher"})
    (row,) = site.acts("reveal")
    assert (row["actor"], row["why"]) == ("api:a operator", "asked by the publisher")


# Leads.


def test_leads_are_listed_with_nothing_personal_and_found_by_filters(site):
    ids = [site.lead(number) for number in range(3)]
    site.quarantined()
    found = site.get("/leads?state=accepted", role="reader")
    assert [one["id"] for one in found["leads"]] == ids[::-1]
    assert found["next"] is None
    assert found["leads"][0]["deliveries"] == {"archive": "due", "second": "due"}
    assert not PERSONAL.search(json.dumps(found))
    assert site.get("/leads?test=true")["leads"] == []
    assert len(site.get("/leads?offer=Test*&source=marketplace&destination=archive")["leads"]) == 3
    assert site.get("/leads?until=2020-01-01T00:00:00Z")["leads"] == []
    assert len(site.get("/leads?since=2020-01-01T00:00:00%2B01:00")["leads"]) == 4


def test_pages_follow_each_other_by_next_and_by_link(site):
    ids = [site.lead(number) for number in range(5)]
    first = site.ask("GET", "/leads?limit=2&state=accepted")
    (link,) = re.findall(r'<(.+)>; rel="next"', first.headers["Link"])
    second = site.get(link.removeprefix("/api/v1"))
    third = site.get(f"/leads?limit=2&before={second['next']}")
    pages = [first.get_json(), second, third]
    assert [one["id"] for each in pages for one in each["leads"]] == ids[::-1]
    assert third["next"] is None


def test_a_person_is_searched_in_the_body_and_gone_through_by_a_mark(site):
    ids = [site.lead(number) for number in range(2)]
    site.post({**LEAD, "UserDetails": {**PERSON, "Email": "another@contoso.com"}})
    found = site.do("/leads/search", {"email": "SomeOne@contoso.com", "limit": 1}, role="reader")
    assert [one["id"] for one in found["leads"]] == [ids[1]]
    rest = site.get(f"/leads?person={found['person']}&before={found['next']}", role="reader")
    assert [one["id"] for one in rest["leads"]] == [ids[0]]
    assert not PERSONAL.search(json.dumps([found, rest]))


def test_a_lead_is_shown_masked_and_in_clear_only_to_operators_on_record(site):
    id_ = site.lead()
    masked = site.get(f"/leads/{id_}", role="reader")
    assert masked["lead"]["email"] == MASK
    assert masked["lead"]["campaign"] == {}
    assert not PERSONAL.search(json.dumps(masked))
    clear = site.do(f"/leads/{id_}/reveal", {"fields": ["email"]})
    assert (clear["lead"]["email"], clear["lead"]["phone"]) == ("someone@contoso.com", MASK)
    assert [act["target"] for act in site.acts("reveal")] == [f"{id_} email"]
    assert site.do(f"/leads/{id_}/reveal")["lead"]["phone"] == "1234567890"
    assert [act["action"] for act in site.get(f"/leads/{id_}")["acts"]] == ["reveal", "reveal"]
    for path in (f"/leads/{NOBODY}/reveal", f"/leads/{NOBODY}/erase"):
        assert_problem(site.ask("POST", path, {}), 404)
    assert_problem(site.ask("GET", f"/leads/{NOBODY}"), 404)


def test_each_try_is_shown_with_the_meaning_of_its_code(site):
    id_ = site.lead()
    settle(site.store, dead, destination="archive", now=site.now_ms())
    found = site.get(f"/leads/{id_}")
    (delivery,) = [one for one in found["deliveries"] if one["destination"] == "archive"]
    assert delivery["state"] == "dead"
    assert delivery["attempts"][0]["code"] == "azure_table.entity-too-large"
    assert delivery["attempts"][0]["title"]


def test_one_lead_is_erased_and_the_others_of_the_person_stay(site):
    ids = [site.lead(number) for number in range(2)]
    done = site.do(f"/leads/{ids[0]}/erase", {"why": "ticket 7"})
    assert (done["erased"], done["destinations"]) == ([ids[0]], [])
    assert site.get(f"/leads/{ids[0]}")["status"] == "erased"
    assert site.get(f"/leads/{ids[1]}")["status"] == "accepted"


def test_a_person_is_erased_everywhere_after_a_dry_run(site):
    ids = sorted([site.lead(), site.quarantined()])
    body = {"email": "someone@contoso.com", "dry_run": True}
    assert site.do("/erasures", body)["erased"] == ids
    assert site.acts("erase") == []
    assert site.do("/erasures", {**body, "dry_run": False})["erased"] == ids
    assert site.do("/erasures", body)["erased"] == []
    assert len(site.acts("erase")) == 2


# Deliveries.


def test_deliveries_are_replayed_by_code_after_a_dry_run(site):
    id_ = site.lead()
    settle(site.store, dead, destination="archive", now=site.now_ms())
    which = {"code": "azure_table.entity-too-large", "dry_run": True}
    expected = [{"id": id_, "destination": "archive", "state": "dead"}]
    assert site.do("/deliveries/replay", which) == {"dry_run": True, "number": 1, "deliveries": expected}
    assert site.get("/leads?state=dead")["leads"]
    assert site.do("/deliveries/replay", {**which, "dry_run": False})["number"] == 1
    assert not site.get("/leads?state=dead")["leads"]


def test_what_was_sent_is_replayed_only_when_asked_for(site):
    id_ = site.lead()
    with site.store.write() as connection:
        connection.execute(deliveries.update().values(state="sent"))
    assert site.do("/deliveries/replay", {"ids": [id_]})["number"] == 0
    assert site.do("/deliveries/replay", {"ids": [id_], "sent": True})["number"] == 2


def test_a_lead_is_also_delivered_where_it_was_not_routed_to(site):
    id_ = site.lead()
    with site.store.write() as connection:
        connection.execute(deliveries.delete().where(deliveries.c.destination == "second"))
    site.do("/deliveries/replay", {"ids": [id_], "destination": "second"})
    assert site.get(f"/leads/{id_}")["deliveries"][1]["destination"] == "second"


def test_deliveries_are_given_up_by_destination(site):
    site.lead()
    assert site.do("/deliveries/discard", {"destination": "second", "why": "moved"})["number"] == 1
    assert site.get("/leads?state=discarded&destination=second")["leads"]


@pytest.mark.parametrize("act", ["replay", "discard"])
def test_a_choice_of_deliveries_must_say_which(lite, act):
    for body in ({}, {"ids": []}, {"ids": [NOBODY]}):
        assert_problem(lite.ask("POST", f"/deliveries/{act}", body), 409)
    assert_problem(lite.ask("POST", "/deliveries/replay", {"destination": "nowhere"}), 409)


# Problems and destinations.


def test_a_problem_is_listed_acknowledged_and_ticked_off(site):
    site.lead()
    settle(site.store, held, destination="archive", now=site.now_ms())
    id_ = site.problem()
    (found,) = site.get("/problems", role="reader")["problems"]
    assert (found["id"], found["held"], found["leads_waiting"]) == (id_, True, 1)
    site.do(f"/problems/{id_}/acknowledge", {"note": "asked the Azure team"}, status=204)
    site.do(f"/problems/{id_}/steps/1", {"done": True}, method="PUT", status=204)
    (found,) = site.get("/problems")["problems"]
    assert found["acknowledged"]["note"] == "asked the Azure team"
    assert found["done"] == [1]
    site.do(f"/problems/{id_}/steps/1", {"done": False}, method="PUT", status=204)
    assert site.get("/problems")["problems"][0]["done"] == []
    assert_problem(site.ask("PUT", f"/problems/{id_}/steps/99", {"done": True}), 404)
    assert_problem(site.ask("PUT", f"/problems/{NOBODY}/steps/1", {"done": True}), 404)
    assert_problem(site.ask("POST", f"/problems/{NOBODY}/acknowledge", {}), 404)


def test_what_is_over_is_kept_as_history(site):
    id_ = site.problem()
    with site.store.write() as connection:
        connection.execute(problems.update().values(closed_at=site.now_ms()))
    found = site.get("/problems/closed?limit=1", role="reader")
    assert ([one["id"] for one in found["problems"]], found["next"]) == ([id_], id_)
    assert site.get(f"/problems/closed?before={id_}")["problems"] == []


def test_destinations_are_shown_as_cards_and_tried_for_real(site):
    site.lead()
    settle(site.store, lambda claim: failed(claim, due=site.now_ms() + 60_000), now=site.now_ms(), destination="second")
    cards = {one["name"]: one for one in site.get("/destinations", role="reader")["destinations"]}
    assert cards["archive"]["waiting"] == 1
    found = site.do("/destinations/archive/check", {"why": "after the move"})
    assert (found["ok"], found["code"], found["actor"]) == (True, None, "api:a operator")
    assert [one["name"] for one in site.get("/checks", role="reader")["checks"]] == ["archive"]
    assert_problem(site.ask("POST", "/destinations/nowhere/check", {}), 404)


def test_a_check_that_fails_says_what_to_do(lite, tmp_path):
    (tmp_path / "leads.jsonl").mkdir()
    found = lite.do("/destinations/archive/check")
    assert found["ok"] is False
    assert found["remedy"]
    assert found["title"]


def test_the_overview_counts_every_day_and_shows_what_is_wrong(site):
    site.lead()
    site.quarantined()
    found = site.get("/overview?days=3&zone=Pacific/Auckland", role="reader")
    assert len(found["days"]) == 3
    assert (found["days"][-1]["accepted"], found["quarantined"]) == (1, 1)
    assert {one["name"] for one in found["destinations"]} == {"archive", "second"}
    assert site.get("/offers", role="reader") == {"offers": ["Test Microsoft"]}


# Test leads, errors.


def test_a_test_lead_that_cannot_be_posted_says_why_without_the_key(lite):
    document = assert_problem(lite.ask("POST", "/test-leads", {"source": "marketplace"}), 409)
    assert "can't be reached" in document["detail"]
    assert KEY not in json.dumps(document)
    assert_problem(lite.ask("POST", "/test-leads", {"source": "nowhere"}), 409)


def test_a_test_lead_goes_through_a_running_server_and_is_followed(server):
    import requests

    bearer = running(server)
    sent = requests.post(f"{server.url}/api/v1/test-leads", json={"offer": "contoso.one"}, headers=bearer, timeout=20)
    assert sent.status_code == 201, sent.text
    address = f"{server.url}/api/v1/leads/{sent.json()['id']}"
    found = until(
        lambda: requests.get(address, headers=bearer, timeout=5).json()["deliveries"][0]["state"] == "sent", seconds=20
    )
    assert found
    assert requests.get(address, headers=bearer, timeout=5).json()["offer"] == "contoso.one"


def test_a_chunked_body_is_read_to_its_end_by_a_running_server(server):
    import requests

    bearer = running(server, "--no-worker") | {"Content-Type": "application/json"}
    pieces = iter([b'{"text": ', b'"invalid client secret"}'])
    answer = requests.post(f"{server.url}/api/v1/explain", data=pieces, headers=bearer, timeout=20)
    assert answer.status_code == 200, answer.text
    large = (b" " * 65536 for _ in range(17))
    assert requests.post(f"{server.url}/api/v1/explain", data=large, headers=bearer, timeout=20).status_code == 413


def test_a_trial_alert_needs_a_channel_and_says_what_became_of_it(tmp_path, monkeypatch, sqlite_url):
    monkeypatch.setenv("KEY_A", KEY)
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/hook-with-a-secret")
    silent = Site(tmp_path, sqlite_url)
    assert_problem(silent.ask("POST", "/test-alerts", {}), 409)
    silent.close()
    alerted = Site(tmp_path, sqlite_url, '[alerts]\nwebhook = "env:HOOK"')
    (found,) = alerted.do("/test-alerts")["channels"]
    assert (found["channel"], found["ok"]) == ("webhook", False)
    assert found["remedy"]
    assert "hook-with-a-secret" not in json.dumps(found)
    alerted.close()


def test_an_error_is_explained_to_readers(lite):
    found = lite.do("/explain", {"text": "AADSTS7000215: Invalid client secret provided."}, role="reader")
    assert found["entry"]["remedy"] or found["candidates"]
    assert lite.do("/explain", {"text": "all is well"}) == {"entry": None, "candidates": []}


# Quarantine.


def test_a_quarantined_body_is_read_on_record_and_repaired_and_released(site):
    id_ = site.quarantined()
    (listed,) = site.get("/quarantine", role="reader")["quarantined"]
    assert (listed["id"], listed["kept"]) == (id_, True)
    assert not PERSONAL.search(json.dumps(listed))
    body = site.get(f"/quarantine/{id_}/body")
    assert (body["encoding"], body["body"]) == ("utf-8", '{"Email": "someone@contoso.com"')
    assert [act["target"] for act in site.acts("reveal")] == [f"{id_} body"]
    assert site.do(f"/quarantine/{id_}/preview")["ready"] is False
    assert_problem(site.ask("POST", f"/quarantine/{id_}/release", {}), 409)
    still = site.do(f"/quarantine/{id_}/body", {"body": "{"}, method="PUT")
    assert still["ready"] is False
    mended = site.do(f"/quarantine/{id_}/body", {"body": json.dumps(LEAD), "why": "a brace"}, method="PUT")
    assert mended["ready"] is True
    released = site.do(f"/quarantine/{id_}/release")
    assert (released["id"], released["status"], released["lead"]["email"]) == (id_, "accepted", MASK)
    assert_problem(site.ask("GET", f"/quarantine/{id_}/body"), 404)


def test_a_preview_shows_a_person_only_where_the_body_came_with_the_request(site):
    id_ = site.quarantined()
    site.do(f"/quarantine/{id_}/body", {"body": json.dumps(LEAD)}, method="PUT")
    kept = site.do(f"/quarantine/{id_}/preview")
    assert (kept["ready"], kept["lead"]["email"], kept["lead"]["offer_title"]) == (True, MASK, "Test Microsoft")
    given = site.do(f"/quarantine/{id_}/preview", {"body": json.dumps(LEAD)})
    assert given["lead"]["email"] == "someone@contoso.com"
    assert site.acts("reveal") == []


def test_a_repaired_body_is_released_in_one_step(site):
    id_ = site.quarantined()
    assert site.do(f"/quarantine/{id_}/release", {"body": json.dumps(LEAD)})["status"] == "accepted"


def test_a_body_that_is_no_text_comes_in_base64(lite):
    id_ = lite.quarantined(b'{"Email": "someone\xff@contoso.com"}')
    assert lite.get(f"/quarantine/{id_}/body")["encoding"] == "base64"


def test_a_body_that_was_withheld_can_only_be_given_up(site):
    id_ = site.quarantined(b'{"Email": "someone@mit.edu"')
    assert_problem(site.ask("GET", f"/quarantine/{id_}/body"), 409)
    assert_problem(site.ask("POST", f"/quarantine/{id_}/preview", {}), 409)
    assert site.do(f"/quarantine/{id_}/discard", {"why": "withheld"}) == {"number": 1}
    assert_problem(site.ask("POST", f"/quarantine/{id_}/discard", {}), 404)
    assert site.get("/quarantine")["quarantined"] == []


def test_nothing_is_quarantined_under_the_id_of_a_lead(lite):
    id_ = lite.lead()
    for method, path in (
        ("GET", "body"),
        ("PUT", "body"),
        ("POST", "preview"),
        ("POST", "release"),
        ("POST", "discard"),
    ):
        body = {"body": "{}"} if method == "PUT" else None if method == "GET" else {}
        assert_problem(lite.ask(method, f"/quarantine/{id_}/{path}", body), 404)


# Settings, audit, tokens, upkeep.


def test_settings_are_shown_without_a_secret(lite):
    found = lite.get("/settings", role="reader")["settings"]
    assert {"section": "sources.marketplace", "key": "keys", "value": "set", "origin": "env:KEY_A"} in found
    assert KEY not in json.dumps(found)


def test_a_whole_address_is_for_operators_and_recorded(site):
    (found,) = site.get("/addresses", role="reader")["addresses"]
    assert KEY not in json.dumps(found)
    (key,) = found["keys"]
    path = f"/addresses/marketplace/keys/{key['fingerprint']}/reveal"
    assert site.do(path, {"why": "for Partner Center"})["url"].endswith(f"/leads?code={KEY}")
    assert [act["why"] for act in site.acts("reveal-address")] == ["for Partner Center"]
    assert_problem(site.ask("POST", "/addresses/marketplace/keys/000000000000/reveal", {}), 404)


def test_the_audit_is_read_by_target_action_and_actor_a_page_at_a_time(site):
    id_ = site.lead()
    for _ in range(3):
        site.do(f"/leads/{id_}/reveal")
    first = site.get(f"/audit?target={id_}&action=reveal&limit=2", role="reader")
    rest = site.get(f"/audit?target={id_}&limit=2&before={first['next']}")
    assert [len(first["acts"]), len(rest["acts"]), rest["next"]] == [2, 1, None]
    assert site.get("/audit?actor=cli:nobody")["acts"] == []


def test_tokens_are_listed_without_their_texts(site):
    made = site.do("/tokens", {"name": "dash board", "role": "reader"}, status=201)
    answer = site.ask("GET", "/tokens")
    assert made["token"] not in answer.text
    assert made["id"] in {one["id"] for one in answer.get_json()["tokens"]}
    with site.store.read() as connection:
        kept = connection.execute(sa.text("SELECT hash FROM tokens")).scalars().all()
    assert made["token"].encode() not in {bytes(one) for one in kept}


def test_a_purge_says_how_much_of_each_was_deleted(site):
    site.lead()
    found = site.do("/purge", {"why": "nightly"})["purged"]
    assert found["leads"] == 0
    assert len(site.acts("purge")) == 1


# What is not allowed.


@pytest.mark.parametrize(
    ("path", "field", "found"),
    [
        ("/leads?limit=0", "limit", "a text of 1 characters"),
        ("/leads?limit=1e1", "limit", "a text of 3 characters"),
        ("/leads?test=yes", "test", "a text of 3 characters"),
        ("/leads?state=gone", "state", "a text of 4 characters"),
        ("/leads?since=2026-11-20", "since", "a text of 10 characters"),
        ("/leads?since=2026-02-31T00:00:00Z", "since", "a text of 20 characters"),
        ("/leads?before=1", "before", "a text of 1 characters"),
        ("/leads?person=someone", "person", "a text of 7 characters"),
        ("/leads?offer=a%00b", "offer", "a text of 3 characters"),
        ("/leads?colour=red", "colour", "an unknown field"),
        ("/leads?someone@contoso.com=1", "(an unknown name)", "an unknown field"),
        ("/problems?x=1", "x", "an unknown field"),
        ("/overview?zone=Mars", "zone", "a text of 4 characters"),
    ],
)
def test_a_query_that_is_not_allowed_is_named_and_not_repeated(lite, path, field, found):
    document = assert_problem(lite.ask("GET", path), 422)
    (error,) = document["errors"]
    assert (error["in"], error["field"], error["found"]) == ("query", field, found)
    assert error["allowed"]
    assert not PERSONAL.search(json.dumps(document).replace("such as someone@contoso.com", ""))


def test_a_parameter_that_comes_twice_is_refused(lite):
    assert lite.ask("GET", "/leads?limit=1&limit=2").status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "field", "found"),
    [
        ("/leads/search", {}, "email", "nothing"),
        ("/leads/search", {"email": "Some One"}, "email", "a text of 8 characters"),
        ("/leads/search", {"email": "someone@contoso.com", "limit": "2"}, "limit", "a text of 1 characters"),
        ("/leads/search", {"email": "someone@contoso.com", "limit": True}, "limit", "true or false"),
        ("/leads/search", {"email": "someone@contoso.com", "test": 1}, "test", "a number"),
        ("/deliveries/replay", {"ids": ["1"]}, "ids.0", "a text of 1 characters"),
        ("/deliveries/replay", {"ids": "all"}, "ids", "a text of 3 characters"),
        ("/deliveries/replay", {"code": None}, "code", "null"),
        ("/deliveries/replay", {"dry_run": "no"}, "dry_run", "a text of 2 characters"),
        ("/purge", {"why": "half a pair \ud800"}, "why", "a text of 13 characters"),
        ("/purge", {"why": {}}, "why", "an object"),
        ("/purge", [], "", "a list of 0"),
        ("/tokens", {"name": "a\nb", "role": "reader"}, "name", "a text of 3 characters"),
        ("/tokens", {"name": "a", "role": "owner"}, "role", "a text of 5 characters"),
    ],
)
def test_a_body_that_is_not_allowed_is_named_and_not_repeated(lite, path, body, field, found):
    document = assert_problem(lite.ask("POST", path, body), 422)
    (error,) = document["errors"]
    assert (error["in"], error["field"], error["found"]) == ("body", field, found)


@pytest.mark.parametrize(
    ("data", "type_", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"text": NaN}', "application/json", 400),
        (b'{"text": "a", "text": "b"}', "application/json", 400),
        (b'{"text": "\xff"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"text": "a"}', "text/plain", 415),
        (b"text=a", "application/x-www-form-urlencoded", 415),
        (b" " * (1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_only_json_of_a_bearable_size_is_taken(lite, data, type_, status):
    assert_problem(lite.ask("POST", "/explain", None, data=data, content_type=type_), status)


def test_a_packed_body_is_refused(lite):
    packed = {"Content-Encoding": "gzip"}
    answer = lite.ask("POST", "/explain", None, data=b"x", content_type="application/json", headers=packed)
    assert_problem(answer, 415)


def test_a_store_that_is_away_is_said_as_503(tmp_path, monkeypatch, sqlite_url):
    monkeypatch.setenv("KEY_A", KEY)
    site = Site(tmp_path, sqlite_url)
    token = site.token("operator")
    site.close()
    (tmp_path / "leadwire.db").unlink()
    (tmp_path / "leadwire.db").mkdir()
    other = Site(tmp_path, sqlite_url)
    other.tokens["operator"] = token
    answer = other.ask("GET", "/leads")
    assert_problem(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    other.close()


def test_a_fault_of_ours_is_said_and_nothing_of_the_request_is_logged(lite, capsys):
    id_ = lite.lead()
    with lite.store.write() as connection:
        connection.execute(sa.text("UPDATE receipts SET unsealed = '{someone@contoso.com', data_key = NULL"))
    assert_problem(lite.ask("GET", f"/leads/{id_}"), 500)
    assert not PERSONAL.search("".join(capsys.readouterr()))


# The document, and the price of it all.


def test_the_document_is_public_and_has_no_secret_in_it(lite):
    answer = lite.app.test_client().get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert {"/leads", "/healthz", "/readyz", "/metrics", "/openapi.json"} < set(answer.get_json()["paths"])
    assert KEY not in answer.text
    assert str(lite.wiring.settings.path) not in answer.text


def test_every_verb_of_operations_is_an_endpoint(lite):
    """What each face lacks is named here: helpers of acts, figures (`/metrics`), and a URL to post test leads to."""
    found = {operation["operationId"] for _, _, operation in endpoints(lite)}
    verbs = {name for name in dir(type(lite.wiring.operations)) if not name.startswith("_")}
    attributes = {one.name for one in dataclasses.fields(lite.wiring.operations)}
    inside = {
        "deliver_also": "replay",
        "select": "replay",
        "see_configured": "replay",
        "find_person": "erase",
        "person_mark": "search_leads",
        "problem_count": "overview",
        "quarantined_count": "overview",
        "worker_silent_for": "overview",
    }
    assert set(inside.values()) <= found
    assert verbs - attributes - set(inside) - found - {"figures", "try_now"} == set()


def test_receivers_do_not_load_the_api_before_somebody_asks_for_it(server):
    """The parts that only the API needs are not in a process that has merely made the application."""
    with server.config.open("a") as config:
        config.write("[console]\nenabled = false\n")
    code = (
        "import sys; from app import create_app; app = create_app(); client = app.test_client();"
        "client.get('/leads'); print(sorted({'flask_smorest', 'webargs', 'apispec'} & set(sys.modules)));"
        "client.get('/openapi.json'); print('flask_smorest' in sys.modules)"
    )
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=server.folder,
        env=server.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"]
