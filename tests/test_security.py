"""What SECURITY.md claims has a test; and the tests of what has no other place: what goes out, what locks say."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from app import create_app
from app.destinations.base import http_session
from app.settings import load_settings
from app.web.headers import HEADERS
from tests.parts import unavailable
from tests.parts.rebinding import METADATA

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text()

# --- SECURITY.md


@cache
def named_tests(file):
    return set(re.findall(r"^ *def (test_\w+)", (ROOT / "tests" / f"{file}.py").read_text(), flags=re.MULTILINE))


def claims():
    """Every row of the tables: what is claimed, and where it is said to be tested."""
    rows = [line.strip("|").split("|") for line in SECURITY.splitlines() if line.startswith("| ")]
    return [row for row in rows if not set(row[0]) <= set(" -") and row[-1].strip() != "tested by"]


def test_every_claim_names_a_test():
    assert len(claims()) >= 20
    untested = [row[0].strip() for row in claims() if not re.search(r"`test_\w+::test_\w+`|`make \w+`", row[-1])]
    assert untested == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+::test_\w+)`", SECURITY))))
def test_every_test_that_is_named_exists(name):
    file, _, test = name.partition("::")
    assert test in named_tests(file)


# --- what goes out


@pytest.fixture
def wire():
    """A server that answers a GET with a redirect to itself, and keeps the headers that came."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append((self.path, dict(self.headers)))
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", heard
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_destination_s_session_follows_no_redirect(wire):
    host, heard = wire
    with http_session(None) as session:
        assert session.get(f"http://{host}/", allow_redirects=True).status_code == 302
    assert [path for path, _ in heard] == ["/"]


def test_names_and_passwords_of_a_netrc_go_nowhere(wire, tmp_path, monkeypatch):
    """Whatever lies in the home folder of who runs Leadwire must not take the place of a destination's token."""
    host, heard = wire
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with http_session(None) as session:
        session.get(f"http://{host}/", headers={"Authorization": "Bearer a-token"})
        session.get(f"http://{host}/")
        session.get(f"http://name:word@{host}/")
    told = [headers.get("Authorization") for _, headers in heard]
    assert told == ["Bearer a-token", None, "Basic bmFtZTp3b3Jk"]


def rebound(*addresses):
    """Post an alert to a host whose name leads to these addresses, in turn; gives what came of it."""
    module = [sys.executable, "-m", "tests.parts.rebinding", *addresses]
    unshare = shutil.which("unshare") or "unshare"
    done = subprocess.run([unshare, "-rn", *module], cwd=ROOT, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "Operation not permitted" in done.stderr:
        unavailable("a network namespace of its own", "let `unshare -rn` and `ip` work here")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("addresses", [(METADATA,), ("127.0.0.1", METADATA)])
def test_a_webhook_whose_name_leads_to_cloud_metadata_gets_nothing_not_even_when_it_does_so_after_the_check(addresses):
    assert rebound(*addresses) == ["leadwire.webhook-address-refused", "0"]


# --- what the console serves


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "a-key")

    def make(console):
        path = tmp_path / "leadwire.toml"
        path.write_text(
            f'[store]\nurl = "sqlite:///{tmp_path}/leadwire.db"\n[sources.marketplace]\nkeys = ["env:KEY"]\n'
            f"[console]\nenabled = {console}\n"
        )
        return create_app(load_settings(path)).test_client()

    return make


STYLE = "/bootstrap/static/css/bootstrap.min.css"


def test_without_a_console_none_of_its_files_is_served(client):
    paths = STYLE, "/console/", "/console/static/console.css"
    assert [client("false").get(path).status_code for path in paths] == [404, 404, 404]


def test_the_files_of_bootstrap_have_the_headers_of_a_page(client):
    with client("true").get(STYLE) as answer:
        assert answer.status_code == 200
        assert HEADERS.items() <= dict(answer.headers).items()


# --- what it is made of


def test_every_exception_from_the_security_rules_of_the_linter_is_argued_beside_it():
    lines = [
        (path.relative_to(ROOT).as_posix(), line.strip())
        for folder in ("app", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"# noqa: [A-Z0-9, ]*\bS\d{3}", line)
    ]
    assert lines
    assert [one for one in lines if not re.search(r"# noqa: [A-Z0-9, ]+ +\(\S+.*\)$", one[1])] == []


def test_every_locked_package_has_a_hash_and_no_lock_names_an_index():
    for name in ("runtime", "dev", "fuzz"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        packages = [block for block in re.split(r"\n(?=\S)", text) if "==" in block]
        assert packages
        assert [block for block in packages if "--hash=sha256:" not in block] == []
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_the_bill_of_materials_lists_what_the_lock_has_and_names_no_index(tmp_path):
    made = tmp_path / "sbom.json"
    script = ROOT / "scripts/sbom.py"
    subprocess.run([sys.executable, script, made], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(made.read_text())
    locked = re.findall(r"^([a-z0-9._-]+)==([^ \\;]+)", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)
    assert bill["bomFormat"] == "CycloneDX"
    assert {(one["name"], one["version"]) for one in bill["components"]} == set(locked)
    assert all(one["hashes"] for one in bill["components"])
    assert re.findall(r'"([^"]*://[^"]*)"', made.read_text()) == [bill["$schema"]]
