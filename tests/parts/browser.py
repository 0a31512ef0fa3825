"""A real browser: Debian's Chromium, driven by Playwright. Playwright's own browsers are never downloaded.

Tests that use it share one group (`pytestmark = browser.MARK`), so that one test process alone starts it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.parts import unavailable
from tests.parts.arrivals import rows

READER = "console:someone@contoso.com"
MARK = pytest.mark.xdist_group("browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 15_000
# Every page, by what it is called here; ids are filled in from the seeded store.
PAGES = {
    "overview": "/console/",
    "problems": "/console/problems",
    "problem history": "/console/problems/history",
    "leads": "/console/leads",
    "leads, none": "/console/leads?state=dead&destination=table",
    "lead": "/console/leads/{lead}",
    "lead, dead": "/console/leads/{dead}",
    "lead, hostile": "/console/leads/{hostile}",
    "test leads": "/console/test-leads",
    "test lead followed": "/console/test-leads?lead={test}",
    "quarantine": "/console/quarantine",
    "quarantined": "/console/quarantine/{body}",
    "explain": "/console/explain",
    "settings": "/console/settings",
    "audit": "/console/audit",
    "nothing": "/console/nothing-here",
}
IDS = {
    "lead": "SELECT id FROM receipts WHERE status = 'accepted' AND NOT test ORDER BY id LIMIT 1",
    "dead": "SELECT receipt_id FROM deliveries WHERE state = 'dead' ORDER BY receipt_id LIMIT 1",
    "test": "SELECT id FROM receipts WHERE status = 'accepted' AND test ORDER BY id DESC LIMIT 1",
    "body": "SELECT id FROM quarantine WHERE sealed IS NOT NULL ORDER BY id DESC LIMIT 1",
}


def executable():
    """Where Debian's Chromium is; None where it isn't."""
    found = Path("/usr/bin/chromium")
    return str(found) if found.exists() else shutil.which("chromium")


@dataclass
class Visit:
    """One person with a browser of their own: the page they look at, and whatever it complained about."""

    context: object
    page: object
    origin: str
    faults: list[str] = field(default_factory=list)  # console errors, exceptions, refusals of the policy
    foreign: list[str] = field(default_factory=list)  # requests to anybody but the server

    def open(self, path):
        """Go to a path of the server; gives the answer."""
        return self.page.goto(self.origin + path)

    def sign_in(self, password, *, then="/console/"):
        """Sign in as the operator does."""
        self.open(then)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.origin}{then}")

    def path(self):
        """What the address bar shows after the server's name."""
        return self.page.url.removeprefix(self.origin)

    def _listen(self):
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)

    def _asked(self, request):
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob", "about"} and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.foreign.append(request.url)


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium with a new profile, one a module: Playwright's event loop must not outlive its tests."""
    path = executable()
    if path is None:
        unavailable("Chromium", "install Debian's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def visitor(chromium):
    """Give people their browsers: `visitor(origin, theme="dark", size=PHONE, scripts=False)`; all close at the end."""
    opened = []

    def come(origin, *, theme="light", size=DESKTOP, scripts=True, **more):
        context = chromium.new_context(
            viewport=size,
            color_scheme=theme,
            java_script_enabled=scripts,
            locale="en-GB",
            reduced_motion="reduce",
            **{"timezone_id": "Europe/Berlin", **more},
        )
        context.set_default_timeout(PATIENCE_MS)
        opened.append(context)
        visit = Visit(context, context.new_page(), origin)
        visit._listen()
        return visit

    yield come
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def seeded_console(tmp_path_factory):
    """A server over a store with thousands of leads and three open problems; no worker sets about them."""
    from scripts.seed import seeded

    server = seeded(tmp_path_factory.mktemp("seeded"), leads=3000, days=30)
    server.start("--no-worker")
    with contextlib.closing(sqlite3.connect(server.folder / "var/leadwire.db")) as store:
        ids = {name: store.execute(query).fetchone()[0] for name, query in IDS.items()}
    ids["hostile"] = _first_of(server, "<script>")
    server.pages = {name: path.format(**ids) for name, path in PAGES.items()}
    yield server
    server.end()


def _first_of(server, text):
    """The id of the first lead that has a text in it."""
    from app.store import open_store
    from app.store.tables import receipts

    store = open_store(f"sqlite:///{server.folder}/var/leadwire.db")
    try:
        return next(row["id"] for row in rows(store, receipts) if text in (row["lead"] or ""))
    finally:
        store.close()


def password_of(server):
    """Give the password that the first start made."""
    return (server.folder / "var/console.password").read_text().strip()


def reader_cookie(server):
    """Give the cookie of a reader, such as Entra's sign-in gives one."""
    from flask import Flask
    from flask.sessions import SecureCookieSessionInterface

    from app.access import Access
    from app.store import open_store
    from app.wiring import utc_now

    store = open_store(f"sqlite:///{server.folder}/var/leadwire.db")
    access = Access(store, None, utc_now)
    app = Flask("reader")
    app.secret_key = access.cookie_key()
    key = access.open_session(READER, "reader")
    store.close()
    value = SecureCookieSessionInterface().get_signing_serializer(app).dumps({"key": key})
    return {"name": "leadwire", "value": value, "domain": "127.0.0.1", "path": "/console"}
