"""The address that senders know, row by row of what it answers."""

import gzip
import json
import threading

import pytest

from app import create_app
from app.settings import load_settings
from app.store import open_store
from app.store.tables import receipts
from tests.parts.arrivals import rows

KEY, OTHER = "key-a", "key-b"
LEAD = {
    "UserDetails": {
        "FirstName": "Zaphkiel",
        "LastName": "Quillfeather",
        "Email": "zaphkiel@contoso.com",
        "Phone": "16175550199",
        "Country": "USA",
        "Company": "Contoso",
        "Title": "Esquire",
    },
    "LeadSource": "AzureMarketplace",
    "ActionCode": "INS",
    "OfferTitle": "Test Microsoft",
    "Description": "Test run through Power Automate",
}
PERSON = ("zaphkiel", "quillfeather", "16175550199")
JSON = "application/json"


class Site:
    """The application over a store of its own."""

    def __init__(self, folder, url, more=""):
        config = folder / "leadwire.toml"
        config.write_text(
            f'[store]\nurl = "{url}"\n[console]\nenabled = false\n{more}\n'
            '[sources.marketplace]\nkeys = ["env:KEY_A", "env:KEY_B"]\n'
            f'[destinations.archive]\ntype = "file"\npath = "{folder}/leads.jsonl"\n'
        )
        settings = load_settings(config)
        self.store = open_store(url)
        self.store.migrate()
        self.app = create_app(settings)

    def client(self):
        return self.app.test_client()

    def post(self, body=LEAD, *, key=KEY, type_=JSON, **more):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client().post(f"/leads?code={key}", data=data, content_type=type_, **more)

    def statuses(self):
        with self.store.read() as connection:
            return sorted(connection.execute(receipts.select()).mappings().all(), key=lambda row: row["id"])


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY_A", KEY)
    monkeypatch.setenv("KEY_B", OTHER)
    made = Site(tmp_path, f"sqlite:///{tmp_path}/leadwire.db")
    yield made
    made.store.close()
    made.app.extensions["leadwire"].store.close()


def kept(site):
    return [row["status"] for row in site.statuses()]


def test_a_lead_is_accepted_with_its_id(site):
    answer = site.post()
    assert answer.status_code == 202
    assert answer.get_json() == {"id": site.statuses()[0]["id"], "status": "accepted", "test": False}


def test_every_listed_key_is_live_also_as_a_bearer_token(site):
    assert site.post(key=OTHER).status_code == 202
    bearer = site.client().post("/leads", json=LEAD, headers={"Authorization": f"Bearer {KEY}"})
    assert bearer.get_json()["status"] == "duplicate"


def test_the_same_lead_again_is_a_duplicate_with_the_first_ones_id(site):
    first, second = site.post().get_json(), site.post().get_json()
    assert second == {"id": first["id"], "status": "duplicate", "test": False}
    camel = {"userDetails": {name[0].lower() + name[1:]: value for name, value in LEAD["UserDetails"].items()}}
    camel |= {name[0].lower() + name[1:]: value for name, value in LEAD.items() if name != "UserDetails"}
    assert site.post(camel).get_json()["id"] == first["id"]
    assert kept(site) == ["accepted", "duplicate", "duplicate"]


def test_test_leads_are_never_duplicates(site):
    lead = {"userDetails": {"firstName": "MSFT_TEST_1", "email": "MSFT_TEST_1@test.com"}}
    answers = [site.post(lead).get_json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["accepted", "accepted"]
    assert all(answer["test"] for answer in answers)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_a_broken_test_lead_is_found_among_the_test_leads(site, codec):
    site.post('{"FirstName": "MSFT_TEST_1" "LastName": "MSFT_TEST_1"}'.encode(codec))
    assert [(row["status"], row["test"]) for row in site.statuses()] == [("quarantined", True)]


@pytest.mark.parametrize("domain", ["mit.edu", "CS.MIT.EDU."])
def test_a_withheld_person_is_told_so_and_not_kept(site, tmp_path, domain):
    answer = site.post({**LEAD, "UserDetails": {**LEAD["UserDetails"], "Email": f"zaphkiel@{domain}"}})
    assert answer.status_code == 202
    assert answer.get_json()["status"] == "withheld"
    (row,) = site.statuses()
    assert row["email_domain"] == domain.lower().rstrip(".")
    assert row["offer"] == "Test Microsoft"
    assert_nobody(tmp_path)


@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [
        (b"", JSON, 400),
        (b"not json", JSON, 400),
        (b'{"Email": "zaphkiel@contoso.com"', JSON, 400),
        (b'{"Email": "zaphkiel\xff@contoso.com"}', JSON, 400),
        (b"[" * 30000, JSON, 400),
        (b"[1]", JSON, 422),
        (b'"text"', JSON, 422),
        (b"{}", JSON, 422),
        (b'{"Company": "Contoso"}', JSON, 422),
        (b'{"Email": ["zaphkiel@contoso.com"]}', JSON, 422),
        (b"<lead/>", "text/xml", 415),
        (b"first_name=Zaphkiel", "text/plain", 415),
    ],
)
def test_what_is_no_lead_is_refused_and_kept(site, body, type_, status):
    answer = site.post(body, type_=type_)
    problem = answer.get_json()
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert {"title", "detail", "errors", "quarantine_id"} <= set(problem)
    assert site.statuses()[0]["id"] == problem["quarantine_id"]
    assert kept(site) == ["quarantined"]
    assert not any(word in answer.get_data(as_text=True).lower() for word in PERSON)


def test_an_unparseable_body_with_a_withheld_address_leaves_only_its_length(site, tmp_path):
    body = b'{"FirstName": "Zaphkiel", "Email": "zaphkiel@mit.edu", oops'
    answer = site.post(body, type_="application/json; name=zaphkiel")
    assert answer.status_code == 400
    with site.store.read() as connection:
        row = connection.exec_driver_sql("SELECT sealed, data_key, length, content_type FROM quarantine").one()
    assert tuple(row) == (None, None, len(body), "")
    assert_nobody(tmp_path)


@pytest.mark.parametrize("key", ["", "wrong", "KEY-A", "key-a ", "\x00", "é" * 50, "k" * 5000])
def test_a_wrong_key_gets_401_always_with_the_same_words_and_nothing_is_kept(site, key):
    answer = site.client().post("/leads", query_string={"code": key}, json=LEAD)
    reference = site.client().post("/leads", json=LEAD)
    assert answer.status_code == reference.status_code == 401
    assert answer.data == reference.data
    assert kept(site) == []


def test_a_key_in_the_wrong_place_is_no_key(site):
    for answer in (
        site.client().post(f"/leads/{KEY}", json=LEAD),
        site.client().post("/leads", json={**LEAD, "code": KEY}),
        site.client().post("/leads", json=LEAD, headers={"X-Code": KEY}),
        site.client().post("/leads", json=LEAD, headers={"Authorization": KEY}),
    ):
        assert answer.status_code in (401, 404)
        assert KEY not in answer.get_data(as_text=True)
    assert kept(site) == []


@pytest.mark.parametrize("method", ["get", "head"])
def test_get_says_that_the_endpoint_is_ready_and_keeps_nothing(site, method):
    assert getattr(site.client(), method)(f"/leads?code={KEY}").status_code == 200
    assert getattr(site.client(), method)("/leads?code=wrong").status_code == 401
    assert kept(site) == []


def test_other_methods_get_405_in_the_one_shape(site):
    answer = site.client().put(f"/leads?code={KEY}", json=LEAD)
    assert answer.status_code == 405
    assert answer.content_type == "application/problem+json"


def test_a_body_over_the_limit_gets_413_packed_or_not(site):
    assert site.post(b" " * 65537).status_code == 413
    bomb = gzip.compress(b" " * 10_000_000)
    assert site.post(bomb, headers={"Content-Encoding": "gzip"}).status_code == 413
    assert kept(site) == []
    assert site.post(json.dumps(LEAD).encode().ljust(65536)).status_code == 202


def test_a_packed_body_is_unpacked_and_one_that_only_claims_to_be_is_read_as_it_is(site):
    packed = gzip.compress(json.dumps(LEAD).encode())
    assert site.post(packed, headers={"Content-Encoding": "gzip"}).status_code == 202
    assert site.post(headers={"Content-Encoding": "gzip"}).get_json()["status"] == "duplicate"
    assert site.post(packed[:-9], headers={"Content-Encoding": "gzip"}).status_code == 400
    assert kept(site) == ["accepted", "duplicate", "quarantined"]


HOSTILE = {
    "200 levels": json.dumps({"Email": "zaphkiel@contoso.com"})[:-1] + ', "x": ' + "[" * 200 + "]" * 200 + "}",
    "a long number": '{"Email": "zaphkiel@contoso.com", "n": ' + "9" * 60000 + "}",
    "lone surrogates": r'{"FirstName": "\ud800", "Email": "zaphkiel@contoso.com", "\udfff": "\ud800x"}',
    "NUL": r'{"FirstName": "Zaph\u0000kiel", "Email": "zaphkiel@contoso.com", "a\u0000b": "\u0000"}',
    "1,000 unknown fields": json.dumps({"Email": "zaphkiel@contoso.com", **{f"field{n}": n for n in range(1000)}}),
    "not a number": '{"Email": "zaphkiel@contoso.com", "x": NaN, "y": Infinity, "z": 1e999}',
    "duplicate keys": '{"Email": "zaphkiel@contoso.com", "Email": "zaphkiel@fabrikam.com", "EMAIL": "z@example.com"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_taken_and_nothing_of_them_is_lost(site, name):
    answer = site.post(HOSTILE[name].encode())
    assert answer.status_code == 202, answer.get_json()
    assert json.loads(rows(site.store, receipts)[0]["lead"])["email"]


def test_100_identical_posts_at_once_make_one_delivery(site):
    answers = []

    def send():
        answers.append(site.post().get_json())

    threads = [threading.Thread(target=send) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer["status"] for answer in answers) == ["accepted"] + ["duplicate"] * 99
    assert len({answer["id"] for answer in answers}) == 1
    with site.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM deliveries").scalar() == 1


def test_a_store_that_is_away_gets_503_with_retry_after(site, tmp_path):
    site.post()
    site.app.extensions["leadwire"].store.close()
    for name in ("leadwire.db", "leadwire.db-wal", "leadwire.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "leadwire.db").mkdir()
    answer = site.post({**LEAD, "OfferTitle": "another"})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "quarantine_id" not in answer.get_json()


def test_nothing_personal_and_no_key_is_logged(site, capfd):
    for body in (LEAD, {}, {**LEAD, "Email": []}):
        site.post(body)
    site.post(b'{"Email": "zaphkiel@contoso.com"')
    site.post(key="wrong-key-of-somebody")
    said = "".join(capfd.readouterr()).lower()
    assert "lead.received" in said
    assert not any(word in said for word in (*PERSON, KEY, "wrong-key-of-somebody"))


def test_health_tells_alive_and_ready_apart(site):
    assert site.client().get("/healthz").status_code == 200
    ready = site.client().get("/readyz")
    assert ready.status_code == 503
    assert "never seen" in ready.get_json()["detail"]


def test_metrics_have_the_counts_and_no_person(site):
    site.post()
    site.post({})
    answer = site.client().get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"  # what a scraper gets that asks for none
    text = answer.get_data(as_text=True)
    assert 'leadwire_leads{source="marketplace",status="accepted",test="false"} 1.0' in text
    assert 'leadwire_leads{source="marketplace",status="quarantined",test="false"} 1.0' in text
    assert 'leadwire_deliveries{destination="archive",state="due"} 1.0' in text
    assert not any(word in text.lower() for word in PERSON)


def assert_nobody(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert not any(word.encode() in content for word in PERSON), path
