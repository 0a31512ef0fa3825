"""The configuration file: what is wrong is said so that it can be mended, and no secret is ever shown."""

import os
import re
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from marshmallow import ValidationError, fields

from app.settings import (
    ConfigError,
    Secret,
    config_error,
    find_config,
    issue_secrets,
    load_settings,
    new_key,
)
from app.settings.schema import SettingsSchema
from app.settings.secret import read_secret, write_secret

SHIPPED = Path(__file__).parent.parent / "config" / "leadwire.toml"
CANARY = "hunter2"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder to start in, with the key files that the defaults name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADWIRE_CONFIG", raising=False)
    write_secret(Path("var/marketplace.key"), "a-key")
    write_secret(Path("var/console.password"), "a-password")
    return tmp_path


def load(text: str):
    Path("leadwire.toml").write_text(text, "utf-8")
    return load_settings(Path("leadwire.toml"))


def fresh(url: str, password: Secret | None) -> bool:
    """The answer of a store that has taken nothing yet."""
    del url, password
    return True


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def test_without_a_file_the_defaults_of_the_contract_hold():
    found = load_settings(None)
    assert found.server.address == ("127.0.0.1", 8080)
    assert (found.server.workers, found.server.max_body_bytes, found.server.trusted_proxies) == (2, 65536, 0)
    assert found.server.public_url == "http://127.0.0.1:8080"
    assert found.store.url == "sqlite:///var/leadwire.db"
    assert (found.privacy.withhold_domains, found.privacy.edu_action) == (("edu",), "withhold")
    assert (found.duplicates.window_hours, found.test_leads.deliver, found.test_leads.keep_days) == (24, True, 7)
    assert [str(wait) for wait in found.delivery.schedule[:3]] == ["0:00:00", "0:00:05", "0:05:00"]
    assert (len(found.delivery.schedule), found.delivery.schedule[-1]) == (10, timedelta(hours=24))
    retention = found.retention
    assert (retention.leads_days, retention.quarantine_days, retention.attempts_days) == (180, 30, 180)
    assert found.destinations == {"archive": {"type": "file", "path": "var/leads.jsonl"}}
    assert found.sources["marketplace"].destinations == ("archive",)
    assert found.sources["marketplace"].keys[0].reveal() == "a-key"
    assert (found.console.enabled, found.console.sign_in, found.where) == (True, "password", "the built-in defaults")


def test_an_empty_file_is_the_defaults_and_may_begin_with_a_byte_order_mark():
    assert load("\ufeff# nothing\n").destinations == load_settings(None).destinations


def test_everything_given_is_taken(monkeypatch):
    monkeypatch.setenv("KEY_A", "a")
    monkeypatch.setenv("KEY_B", "b")
    found = load("""
        [server]
        bind = "[::1]:9000"
        public_url = "https://leads.contoso.example/"
        [duplicates]
        window_hours = 0.5
        [test_leads]
        destinations = "table"
        [alerts]
        to = []
        [console]
        enabled = false
        [sources.one]
        keys = ["env:KEY_A", "env:KEY_B"]
        destinations = "table"
        [[routes]]
        when = { offer = "contoso.*", action = ["INS", "PLT"], source = "one", test = false }
        to = ["table"]
        [destinations.table]
        type = "azure_table"
        connection_string = "env:AZURE"
        """)
    assert found.server.address == ("::1", 9000)
    assert found.server.public_url == "https://leads.contoso.example"
    assert [key.reveal() for key in found.sources["one"].keys] == ["a", "b"]
    assert (found.test_leads.destinations, found.alerts.to, found.console.password) == (("table",), (), None)
    route = found.routes[0]
    assert (route.offer, route.action, route.source, route.test, route.to) == (
        ("contoso.*",),
        ("INS", "PLT"),
        ("one",),
        False,
        ("table",),
    )
    assert found.destinations["table"]["connection_string"] == "env:AZURE"


@pytest.mark.parametrize(
    ("text", "key", "found", "allowed"),
    [
        ("[server]\nworkers = 0", "[server] workers", "found 0", "from 1 to 64"),
        ("[server]\nworkers = true", "[server] workers", "found True", "whole number"),
        ("[server]\nworkers = 2.0", "[server] workers", "found 2.0", "whole number"),
        ('[server]\nworkers = "2"', "[server] workers", "found '2'", "whole number"),
        ("[server]\nmax_body_bytes = 10", "[server] max_body_bytes", "found 10", "1024"),
        ("[server]\ntrusted_proxies = -1", "[server] trusted_proxies", "found -1", "from 0"),
        ('[server]\nbind = "8080"', "[server] bind", "found '8080'", "127.0.0.1:8080"),
        ('[server]\nbind = ":8080"', "[server] bind", "found ':8080'", "127.0.0.1:8080"),
        ('[server]\nbind = "a:65536"', "[server] bind", "65536", "127.0.0.1:8080"),
        ('[server]\nbind = "a:²"', "[server] bind", "found", "127.0.0.1:8080"),
        ('[server]\nbind = "http://127.0.0.1:8080"', "[server] bind", "found", "127.0.0.1:8080"),
        ('[server]\nbind = " a:8080"', "[server] bind", "found", "127.0.0.1:8080"),
        ("[server]\nbind = 8080", "[server] bind", "found 8080", "127.0.0.1:8080"),
        ('[server]\npublic_url = "leads.contoso.example"', "[server] public_url", "leads.contoso", "https://"),
        ('[server]\npublic_url = "https://[x"', "[server] public_url", "found", "https://"),
        ('[server]\npublic_url = "https://a b"', "[server] public_url", "found", "https://"),
        ('[server]\npublic_url = "https://"', "[server] public_url", "found", "https://"),
        ("server = 5", "server", "found 5", ""),
        ('[store]\nurl = "mysql://h/db"', "[store] url", "mysql", "postgresql://"),
        ('[store]\nurl = "sqlite://"', "[store] url", "sqlite://", "sqlite:///PATH"),
        ('[store]\nurl = "sqlite://var/x.db"', "[store] url", "sqlite://var", "sqlite:///PATH"),
        ('[store]\nurl = "sqlite:///~/leadwire.db"', "[store] url", "~", "is not expanded"),
        ('[store]\nurl = "sqlite:///."', "[store] url", "sqlite:///.", "sqlite:///PATH"),
        ('[store]\nurl = "sqlite:///:memory:"', "[store] url", "memory", "sqlite:///PATH"),
        ('[store]\nurl = "postgresql://[h/db"', "[store] url", "found", "postgresql://"),
        ('[store]\nurl = "postgresql://h:x/db"', "[store] url", "found", "postgresql://"),
        ('[privacy]\nwithhold_domains = "edu"', "[privacy] withhold_domains", "found 'edu'", "a list of domains"),
        ('[privacy]\nwithhold_domains = ["a", "*.edu"]', "[privacy] withhold_domains #2", "*.edu", "all below"),
        ('[privacy]\nwithhold_domains = ["."]', "[privacy] withhold_domains #1", "found '.'", "a domain"),
        ('[privacy]\nedu_action = "Deliver"', "[privacy] edu_action", "'Deliver'", '"withhold" or "deliver"'),
        ("[duplicates]\nwindow_hours = nan", "[duplicates] window_hours", "found nan", "number from 0"),
        ("[duplicates]\nwindow_hours = inf", "[duplicates] window_hours", "found inf", "number from 0"),
        ('[duplicates]\nwindow_hours = "24"', "[duplicates] window_hours", "found '24'", "number from 0"),
        ("[test_leads]\ndeliver = 1", "[test_leads] deliver", "found 1", "true or false"),
        ('[test_leads]\ndeliver = "no"', "[test_leads] deliver", "found 'no'", "true or false"),
        ("[test_leads]\ndestinations = []", "[test_leads] destinations", "found []", "a text or a list"),
        ("[delivery]\nschedule = []", "[delivery] schedule", "found []", "a list of waits"),
        ('[delivery]\nschedule = ["5"]', "[delivery] schedule #1", "found '5'", '"30m"'),
        ('[delivery]\nschedule = ["٥s"]', "[delivery] schedule #1", "found", '"30m"'),  # noqa: RUF001  (an Arabic five)
        ('[delivery]\nschedule = ["999999d"]', "[delivery] schedule #1", "found '999999d'", 'up to "3650d"'),
        ("[delivery]\nlease_seconds = 4", "[delivery] lease_seconds", "found 4", "from 5"),
        ("[retention]\nleads_days = 0", "[retention] leads_days", "found 0", "from 1"),
        ('[console]\nsign_in = "sso"', "[console] sign_in", "found 'sso'", '"entra"'),
        ("[console]\ntenant_id = 5", "[console] tenant_id", "found 5", "a text"),
        ("[sources]", "sources", "found a table", "at least one, such as [sources.marketplace]"),
        ("[destinations]", "destinations", "found a table", "at least one, such as [destinations.archive]"),
        ("[[sources]]\na = 1", "sources", "found a list", "allowed: a table"),
        ("[sources.a]\nkeys = []", "[sources.a] keys", "found an empty list", '"env:NAME"'),
        ("[sources.a]\nkeys = 5", "[sources.a] keys", "found something else", '"env:NAME"'),
        ("[sources.a-b]\ndestinations = []", "[sources.a-b] destinations", "found []", "a text or a list"),
        ('[sources."a/../b"]\nx = 1', "[sources] a/../b", "this name", "63 letters"),
        ('[destinations."a b"]\ntype = "file"', "[destinations] a b", "this name", "63 letters"),
        ("[[routes]]\nwhen = {}", "[routes #1] to", "missing", ""),
        ("[[routes]]\nto = [5]", "[routes #1] to", "found [5]", "a list of texts"),
        (
            '[[routes]]\nto = "archive"\nwhen = { test = "yes" }',
            "[routes #1.when] test",
            "found 'yes'",
            "true or false",
        ),
        ('[[routes]]\nto = "crm"', "[routes #1] to", "found 'crm'", "(archive)"),
        ('[[routes]]\nto = "archive"\nwhen = {source = "x"}', "[routes #1.when] source", "found 'x'", "(marketplace)"),
        ('[alerts]\nvia = "crm"', "[alerts] via", "found 'crm'", "(archive)"),
        ('[sources.marketplace]\ndestinations = ["crm"]', "[sources.marketplace] destinations", "'crm'", "(archive)"),
        ('[test_leads]\ndestinations = ["crm"]', "[test_leads] destinations", "'crm'", "(archive)"),
    ],
)
def test_a_fault_names_file_key_what_was_found_and_what_is_allowed(text, key, found, allowed):
    lines = [line for line in faults(text) if line.startswith(f"leadwire.toml: {key}: ")]
    assert lines, faults(text)
    assert found in lines[0]
    assert allowed in lines[0]


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[server]\nport = 1", "[server] port", "allowed here: bind, workers"),
        ("[server]\nworker = 1", "[server] worker", "did you mean workers?"),
        ("[sever]\nworkers = 1", "sever", "did you mean server?"),
        ('[sources.marketplace]\nkey = "env:X"', "[sources.marketplace] key", "did you mean keys?"),
        ('[[routes]]\nto = "archive"\nwhen = { offers = "x" }', "[routes #1.when] offers", "did you mean offer?"),
    ],
)
def test_an_unknown_setting_says_what_may_have_been_meant(text, key, hint):
    (line,) = faults(text)
    assert line.startswith(f"leadwire.toml: {key}: unknown setting")
    assert hint in line


def test_all_faults_are_told_at_once():
    assert len(faults('[server]\nworkers = 0\nport = 1\n[store]\nurl = "x"')) == 3


WRONG = ["5", '"x"', "[1]", '["x"]', "[[1]]", "{ x = 1 }", "true", "2020-01-01", "nan"]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    "before", [*(f"{name} = " for name in SettingsSchema().fields), "[server]\nworkers = ", "[console]\npassword = "]
)
def test_values_of_any_wrong_kind_are_faults_and_no_crash(before, value):
    if (before, value) != ("[server]\nworkers = ", "5"):
        assert faults(before + value)
        issue_secrets(Path("leadwire.toml"), is_fresh=fresh)


@pytest.mark.parametrize(
    "text",
    [
        '[console]\npassword = "hunter2"',
        '[console]\npasword = "hunter2"',
        '[console]\npassword = ["hunter2"]',
        '[console]\npassword = { text = "hunter2" }',
        '[consol]\npassword = "hunter2"',
        'console = "hunter2"',
        '[[console]]\npassword = "hunter2"',
        '[sources.marketplace]\nkeys = "hunter2"',
        '[sources.marketplace]\nkeys = ["hunter2"]',
        '[sources.marketplace]\nkeys = ["env:hunter"]\nkey = "hunter2"',
        '[sources]\nmarketplace = "hunter2"',
        'sources = ["hunter2"]',
        '[[destinations]]\ntype = "email"\npassword = "hunter2"',
        '[destinations]\nmail = "hunter2"',
        'destinations = "hunter2"',
        '[store]\npassword = "hunter2"',
        '[store]\nurl = "postgresql://user:hunter2@host/db"',
        '[store]\nurl = "postgresql://user:a@hunter2@host/db"',
        '[store]\nurl = "postgresql://user:a/hunter2@host/db"',
        '[store]\nurl = "postgresql://:hunter2@[/db"',
        '[store]\nurl = "postgresql://host/db?user=x&password=hunter2"',
        '[store]\nurl = "mysql://user:hunter2@host/db"',
        '[server]\npublic_url = "ftp://user:hunter2@host"',
        '[server]\npublic_url = "https://user:hunter2@host"',
        '[server]\npublic_url = "https://host/leads?code=x&key=hunter2"',
        '[server]\nbind = { password = "hunter2" }',
        '[[routes]]\nto = [{ password = "hunter2" }]',
        '[console]\npassword = "hunter2',
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_shown(text):
    assert CANARY not in "\n".join(faults(text))


def test_settings_can_be_printed_without_a_secret(monkeypatch):
    monkeypatch.setenv("DB", CANARY)
    found = load('[store]\nurl = "postgresql://u@h/d"\npassword = "env:DB"')
    secret = found.store.password
    assert secret is not None
    assert secret.reveal() == CANARY
    shown = f"{found} {found!r} {secret} {secret!r} {[secret]} {found.store}"
    assert CANARY not in shown
    assert "a-key" not in shown
    assert "env:DB" in shown


def test_a_secret_comes_from_the_environment_or_a_file(place, monkeypatch):
    monkeypatch.setenv("NAME", CANARY)
    (place / "file").write_text(f"\ufeff{CANARY}\r\n", "utf-8")
    assert read_secret("env:NAME").reveal() == CANARY
    assert read_secret("file:file").reveal() == CANARY
    assert read_secret(f"file:{place}/file").reference == f"file:{place}/file"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:MISSING", "MISSING is not set or empty"),
        ("env:", "never written here"),
        ("file:", "never written here"),
        ("ENV:NAME", "never written here"),
        ("hunter2", "never written here"),
        (5, "never written here"),
        ("file:missing", "file missing can't be read: No such file"),
        ("file:.", "can't be read"),
        ("file:binary", "can't be read: UnicodeDecodeError"),
        ("file:empty", "file empty is empty"),
        ("file:a\0b", "can't be read"),
        ("file:~/key", "not expanded"),
    ],
)
def test_a_secret_that_is_not_there_says_why(place, reference, says):
    (place / "binary").write_bytes(b"\xff\xfe\xff")
    (place / "empty").write_text(" \n")
    with pytest.raises(ValidationError) as caught:
        read_secret(reference)
    assert says in str(caught.value)
    assert CANARY not in str(caught.value)


def test_two_keys_in_one_file_are_refused(place):
    (place / "both.key").write_text(f"{CANARY}\nanother\n")
    (line,) = faults('[sources.a]\nkeys = ["file:both.key"]')
    assert line.startswith("leadwire.toml: [sources.a] keys #1: what file:both.key holds has white space in it")
    assert CANARY not in line


def test_two_sources_cannot_share_a_key(monkeypatch):
    monkeypatch.setenv("SHARED", CANARY)
    lines = faults('[sources.a]\nkeys = ["env:SHARED"]\n[sources.b]\nkeys = ["env:SHARED"]')
    assert lines == ["leadwire.toml: [sources.b] keys: found a key that [sources.a] has too; allowed: a key of its own"]


@pytest.mark.parametrize("content", [b"[server", b"\xff\xfe", b"a = 1\na = 2", b"x"])
def test_a_file_that_is_not_toml_is_named(content):
    Path("bad.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^bad\.toml: not valid TOML: "):
        load_settings(Path("bad.toml"))


def test_another_encoding_is_told_with_its_line():
    Path("bad.toml").write_bytes("[server]\n# für\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^bad\.toml: not valid TOML: line 2 is not UTF-8; save the file"):
        load_settings(Path("bad.toml"))


def test_a_missing_file_is_named_with_the_way_out():
    with pytest.raises(ConfigError, match=r"^nowhere\.toml: .*can't be read.*--config FILE"):
        load_settings(Path("nowhere.toml"))


def test_which_file_counts(monkeypatch):
    assert find_config(None) is None
    Path("config").mkdir()
    Path("config/leadwire.toml").touch()
    assert find_config(None) == Path("config/leadwire.toml")
    monkeypatch.setenv("LEADWIRE_CONFIG", "missing.toml")
    assert find_config(None) == Path("missing.toml"), "a wrong name must not fall back to another file in silence"
    assert find_config("given.toml") == Path("given.toml")
    monkeypatch.setenv("LEADWIRE_CONFIG", "")
    assert find_config(None) == Path("config/leadwire.toml")


def test_the_first_start_makes_what_is_missing_for_the_owner_only(place):
    for path in place.glob("var/*"):
        path.unlink()
    old = os.umask(0)
    try:
        made = issue_secrets(None, is_fresh=fresh)
    finally:
        os.umask(old)
    assert made == [Path("var/marketplace.key"), Path("var/console.password")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o600, 0o600]
    keys = [path.read_text().strip() for path in made]
    assert len(set(keys)) == 2
    assert all(re.fullmatch(r"[\w-]{43}", key) for key in keys)
    assert issue_secrets(None, is_fresh=fresh) == []
    assert [path.read_text().strip() for path in made] == keys
    assert load_settings(None).sources["marketplace"].keys[0].reveal() == keys[0]


def test_a_lost_key_is_not_replaced_once_there_are_leads_but_a_lost_password_is():
    Path("var/marketplace.key").unlink()
    Path("var/console.password").unlink()
    assert issue_secrets(None, is_fresh=lambda *_: False) == [Path("var/console.password")]
    assert not Path("var/marketplace.key").exists()


@pytest.mark.parametrize("target", ["nowhere", "existing"])
def test_a_link_is_never_written_through(target):
    Path("existing").write_text("precious")
    Path("var/marketplace.key").unlink()
    Path("var/marketplace.key").symlink_to(Path(target).absolute())
    assert issue_secrets(None, is_fresh=fresh) == []
    assert Path("existing").read_text() == "precious"
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    "text",
    [
        '[store]\nurl = "postgresql://u@h/d"\npassword = "file:new"\n[sources.a]\nkeys = ["file:new2"]',
        '[console]\nenabled = false\n[sources.a]\nkeys = ["env:NEW"]',
        '[store]\npassword = "file:new"',
    ],
)
def test_nothing_else_is_made(text):
    Path("leadwire.toml").write_text(text)
    assert issue_secrets(Path("leadwire.toml"), is_fresh=fresh) == []
    assert not list(Path().glob("new*"))


def test_the_store_is_asked_with_its_own_url_and_password(monkeypatch):
    monkeypatch.setenv("DB", CANARY)
    Path("leadwire.toml").write_text(
        '[store]\nurl = "postgresql://u@h/d"\npassword = "env:DB"\n[sources.a]\nkeys = ["file:var/a.key"]'
    )
    asked = []

    def is_fresh(url: str, password: Secret | None) -> bool:
        asked.append((url, password.reveal() if password else None))
        return True

    assert issue_secrets(Path("leadwire.toml"), is_fresh=is_fresh) == [Path("var/a.key")]
    assert asked == [("postgresql://u@h/d", CANARY)]


def test_a_written_secret_is_never_overwritten():
    with pytest.raises(FileExistsError):
        write_secret(Path("var/marketplace.key"), "another")
    assert Path("var/marketplace.key").read_text() == "a-key\n"
    assert new_key() != new_key()


def test_destinations_own_schemas_are_told_in_the_same_words():
    schema = SettingsSchema.from_dict({"host": fields.String(required=True), "port": fields.Integer(strict=True)})()
    document = {"port": "smtp", "hots": CANARY, "destinations": {}, "sources": {}}
    with pytest.raises(ValidationError) as caught:
        schema.load(document)
    lines = str(config_error(Path("f"), caught.value, document, schema, under=("destinations", "m"))).splitlines()
    assert "f: [destinations.m] host: missing; it has to be given" in lines
    assert any(line.startswith("f: [destinations.m] hots: unknown setting (did you mean host?)") for line in lines)
    assert any(line.startswith("f: [destinations.m] port: found 'smtp'; ") for line in lines)
    assert CANARY not in "\n".join(lines)


def test_the_shipped_file_loads_and_names_every_setting():
    text = SHIPPED.read_text("utf-8")
    if not text.strip():
        pytest.skip("config/leadwire.toml has nothing in it yet")
    assert load(text).sources["marketplace"].keys[0].reveal() == "a-key"
    missing = []
    for section, one in SettingsSchema().fields.items():
        if isinstance(one, fields.Nested):
            start = text.index(f"\n[{section}]")
            table = text[start : text.find("\n[", start + 2)]
            missing += [
                f"{section}.{key}" for key in one.schema.fields if not re.search(rf"(?m)^(# ?)?{key} = ", table)
            ]
    assert missing == []
    for words in ("keys = ", "[[routes]]", "offer = ", "action = ", "source = ", "test = ", "to = ", "[destinations."):
        assert words in text


def test_a_secret_shows_only_where_it_is():
    assert repr(Secret(CANARY, reference="env:X")) == "<secret env:X>"
