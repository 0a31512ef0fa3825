"""Who gets into the console and what they may do there, as a browser's requests meet it."""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from app.access import hash_password
from app.settings import ConfigError, load_settings
from app.web import make_app
from app.wiring import Wiring
from tests.parts.desk import KEY, PASSWORD, Page, Visitor
from tests.parts.server import Server, lead
from tests.standins.entra import CLIENT, SECRET, TENANT, EntraServer

PUBLIC = "https://leads.contoso.example"
ANSWER = f"{PUBLIC}/console/entra/answer"
ENTRA = 'sign_in = "entra"\ntenant_id = "{tenant}"\nclient_id = "{client}"\nclient_secret = "env:APP_SECRET"\n'
READERS_MAY_POST = {
    "console.leads_search",
    "console.explain_text",
    "console.sign_out",
    "console.signing_in",
    "console.theme",
}
TOKEN = '(//input[@name="csrf_token"])[1]'


class Console:
    """One console over a store of its own; `more` stands in its [console] section."""

    def __init__(self, folder, url, more="", *, public_url=PUBLIC):
        config = folder / "leadwire.toml"
        config.write_text(
            f'[server]\npublic_url = "{public_url}"\n[store]\nurl = "{url}"\n[console]\n{more}\n'
            '[sources.marketplace]\nkeys = ["env:DESK_KEY"]\ndestinations = ["archive"]\n'
            f'[destinations.archive]\ntype = "file"\npath = "{folder}/leads.jsonl"\n'
        )
        self.wiring = Wiring.of(load_settings(config))
        self.app = make_app(self.wiring)

    def browser(self):
        return Browser(self.app.test_client())

    def reader(self):
        visitor = Visitor(self.app.test_client())
        with visitor.client.session_transaction("/console/") as session:
            session["key"] = self.wiring.access.open_session("console:reader@contoso.com", "reader")
        return visitor

    def operator(self):
        browser = self.browser()
        assert browser.sign_in().status == 302
        return Visitor(browser.client)


class Browser:
    """Somebody who is not signed in yet."""

    def __init__(self, client):
        self.client = client

    def get(self, path, **more):
        return Page(self.client.get(path, **more))

    def post(self, path, data, **more):
        token = self.get("/console/sign-in", **more).one(TOKEN).get("value")
        return Page(self.client.post(path, data={"csrf_token": token, **data}, **more))

    def sign_in(self, password=PASSWORD, **more):
        wanted = more.pop("next", "")
        return self.post("/console/sign-in", {"password": password, "next": wanted}, **more)


@pytest.fixture
def make(tmp_path, sqlite_url, monkeypatch):
    """Make a console with these settings."""
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("DESK_KEY", KEY)
    monkeypatch.setenv("APP_SECRET", SECRET)
    made = []

    def one(more='password = "env:DESK_PASSWORD"', **settings):
        made.append(Console(tmp_path, sqlite_url, more, **settings))
        return made[-1]

    yield one
    for console in made:
        console.wiring.store.close()


@pytest.fixture
def console(make):
    return make()


@pytest.fixture
def entra(server_tls):
    server = EntraServer(server_tls)
    server.people.redirect_uris.add(ANSWER)
    yield server
    server.stop()


@pytest.fixture
def teams(make, entra, ca_bundle):
    """A console whose people sign in with Entra."""
    more = ENTRA.format(tenant=TENANT, client=CLIENT)
    return make(f'{more}authority = "{entra.url}"\nca_bundle = "{ca_bundle}"\n')


def rules(console, *methods):
    """Endpoint and a path of everything of the console that takes one of these methods."""
    found = [
        (rule.endpoint, re.sub(r"<[^>]+>", "1", rule.rule), method)
        for rule in console.app.url_map.iter_rules()
        if rule.endpoint.startswith("console.")
        for method in methods
        if method in rule.methods
    ]
    assert len(found) > 5
    return found


def test_what_no_database_can_be_asked_for_is_nothing(tmp_path, store_url, monkeypatch):
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("DESK_KEY", KEY)
    console = Console(tmp_path, store_url, 'password = "env:DESK_PASSWORD"')
    visitor = console.operator()
    for path in ("leads/%00", "quarantine/%00", "leads?source=%00", "leads?since=1d&offer=a%00", "audit?target=%00"):
        assert visitor.client.get(f"/console/{path}").status_code == 404, path
    assert visitor.post("/console/problems/1/acknowledge", {"note": "a\0"}).status == 404
    assert visitor.post("/console/explain", {"text": "U\0T\0F\0-\x001\x006\0"}).status == 200
    console.wiring.store.close()


def test_the_address_without_its_last_slash_leads_to_no_host_and_no_scheme(console):
    page = console.browser().get("/console", headers={"Host": "elsewhere.example"})
    assert (page.status, page.path) == (302, "/console/sign-in?next=/console")
    assert console.operator().get("/console").status == 200
    assert console.operator().client.get("/console//leads").status_code == 404


def test_only_methods_that_a_page_has_are_taken(console):
    answer = console.operator().client.options("/console/leads")
    assert (answer.status_code, answer.content_type) == (405, "application/problem+json")


# By password.


def test_every_page_sends_who_is_not_signed_in_to_the_sign_in(console):
    browser = console.browser()
    for endpoint, path, method in rules(console, "GET"):
        page = browser.get(path)
        if endpoint in ("console.sign_in", "console.static", "console.entra_begin", "console.entra_answer"):
            assert page.status in (200, 404), (method, path)
        else:
            assert (page.status, page.path.partition("?")[0]) == (302, "/console/sign-in"), path


def test_every_form_is_refused_to_who_is_not_signed_in(console):
    browser = console.browser()
    for endpoint, path, _ in rules(console, "POST"):
        if endpoint not in ("console.signing_in", "console.theme"):
            page = browser.post(path, {})
            assert (page.status, page.path.partition("?")[0]) == (302, "/console/sign-in"), path


def test_every_form_is_refused_to_a_reader_but_those_that_change_nothing(console):
    reader = console.reader()
    for endpoint, path, _ in rules(console, "POST"):
        if endpoint in READERS_MAY_POST:
            continue
        page = reader.post(path, {})
        assert page.status == 403, path
        assert "operator" in page.words, path


def test_every_form_without_its_token_is_refused_even_to_an_operator(console):
    operator = console.operator()
    for _, path, _ in rules(console, "POST"):
        for token in ({}, {"csrf_token": "x"}):
            answer = operator.client.post(path, data=token)
            assert answer.status_code == 400, path
            assert "reload" in Page(answer).words, path


def test_the_token_of_one_visit_is_worth_nothing_in_another(console):
    token = console.browser().get("/console/sign-in").one(TOKEN).get("value")
    other = console.browser()
    other.get("/console/sign-in")
    answer = other.client.post("/console/sign-in", data={"csrf_token": token, "password": PASSWORD})
    assert answer.status_code == 400


def test_the_right_password_leads_to_the_page_that_was_wanted(console):
    browser = console.browser()
    wanted = parse_qs(urlsplit(browser.get("/console/leads?state=dead&offer=contoso").path).query)["next"][0]
    assert wanted == "/console/leads?state=dead&offer=contoso"
    assert browser.sign_in(next=wanted).path == wanted
    assert browser.get("/console/leads").status == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://fabrikam.example/",
        "//fabrikam.example/console/",
        "/\\fabrikam.example",
        "/console/\\..\\..\\x",
        "/console/\r\nSet-Cookie: a=b",
        "/console/\tx",
        "javascript:alert(1)",
        "/leads",
        "/console",
        "console/leads",
        " /console/leads",
    ],
)
def test_signing_in_leads_to_no_other_place_than_the_console(console, elsewhere):
    assert console.browser().sign_in(next=elsewhere).path == "/console/"
    operator = console.operator()
    assert Page(operator.client.get(f"/console/sign-in?{urlencode({'next': elsewhere})}")).path == "/console/"
    assert operator.post("/console/theme", {"theme": "dark", "next": elsewhere}).path == "/console/"


def test_a_wrong_password_is_said_and_the_fifth_says_how_long_to_wait(console):
    browser = console.browser()
    pages = [browser.sign_in("not it") for _ in range(6)]
    assert [page.status for page in pages] == [401, 401, 401, 401, 429, 429]
    assert "That is not the password." in pages[0].words
    assert "Wait" not in pages[3].words
    assert "Wait 60 seconds" in pages[4].words or "Wait 1 minute" in pages[4].words
    assert 0 < int(pages[4].answer.headers["Retry-After"]) <= 60
    assert "until then none is looked at" in pages[5].words
    assert all("not it" not in page.source for page in pages)


def test_the_address_that_counts_is_the_one_a_trusted_proxy_tells(make):
    console = make()
    for number in range(6):  # without a proxy, what a sender writes there is not believed
        page = console.browser().sign_in("not it", headers={"X-Forwarded-For": f"203.0.113.{number}"})
    assert page.status == 429


def test_without_a_password_the_page_says_which_setting_to_set(make):
    page = make("").browser().get("/console/sign-in")
    assert "[console] password" in page.words
    assert page.all("//input[@type='password']") == []


def test_the_page_names_where_the_password_stands_but_not_where_a_hash_does(make, monkeypatch):
    assert "env:DESK_PASSWORD" in make().browser().get("/console/sign-in").words
    monkeypatch.setenv("DESK_PASSWORD", hash_password(PASSWORD))
    hardened = make()
    assert "env:DESK_PASSWORD" not in hardened.browser().get("/console/sign-in").words
    assert hardened.browser().sign_in().status == 302


@pytest.mark.parametrize("broken", ["$argon2", "$argon2id$v=19$m=65536,t=3,p=4$abc", "$argon2id$v=19$x$abc$def"])
def test_a_hash_that_was_not_copied_whole_refuses_to_start_and_is_not_said(make, monkeypatch, broken):
    monkeypatch.setenv("DESK_PASSWORD", broken)
    with pytest.raises(ConfigError, match=r"\[console\] password") as refused:
        make()
    assert broken not in str(refused.value)
    assert "hash-password" in str(refused.value)


def test_signing_out_ends_the_session_also_for_who_kept_its_cookie(console):
    operator = console.operator()
    kept = operator.client.get_cookie("leadwire", path="/console").value
    assert operator.post("/console/sign-out").path == "/console/sign-in"
    thief = console.app.test_client()
    thief.set_cookie("leadwire", kept, path="/console")
    assert thief.get("/console/leads").status_code == 302


def test_a_cookie_somebody_prepared_for_another_is_worth_nothing_after_they_signed_in(console):
    attacker = console.browser()
    attacker.get("/console/sign-in")
    planted = attacker.client.get_cookie("leadwire", path="/console").value
    victim = console.browser()
    victim.client.set_cookie("leadwire", planted, path="/console")
    assert victim.sign_in().status == 302
    assert attacker.get("/console/leads").status == 302
    assert victim.get("/console/leads").status == 200


@pytest.mark.parametrize("cookie", ["", "x", "e30.x.y", "a" * 4000])
def test_a_made_up_cookie_is_asked_to_sign_in(console, cookie):
    client = console.app.test_client()
    client.set_cookie("leadwire", cookie, path="/console")
    assert client.get("/console/leads").status_code == 302


def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_the_senders_address(make):
    behind_tls = make().browser().get("/console/sign-in").answer.headers["Set-Cookie"]
    plain = make(public_url="http://127.0.0.1:8080").browser().get("/console/sign-in").answer.headers["Set-Cookie"]
    for told in (behind_tls, plain):
        assert "HttpOnly" in told
        assert "SameSite=Lax" in told
        assert "Path=/console" in told
    assert "Secure" in behind_tls
    assert "Secure" not in plain


@pytest.mark.parametrize(("theme", "kept"), [("dark", True), ("light", True), ("auto", True), ("neon", False)])
def test_the_theme_is_kept_without_scripts_if_it_is_one(console, theme, kept):
    browser = console.browser()
    browser.post("/console/theme", {"theme": theme})
    assert (browser.client.get_cookie("theme", path="/console") is not None) is kept
    shown = browser.get("/console/sign-in").one("/html").get("data-bs-theme")
    assert shown == (theme if kept and theme != "auto" else None)


def test_a_lead_that_comes_in_gets_no_cookie_and_no_header_of_the_console(console):
    answer = console.app.test_client().post(f"/leads?code={KEY}", json=lead(1))
    assert answer.status_code == 202
    assert "Set-Cookie" not in answer.headers
    assert "Content-Security-Policy" not in answer.headers


def test_a_page_is_kept_by_nobody_and_framed_by_nobody(console):
    headers = console.operator().get("/console/leads").answer.headers
    policy = headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_only_behind_tls_a_browser_is_told_to_stay_there(console):
    browser = console.browser()
    assert "Strict-Transport-Security" not in browser.get("/console/sign-in").answer.headers
    told = browser.get("/console/sign-in", base_url=PUBLIC).answer.headers["Strict-Transport-Security"]
    assert int(told.removeprefix("max-age=")) > 10_000_000


def test_while_the_store_is_away_a_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("DESK_KEY", KEY)
    url = f"sqlite:///{tmp_path}/no-schema.db"
    console = Console(tmp_path, url, 'password = "env:DESK_PASSWORD"')
    page = console.browser().get("/console/")
    assert page.status == 503
    assert "The store can't be used" in page.words
    console.wiring.store.close()


def test_a_running_server_asks_for_the_password_that_it_made_and_takes_it_at_every_receiver(tmp_path):
    served = Server(tmp_path)
    try:
        served.start()
        made = (tmp_path / "var/console.password").read_text().strip()
        with requests.Session() as browser:
            page = browser.get(f"{served.url}/console/", timeout=10).text
            token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
            given = {"csrf_token": token, "password": made}
            assert browser.post(f"{served.url}/console/sign-in", data=given, timeout=10).status_code == 200
            for _ in range(12):  # each by a connection of its own, so that both receivers are asked
                answer = requests.get(f"{served.url}/console/audit", cookies=browser.cookies, timeout=10)
                assert "<h1" in answer.text
                assert urlsplit(answer.url).path == "/console/audit"
        assert made not in served.log.read_text()
    finally:
        served.end()


# With Entra.


def through(console, entra, *, next_="/console/audit", change=None):
    """Sign in as a browser does, by way of Entra; `change` may alter what Entra sends back."""
    browser = console.browser()
    begun = browser.client.get(f"/console/entra/begin?{urlencode({'next': next_})}")
    assert begun.status_code == 302, begun.get_data(as_text=True)
    return browser, back(browser, entra, begun.headers["Location"], change=change)


def back(browser, entra, asked, *, change=None):
    del entra
    told = requests.get(asked, allow_redirects=False, timeout=10, verify=False)  # noqa: S501  (the browser's own trust)
    assert told.status_code == 302, told.text
    target = urlsplit(told.headers["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == ANSWER
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    return browser.get(f"{target.path}?{urlencode(change(query) if change else query)}")


pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (("Leadwire.Operator",), "operator"),
        (("Leadwire.Reader",), "reader"),
        (("Leadwire.Reader", "Leadwire.Operator"), "operator"),
        (("Another.Role", "Leadwire.Reader"), "reader"),
    ],
)
def test_who_has_an_app_role_comes_in_with_it_and_is_named_in_the_audit(teams, entra, roles, role):
    entra.people.roles = roles
    browser, page = through(teams, entra)
    assert (page.status, page.path) == (302, "/console/audit")
    shown = browser.get("/console/audit")
    assert shown.status == 200
    (seen,) = teams.wiring.operations.audit(action="sign-in")
    assert seen["actor"] == "console:someone@contoso.com"
    assert (Visitor(browser.client).post("/console/settings/tokens", {}).status == 403) is (role == "reader")


@pytest.mark.parametrize("roles", [(), ("leadwire.operator",), ("Another.Role",), ("Leadwire.Operator.Not",)])
def test_who_has_no_role_is_told_which_to_ask_for_and_stays_out(teams, entra, roles):
    entra.people.roles = roles
    browser, page = through(teams, entra)
    assert page.status == 403
    assert "Leadwire.Reader" in page.words
    assert browser.get("/console/leads").status == 302


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"aud": "00000000-8888-7777-6666-555555555555"}, "Begin again"),
        ({"iss": "https://login.microsoftonline.com/22222222-2222-3333-4444-555555555555/v2.0"}, "another tenant"),
        ({"exp": 1_700_000_000, "nbf": 1_699_990_000, "iat": 1_699_990_000}, "Begin again"),
        ({"nonce": "another"}, "Begin again"),
        ({"nonce": None}, "Begin again"),
        ({"aud": None}, "Begin again"),
        ({"exp": None}, "Begin again"),
    ],
)
def test_a_token_for_somebody_else_or_from_elsewhere_opens_nothing(teams, entra, claims, said):
    entra.people.claims = claims
    browser, page = through(teams, entra)
    assert page.status == 403
    assert said in page.words
    assert browser.get("/console/leads").status == 302


def test_a_token_signed_with_a_key_that_entra_does_not_publish_opens_nothing(teams, entra):
    entra.people.signed_by = 2
    browser, page = through(teams, entra)
    assert page.status == 403
    assert browser.get("/console/leads").status == 302


@pytest.mark.parametrize(
    "change",
    [
        lambda query: {**query, "state": "another"},
        lambda query: {"code": query["code"]},
        lambda query: {**query, "code": "made-up"},
        lambda _: {},
    ],
    ids=["another state", "no state", "another code", "nothing"],
)
def test_an_answer_that_does_not_belong_to_the_sign_in_opens_nothing(teams, entra, change):
    browser, page = through(teams, entra, change=change)
    assert page.status == 403
    assert browser.get("/console/leads").status == 302


def test_an_answer_without_a_sign_in_begun_here_opens_nothing_and_names_the_address_to_use(teams, entra):
    begun = teams.browser().client.get("/console/entra/begin")
    page = back(teams.browser(), entra, begun.headers["Location"])
    assert page.status == 403
    assert PUBLIC in page.words


def test_an_answer_is_good_once(teams, entra):
    seen = {}
    browser, _ = through(teams, entra, change=lambda query: seen.setdefault("query", query))
    again = browser.get(f"/console/entra/answer?{urlencode(seen['query'])}")
    assert again.status == 403


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda entra: setattr(entra.people, "refusal", 50105), "may not use the application"),
        (lambda entra: setattr(entra, "secret", "another"), "secret"),
        (lambda entra: setattr(entra, "secret_expired", True), "secret"),
    ],
    ids=["not assigned", "wrong secret", "expired secret"],
)
def test_what_entra_refuses_is_said_in_the_catalogues_words(teams, entra, prepare, words):
    prepare(entra)
    browser, page = through(teams, entra)
    assert page.status == 403
    assert words in page.words
    assert "AADSTS" not in page.words
    assert "Trace ID" not in page.source
    assert SECRET not in page.source
    assert browser.get("/console/leads").status == 302


def test_an_entra_that_does_not_answer_or_answers_nonsense_is_said_on_a_page(teams, entra):
    entra.outage = (503, {"Content-Type": "text/html"}, b"<html>try later</html>")
    page = teams.browser().get("/console/entra/begin")
    assert page.status == 503
    assert "can't be reached" in page.words
    assert "[console] authority" in page.words
    entra.outage = (200, {"Content-Type": "text/html"}, b"<html>Sign in to the guest network</html>")
    page = teams.browser().get("/console/entra/begin")
    assert page.status in (403, 503)
    assert "does not answer as one" in page.words
    entra.outage = None
    away = (503, {"Content-Type": "text/html"}, b"<html>try later</html>")
    browser, page = through(teams, entra, change=lambda query: setattr(entra, "outage", away) or query)
    assert page.status == 503
    assert browser.get("/console/leads").status == 302
    entra.stop()
    page = teams.browser().get("/console/entra/begin")
    assert page.status == 503


def test_a_page_wanted_elsewhere_is_not_gone_to_after_entra_either(teams, entra):
    _, page = through(teams, entra, next_="https://fabrikam.example/")
    assert page.path == "/console/"


def test_with_entra_the_password_opens_nothing_and_with_a_password_entra_is_not_there(teams, make):
    browser = teams.browser()
    assert browser.get("/console/sign-in").all("//input[@type='password']") == []
    assert "Sign in with Microsoft" in browser.get("/console/sign-in").words
    plain = make()
    for step in ("begin", "answer"):
        assert plain.browser().get(f"/console/entra/{step}").status == 404


@pytest.mark.parametrize("missing", ["tenant_id", "client_id", "client_secret"])
def test_entra_refuses_to_start_without_what_it_needs_and_names_it(make, missing):
    lines = ENTRA.format(tenant=TENANT, client=CLIENT).splitlines(keepends=True)
    with pytest.raises(ConfigError) as refused:
        make("".join(line for line in lines if not line.startswith(missing)))
    assert f"[console] {missing}" in str(refused.value)


@pytest.mark.parametrize("address", ["http://login.contoso.example", "https://login.contoso.example/x", ""])
def test_the_client_secret_goes_to_no_address_without_tls(make, address):
    with pytest.raises(ConfigError, match=r"\[console\] authority"):
        make(ENTRA.format(tenant=TENANT, client=CLIENT) + f'authority = "{address}"\n')


def test_a_session_through_entra_lasts_no_longer_than_that_way_of_signing_in(teams, entra, make):
    browser, _ = through(teams, entra)
    cookie = browser.client.get_cookie("leadwire", path="/console").value
    client = make().app.test_client()
    client.set_cookie("leadwire", cookie, path="/console")
    assert client.get("/console/leads").status_code == 302
    assert browser.get("/console/leads").status == 200
