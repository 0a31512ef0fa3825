"""The console over a store of its own, without a browser: people who are signed in, and the pages they see."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import lxml.html
import pytest
import sqlalchemy as sa

from app.settings import load_settings
from app.web import make_app
from app.wiring import Wiring
from tests.parts.arrivals import NOW

PASSWORD = "a password for tests"
KEY = "a-key-for-tests"


class Page:
    """An answer as its reader sees it."""

    def __init__(self, answer):
        self.answer = answer
        self.status = answer.status_code
        self.source = answer.get_data(as_text=True)
        self.root = lxml.html.fromstring(self.source) if self.source.strip().startswith("<") else None

    @property
    def words(self):
        """Everything that can be read on it, with single spaces."""
        main = self.root.find(".//main")
        body = main if main is not None else self.root.find("body")
        return " ".join(body.text_content().split())

    @property
    def path(self):
        """Where it leads to."""
        to = urlsplit(self.answer.headers["Location"])
        return f"{to.path}?{to.query}" if to.query else to.path

    def all(self, xpath):
        return self.root.xpath(xpath)

    def one(self, xpath):
        found = self.root.xpath(xpath)
        assert len(found) == 1, (xpath, len(found))
        return found[0]

    def read(self, xpath):
        """What can be read in each element found."""
        return [" ".join(one.text_content().split()) for one in self.root.xpath(xpath)]

    def buttons(self):
        """The names of what can be pressed in the page's own part."""
        return self.read("//main//button | //main//summary")


class Visitor:
    """Somebody who is signed in."""

    def __init__(self, client):
        self.client = client

    def get(self, path, **more):
        return Page(self.client.get(path, **more))

    def post(self, path, data=None, *, follow=False):
        token = self.get("/console/leads").one('(//input[@name="csrf_token"])[1]').get("value")
        answer = self.client.post(path, data={"csrf_token": token, **(data or {})})
        return self.get(Page(answer).path) if follow and answer.status_code in (302, 303) else Page(answer)


def _sit_down(client, cookie):
    with client.session_transaction("/console/") as session:
        session["key"] = cookie


class Desk:
    """One Leadwire with its console: destinations `table` and `crm` are files."""

    def __init__(self, folder, url, more=""):
        self.folder = folder
        self.moment = datetime.fromtimestamp(NOW / 1000, UTC)
        config = folder / "leadwire.toml"
        config.write_text(
            f'[store]\nurl = "{url}"\n[console]\npassword = "env:DESK_PASSWORD"\n'
            '[sources.marketplace]\nkeys = ["env:DESK_KEY"]\ndestinations = ["table"]\n'
            f'[destinations.table]\ntype = "file"\npath = "{folder}/leads.jsonl"\n'
            f'[destinations.crm]\ntype = "file"\npath = "{folder}/crm.jsonl"\n{more}'
        )
        self.wiring = Wiring.of(load_settings(config), now=lambda: self.moment)
        self.store = self.wiring.store
        self.operations = self.wiring.operations
        self.app = make_app(self.wiring)

    def later(self, **span):
        self.moment += timedelta(**span)

    def operator(self):
        """Sign in with the password, as people do."""
        client = self.app.test_client()
        page = Page(client.get("/console/sign-in"))
        token = page.one('(//input[@name="csrf_token"])[1]').get("value")
        answer = client.post("/console/sign-in", data={"csrf_token": token, "password": PASSWORD})
        assert answer.status_code in (302, 303), answer.status_code
        return Visitor(client)

    def reader(self):
        """Be signed in as a reader; only Entra says that somebody is one, so its last step is taken here."""
        client = self.app.test_client()
        _sit_down(client, self.wiring.access.open_session("console:reader@contoso.com", "reader"))
        return Visitor(client)

    def send(self, body, *, content_type="application/json"):
        """Post to /leads as a sender does; gives the answer's document."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.app.test_client().post(f"/leads?code={KEY}", data=data, content_type=content_type)
        return answer.get_json(force=True)

    def audited(self, action=None):
        """Action and target of everything in the audit, the latest first."""
        rows = self.operations.audit(action=action)
        return [(row["action"], row["target"], row["actor"]) for row in rows if row["action"] != "sign-in"]


@pytest.fixture
def desk(tmp_path, sqlite_url, monkeypatch):
    """A console on SQLite; what the pages ask of the store is tested on both databases where it is written."""
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("DESK_KEY", KEY)
    made = Desk(tmp_path, sqlite_url)
    yield made
    made.store.close()


@pytest.fixture
def queries(desk):
    """Count the statements that something makes."""

    def count(act):
        seen = []
        listen = lambda *told: seen.append(told[2])  # noqa: E731
        sa.event.listen(desk.store.engine, "before_cursor_execute", listen)
        act()
        sa.event.remove(desk.store.engine, "before_cursor_execute", listen)
        return len(seen)

    return count


def numbers(page):
    """The numbers of the leads that a list shows, in its order (see `id_of`)."""
    ids = re.findall(r"/(?:leads|quarantine)/([0-9a-f]{8})-0000-7000-8000-000000000000\"", page.source)
    return list(dict.fromkeys(int(one, 16) for one in ids))
