"""Console, command line and API are three faces of the same operations: what one does, the others do as well."""

import ast
import inspect
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from string import Template

import pytest
from click.testing import CliRunner

from app.cli import Context
from app.lead import Lead
from app.operations import Operations
from app.store.acts import Who
from app.store.desk import checks, problems
from app.store.problems import Evidence, ProblemLog
from app.store.tables import audit, deliveries, lanes, quarantine, receipts
from tests.parts.arrivals import DAY, NOW, arrival, dead, id_of, keep, result, rows, settle, unreadable
from tests.parts.commands import commands
from tests.parts.desk import KEY, PASSWORD, Desk

ROOT = Path(__file__).parents[1]
FACES = {"command line": "app/cli", "console": "app/web/console", "API": "app/web/api"}
# What a face has no use for, and why.
EXCEPT = {
    ("figures", "console"): "numbers for machines; people get the overview",
    ("figures", "API"): "/metrics has them",
    ("worker_silent_for", "API"): "part of the overview",
    ("destinations", "console"): "part of the overview",
    ("destinations", "command line"): "part of the overview",
    ("quarantined_count", "command line"): "part of the overview",
    ("quarantined_count", "API"): "part of the overview",
    ("problem_count", "command line"): "part of the overview",
    ("problem_count", "API"): "part of the overview",
    ("reconcile", "console"): "its answer is line numbers of a file that lies beside the command line",
    ("explain", "command line"): "asks the catalogue itself: an error is explained where no configuration is, too",
}
LEAD = '{"UserDetails": {"FirstName": "Some", "LastName": "One", "Email": "someone@contoso.com"}, "LeadSource": "x"}'
OFFERED = Lead(first_name="Some", last_name="One", email="someone@contoso.com", offer_title="Contoso Test")
CODE = "azure_table.entity-too-large"
WHY = {"why": "asked to"}


def verbs():
    found = inspect.getmembers(Operations, inspect.isfunction)
    return sorted(name for name, _ in found if not name.startswith("_"))


def used(folder):
    """Every verb that the modules of a face take from operations, however those are at hand there."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value).removesuffix("()").endswith("operations"):
                names.add(node.attr)
    return names & set(verbs())


@pytest.mark.parametrize("face", FACES)
def test_every_verb_is_in_every_face_but_for_what_is_argued(face):
    missing = {verb for verb in verbs() if verb not in used(FACES[face])}
    assert missing == {verb for verb, without in EXCEPT if without == face}


@dataclass(frozen=True)
class Act:
    """The same thing done by each face: the command's words, the API's request, the console's form."""

    command: tuple[str, ...]
    api: tuple[str, str, object]
    form: tuple[str, dict[str, str]]
    text: str | None = None  # what the command reads


ACTS = {
    "replay": Act(
        ("replay", "$dead", "--why", "asked to"),
        ("POST", "/deliveries/replay", {"ids": ["$dead"], **WHY}),
        ("/leads/$dead/replay", WHY),
    ),
    "replay what a problem holds": Act(
        ("replay", "--destination", "table", "--code", CODE),
        ("POST", "/deliveries/replay", {"destination": "table", "code": CODE}),
        ("/problems/replay", {"destination": "table", "code": CODE}),
    ),
    "deliver elsewhere too": Act(
        ("replay", "$nowhere", "--destination", "crm", "--why", "asked to"),
        ("POST", "/deliveries/replay", {"ids": ["$nowhere"], "destination": "crm", **WHY}),
        ("/leads/$nowhere/deliver", {"destination": "crm", **WHY}),
    ),
    "discard": Act(
        ("discard", "$due", "--yes", "--why", "asked to"),
        ("POST", "/deliveries/discard", {"ids": ["$due"], **WHY}),
        ("/leads/$due/discard", WHY),
    ),
    "discard a body": Act(
        ("discard", "$broken", "--yes", "--why", "asked to"),
        ("POST", "/quarantine/$broken/discard", WHY),
        ("/quarantine/$broken/discard", WHY),
    ),
    "acknowledge": Act(
        ("acknowledge", "$problem", "--note", "the CRM team knows"),
        ("POST", "/problems/$problem/acknowledge", {"note": "the CRM team knows"}),
        ("/problems/$problem/acknowledge", {"note": "the CRM team knows"}),
    ),
    "tick": Act(
        ("tick", "$problem", "1"),
        ("PUT", "/problems/$problem/steps/1", {"done": True}),
        ("/problems/$problem/steps", {"step": "1", "done": "yes"}),
    ),
    "check": Act(
        ("check", "--destination", "crm"),
        ("POST", "/destinations/crm/check", {}),
        ("/problems/check", {"destination": "crm"}),
    ),
    "reveal": Act(("show", "$due"), ("POST", "/leads/$due/reveal", {}), ("/leads/$due/reveal", {})),
    "show a body": Act(
        ("quarantine", "$broken"), ("GET", "/quarantine/$broken/body", None), ("/quarantine/$broken", {})
    ),
    "preview": Act(
        ("repair", "$broken", "--file", "-", "--preview"),
        ("POST", "/quarantine/$broken/preview", {"body": LEAD}),
        ("/quarantine/$broken/edit", {"act": "preview", "body": LEAD}),
        text=LEAD,
    ),
    "repair": Act(
        ("repair", "$broken", "--file", "-", "--why", "asked to"),
        ("PUT", "/quarantine/$broken/body", {"body": LEAD, **WHY}),
        ("/quarantine/$broken/edit", {"act": "save", "body": LEAD, **WHY}),
        text=LEAD,
    ),
    "repair and release": Act(
        ("repair", "$broken", "--file", "-", "--release", "--why", "asked to"),
        ("POST", "/quarantine/$broken/release", {"body": LEAD, **WHY}),
        ("/quarantine/$broken/edit", {"act": "release", "body": LEAD, **WHY}),
        text=LEAD,
    ),
    "release": Act(
        ("release", "$readable", "--why", "asked to"),
        ("POST", "/quarantine/$readable/release", WHY),
        ("/quarantine/$readable/release", WHY),
    ),
    "erase": Act(
        ("erase", "--email", "someone@contoso.com", "--yes", "--why", "asked to"),
        ("POST", "/erasures", {"email": "someone@contoso.com", **WHY}),
        ("/leads/$due/erase", {"email": "someone@contoso.com", "sure": "yes", **WHY}),
    ),
    "purge": Act(("purge", "--yes"), ("POST", "/purge", {}), ("/settings/purge", {})),
    "make a token": Act(
        ("tokens", "new", "reports", "--role", "reader"),
        ("POST", "/tokens", {"name": "reports", "role": "reader"}),
        ("/settings/tokens", {"name": "reports", "role": "reader"}),
    ),
    "revoke a token": Act(
        ("tokens", "revoke", "$token"), ("DELETE", "/tokens/$token", None), ("/settings/tokens/$token/revoke", {})
    ),
    "show an address": Act(
        ("addresses", "--show", "marketplace", "$key"),
        ("POST", "/addresses/marketplace/keys/$key/reveal", {}),
        ("/settings/source-url", {"source": "marketplace", "key": "$key"}),
    ),
}
UNTOUCHED = {"reveal", "show a body", "preview", "show an address"}  # what only looks
UNRECORDED = {"preview"}  # shows what its asker brought


class Faces:
    """One Leadwire in a known state, and its three faces."""

    def __init__(self, folder, url):
        folder.mkdir()
        self.desk = Desk(folder, url)
        self.store, self.wiring = self.desk.store, self.desk.wiring
        self.store.migrate()
        self.names = self._filled()
        self.names["key"] = self.wiring.settings.sources["marketplace"].keys[0].fingerprint
        self.names["token"] = self.wiring.access.new_token("old", "reader", who=Who("someone"))[0]
        token = self.wiring.access.new_token("ci", "operator", who=Who("someone"))[1]
        self.bearer = {"Authorization": f"Bearer {token}"}
        self.recorded = len(rows(self.store, audit))

    @cached_property
    def _operator(self):
        return self.desk.operator()

    def _filled(self):
        """Fill the store, and say what things in it are called."""
        keep(self.store, arrival(1))
        settle(self.store, dead)
        keep(self.store, arrival(2, at=NOW - 400 * DAY))
        settle(self.store, result)
        keep(self.store, arrival(3, lead=OFFERED), unreadable(4), unreadable(5, body=LEAD.encode()), arrival(6, to=()))
        with self.store.write() as connection:
            for name in ("crm", "table"):
                connection.execute(problems.delete().where(problems.c.destination == name))
                ProblemLog(self.store).noted(connection, name, Evidence(code=CODE, status=413), now=NOW)
            connection.execute(problems.update().where(problems.c.destination == "crm").values(closed_at=NOW))
        names = {"dead": 1, "due": 3, "broken": 4, "readable": 5, "nowhere": 6}
        found = {row["destination"]: row["id"] for row in rows(self.store, problems)}
        ours = {"problem": found["table"], "closed": found["crm"]}
        return {**{name: id_of(number) for name, number in names.items()}, **ours}

    def named(self, told):
        """Put the names of this store's things in."""
        if isinstance(told, dict):
            return {key: self.named(one) for key, one in told.items()}
        if isinstance(told, list | tuple):
            return [self.named(one) for one in told]
        return Template(told).substitute(self.names) if isinstance(told, str) else told

    def command(self, *words, text=None):
        """Give exit status and document of a command."""
        context = Context(None)
        context.wiring = self.wiring  # with the clock that the other faces have
        name, *arguments = self.named(words)
        done = CliRunner().invoke(commands()[name], [*arguments, "--json"], obj=context, input=text)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)

    def api(self, method, path, body=None):
        """Give status and document of a request."""
        client = self.desk.app.test_client()
        answer = client.open(f"/api/v1{self.named(path)}", method=method, json=self.named(body), headers=self.bearer)
        return answer.status_code, answer.get_json(silent=True)

    def form(self, path, fields):
        """Give the page that a form of the console leads to."""
        return self._operator.post(f"/console{self.named(path)}", self.named(fields), follow=True)

    def do(self, face, act):
        """Do it by one face."""
        if face == "command line":
            status, document = self.command(*act.command, text=act.text)
            assert status == 0, document
        elif face == "API":
            status, document = self.api(*act.api)
            assert status < 300, document
        else:
            page = self.form(*act.form)
            assert page.status == 200, page.source

    def _plain(self, text):
        """A text in which what is made anew in each store has its name."""
        tokens = {one["name"]: one["id"] for one in self.wiring.operations.tokens()}
        ours = {**tokens, **self.names, "folder": str(self.desk.folder)}
        for name, own in ours.items():
            text = text.replace(own, f"${name}")
        return text

    def acts(self):
        """Give what was recorded since the beginning: who, and what of it all faces have in common."""
        new = [row for row in rows(self.store, audit)[self.recorded :] if row["action"] != "sign-in"]
        common = [(row["at"], row["action"], self._plain(row["target"]), row["why"]) for row in new]
        return {row["actor"] for row in new}, common

    def state(self):
        """Give all that acts can change, without what is each store's own."""
        open_ = {"problems": rows(self.store, problems), "checks": rows(self.store, checks)}
        own = {"person", "body_key", "acknowledged_by", "actor", "created_by", "last_used_at"}
        tables = {table.name: rows(self.store, table) for table in (receipts, deliveries, quarantine, lanes)}
        kept = {**tables, **open_, "tokens": sorted(self.wiring.operations.tokens(), key=lambda one: one["name"])}
        shown = {name: [{key: row[key] for key in row if key not in own} for row in kept[name]] for name in kept}
        return json.loads(self._plain(json.dumps(shown, default=repr)))


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Set up equal Leadwires, each on a store of its own."""
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("DESK_KEY", KEY)
    made = []

    def make():
        folder = tmp_path / f"leadwire-{len(made)}"
        made.append(Faces(folder, f"sqlite:///{folder}/leadwire.db"))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.mark.parametrize("name", ACTS)
def test_an_act_has_the_same_effect_and_leaves_the_same_record_by_every_face(name, begin):
    found = {}
    for face in FACES:
        here = begin()
        before = here.state()
        here.do(face, ACTS[name])
        actors, acts = here.acts()
        assert {one.partition(":")[0] for one in actors} == (
            set() if name in UNRECORDED else {{"command line": "cli", "console": "console", "API": "api"}[face]}
        )
        assert (here.state() == before) is (name in UNTOUCHED)
        found[face] = {**here.state(), "audit": sorted(acts)}
    for part, expected in found["command line"].items():
        assert found["API"][part] == expected
        assert found["console"][part] == expected


# A command and the address that has the same; where the address gives more than one list, which of them.
LOOKS = {
    "leads": (("leads",), "/leads", "leads"),
    "leads of a state": (("leads", "--state", "dead"), "/leads?state=dead", "leads"),
    "problems": (("problems",), "/problems", "problems"),
    "closed problems": (("problems", "--closed"), "/problems/closed", "problems"),
    "quarantine": (("quarantine",), "/quarantine", "quarantined"),
    "offers": (("offers",), "/offers", "offers"),
    "settings": (("settings",), "/settings", "settings"),
    "addresses": (("addresses",), "/addresses", "addresses"),
    "tokens": (("tokens",), "/tokens", "tokens"),
    "audit": (("audit", "--action", "token-made"), "/audit?action=token-made", "acts"),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_list_is_the_same_by_command_and_by_api(name, begin):
    here = begin()
    words, path, part = LOOKS[name]
    found = here.api("GET", path)[1][part]
    assert found, "an empty list would be the same everywhere"
    assert here.command(*words) == (0, found)


def test_the_overview_is_the_same_by_command_and_by_api(begin):
    here = begin()
    status, document = here.command("overview")
    found = here.api("GET", "/overview")[1]
    assert {key: document[key] for key in found} == found
    assert (status, document["ok"], len(document["needs"])) == (1, False, 3)  # no worker, a dead lead, two bodies


REFUSALS = {
    "a step that is none": Act(
        ("tick", "$problem", "99"),
        ("PUT", "/problems/$problem/steps/99", {"done": True}),
        ("/problems/$problem/steps", {"step": "99", "done": "yes"}),
    ),
    "a problem that is over": Act(
        ("acknowledge", id_of(9)),
        ("POST", f"/problems/{id_of(9)}/acknowledge", {"note": ""}),
        (f"/problems/{id_of(9)}/acknowledge", {}),
    ),
    "a destination that is none": Act(
        ("check", "--destination", "nowhere"),
        ("POST", "/destinations/nowhere/check", {}),
        ("/problems/check", {"destination": "nowhere"}),
    ),
    "alerts that are not configured": Act(("alert-test",), ("POST", "/test-alerts", {}), ("/settings/alert-test", {})),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_done_is_refused_in_the_same_words_by_every_face(name, begin):
    here = begin()
    act = REFUSALS[name]
    before = here.state()
    status, document = here.command(*act.command)
    answered, problem = here.api(*act.api)
    assert (status, document["ok"]) == (1, False)
    assert answered in (404, 409)
    assert problem["detail"] == document["error"]
    page = here.form(*act.form)
    assert document["error"] in " ".join(page.read('//*[contains(@class, "alert-danger")]'))
    assert (here.state(), here.acts()) == (before, (set(), []))
