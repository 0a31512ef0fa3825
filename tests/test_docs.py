"""What the documents say is true: commands run, and settings, options, metrics, files and links exist."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import uuid
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import responses

from app import __version__
from app.catalogue import Catalogue, shipped_folder
from app.cli import main
from app.delivery import delivery_id
from app.destinations import REGISTRY
from app.destinations.base import DeliveryFailed, Sent, Tools
from app.settings import find_config, load_settings
from app.settings.schema import SettingsSchema
from app.web import api, make_app, receive
from app.web.api.application import make_api
from app.web.console.entra import ROLES
from app.wiring import Wiring, utc_now
from tests.parts import unavailable
from tests.parts.azurite import parcel
from tests.parts.commands import commands
from tests.parts.server import Server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {str(path.relative_to(ROOT)): path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
ADDING = (ROOT / "docs/adding-a-destination.md").read_text()
CONSOLE = (ROOT / "docs/console.md").read_text()
FOR_WATCHING = {"/healthz", "/readyz", "/metrics"}

# Commands that can't run inside a test: where another check runs them, and words there that show it.
ELSEWHERE = {
    "make run": ("Makefile", "leadwire serve"),  # its recipe, which this file starts with the shipped configuration
    "make setup": ("Makefile", "$(DEV): $(SETUP)"),  # what every other target stands on
    "make test": (".ci/run", "make test"),
    "make check": (".ci/run", "make check"),
    "make demo": ("tests/test_demo.py", "scripts/demo.py"),
    "docker build": ("scripts/check_dockerfile.py", '"RUN"'),
    "docker run": ("scripts/check_dockerfile.py", "ENTRYPOINT"),
}
ID = re.compile(r'"(?:quarantine_)?id": ?"([0-9a-f-]{36})"')
LOOKING = re.compile(r"leadwire (leads|show|problems|quarantine)\b|^tail |/(healthz|readyz|metrics)$")
SHIPPED_ADDRESS = "127.0.0.1:8080"
PATIENCE = 15  # seconds until what a command promises must be there


@dataclass
class Step:
    """A command as a page shows it, the lines it promises, the status it ends with."""

    command: str
    promised: list[str]
    status: int = 0


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def steps(text):
    """Every `$ ` line of the console blocks, with its `> ` continuations, and what stands below it."""
    found = []
    for block in blocks(text, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            elif line.startswith("> "):
                found[-1].command += "\n" + line[2:]
            else:
                found[-1].promised.append(line)
    for step in found:
        ends = re.search(r"\s+# exits (\d+)$", step.command)
        step.status = int(ends[1]) if ends else 0
    return found


def runs_elsewhere(step):
    return any(step.command.startswith(command) for command in ELSEWHERE)


def missing_line(promised, output):
    """The first promised line that does not come, in order; `…` stands for anything, white space doesn't count."""
    real = iter(" ".join(line.split()) for line in output.splitlines())
    for line in promised:
        parts = re.split(r"\s*…\s*", " ".join(line.split()))
        wanted = re.compile(".*".join(map(re.escape, parts)))
        if not any(wanted.fullmatch(one) for one in real):
            return line
    return None


class Shell:
    """One bash for all commands, so that a variable set in one is there in the next."""

    END = "----end----"

    def __init__(self, server):
        self._server = server
        self._id = "no-id-yet"
        self._bash = subprocess.Popen(
            ["bash"],  # noqa: S607  (whichever the reader has)
            cwd=server.folder,
            env=server.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command):
        """Run a command, `ID` being the id that was answered last; gives its output and its status."""
        command = re.sub(r"\bID\b", self._id, command)
        command = command.replace(SHIPPED_ADDRESS, f"127.0.0.1:{self._server.port}")
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n{self.END}%s\\n' $?\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line.startswith(self.END):
                break
            lines.append(line)
        else:
            pytest.fail(f"the shell ended at: {command}")
        output = "".join(lines)
        if command.startswith("curl") and ID.search(output):
            self._id = ID.search(output)[1]
        return output, int(line.removeprefix(self.END))

    def close(self):
        self._bash.stdin.close()
        self._bash.wait(10)
        self._bash.stdout.close()


@pytest.fixture
def shipped(tmp_path):
    """A server with the configuration that we ship, but for the port, and a shell in its folder."""
    if not (shutil.which("curl") and shutil.which("bash")):
        unavailable("curl and bash", "install them")
    server = Server(tmp_path)
    server.config.unlink()
    server.config = tmp_path / "config/leadwire.toml"
    server.config.parent.mkdir()
    text = (ROOT / "config/leadwire.toml").read_text()
    server.config.write_text(text.replace(SHIPPED_ADDRESS, f"127.0.0.1:{server.port}"))
    del server.environment["LEADWIRE_CONFIG"]  # it is found where it lies
    (tmp_path / ".venv").symlink_to(sys.prefix)
    server.start()
    shell = Shell(server)
    yield server, shell
    shell.close()
    server.end()


def test_every_command_of_the_readme_runs_and_gives_what_is_promised(shipped):
    server, shell = shipped
    banner = next(block for block in blocks(README, "text") if "paste into Partner Center" in block)
    shown = banner.replace(SHIPPED_ADDRESS, f"127.0.0.1:{server.port}")
    assert missing_line(shown.splitlines(), server.log.read_text()) is None, server.log.read_text()
    for step in steps(README):
        if runs_elsewhere(step):
            continue
        give_up = time.monotonic() + (PATIENCE if LOOKING.search(step.command) else 0)
        while True:  # delivery comes after the answer: what only looks may look again
            output, status = shell.run(step.command)
            missing = missing_line(step.promised, output)
            if (missing is None and status == step.status) or time.monotonic() > give_up:
                break
            time.sleep(0.1)
        assert missing is None, f"$ {step.command}\n{missing!r} did not come in:\n{output}"
        assert status == step.status, f"$ {step.command}\nended with {status}:\n{output}"
    assert_the_log_reads_as_shown(server)


def assert_the_log_reads_as_shown(server):
    shown = json.loads(blocks(README, "json")[0])
    real = server.events("delivery.attempted")
    assert {frozenset(event) for event in real} == {frozenset(shown)}
    for event in (*real, shown):
        assert event["delivery"] == delivery_id(event["lead"], event["destination"])
    meant = Catalogue.load(shipped_folder()).translate(shown["type"], code=shown["raw_code"], status=None, detail="")
    assert (meant.code, meant.verdict) == (shown["code"], shown["verdict"])


def test_what_cannot_run_in_a_test_runs_in_a_check_that_is_named():
    named = {command for command in ELSEWHERE if any(step.command.startswith(command) for step in steps(README))}
    assert named == set(ELSEWHERE)
    for file, words in ELSEWHERE.values():
        assert words in (ROOT / file).read_text(), file


@pytest.mark.parametrize("page", PAGES)
def test_a_page_beside_the_readme_shows_no_command_that_nothing_runs(page):
    if page != "README.md":
        assert [step.command for step in steps(PAGES[page].read_text()) if not runs_elsewhere(step)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    text = PAGES[page].read_text()
    named = {*re.findall(r"`make ([a-z-]+)", text), *re.findall(r"^\$ make ([a-z-]+)", text, flags=re.MULTILINE)}
    assert named <= targets


def _commands(known, path="leadwire"):
    for name, command in known.items():
        if isinstance(command, click.Group):
            yield from _commands(command.commands, f"{path} {name}")
        if not isinstance(command, click.Group) or (command.invoke_without_command and "list" not in command.commands):
            yield f"{path} {name}", command


COMMANDS = dict(_commands(commands()))
ROWS = dict(re.findall(r"^\| `(leadwire [a-z -]+)` \| (.*) \|$", README, flags=re.MULTILINE))
GIVEN_TO_ALL = {"--help", "--json"}
LIKE_REPLAY = {"--destination", "--code", "--since", "--dry-run", "--why"}


def _options(command):
    names = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
    return names - GIVEN_TO_ALL


def test_the_readme_lists_every_command():
    assert ROWS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_lists_every_option_of_a_command(name):
    listed = set(re.findall(r"--[a-z-]+", ROWS[name]))
    if name == "leadwire discard":
        listed = (listed - {"--sent"}) | LIKE_REPLAY
    assert listed == _options(COMMANDS[name])


def test_every_command_answers_in_json():
    assert all(any("--json" in one.opts for one in command.params) for command in COMMANDS.values())


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_that_a_page_names_exists(page):
    text = PAGES[page].read_text()
    known = {"--help", "--json", "--config", "--version"}.union(*map(_options, COMMANDS.values()))
    indented = re.findall(r"^ {4}(leadwire [a-z].*)$", text, flags=re.MULTILINE)
    for line in [*re.findall(r"`(leadwire [^`]+)`", text), *indented]:
        words = line.split()
        own = next((COMMANDS[name] for name in (" ".join(words[:2]), " ".join(words[:3])) if name in COMMANDS), main)
        assert own is not main or words[1].startswith("-"), line
        assert set(re.findall(r"--[a-z-]+", line)) <= _options(own) | {"--help", "--json", "--version", "--config"}
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= known


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_exists(page):
    sections = SettingsSchema().fields
    for section, rest, key in re.findall(r"`\[{1,2}([a-z_]+)([^\]`]*)\]{1,2}(?: ([a-z_]+))?", PAGES[page].read_text()):
        assert section in sections, section
        if key and not rest:
            each = getattr(sections[section], "value_field", sections[section])  # of sources there are many, by name
            assert key in each.schema.fields, f"[{section}] {key}"


def _is_configuration(block):
    return not block.lstrip().startswith('["') and "errors" not in block.partition("\n")[0]


SETTINGS = [
    pytest.param(block, id=f"{page}-{number}")
    for page, path in PAGES.items()
    for number, block in enumerate(blocks(path.read_text(), "toml"))
    if _is_configuration(block) and "webhook" not in block
]


@pytest.mark.parametrize("block", SETTINGS)
def test_every_configuration_that_a_page_shows_is_taken(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    for name in re.findall(r'"env:(\w+)"', block):
        monkeypatch.setenv(name, "UseDevelopmentStorage=true")  # good as any password, and as a connection string
    for name in {"var/console.password", *re.findall(r'"file:([\w./-]+)"', block), "var/marketplace.key"}:
        Path(name).write_text("a-secret")
    Path("page.toml").write_text(block)
    wiring = Wiring.of(load_settings(find_config("page.toml")))
    for name in wiring.settings.destinations:
        wiring.destination(name).close()


@pytest.fixture
def wiring(sqlite_url, tmp_path, monkeypatch):
    """Everything, with the shipped defaults over an empty store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var").mkdir()
    for name in ("marketplace.key", "console.password"):
        (tmp_path / "var" / name).write_text("a-secret")
    (tmp_path / "one.toml").write_text(f'[store]\nurl = "{sqlite_url}"\n')
    made = Wiring.from_file("one.toml")
    yield made
    made.store.close()


def test_the_readme_names_every_metric_and_no_other(wiring):
    wiring.outbox(worker="one").start(now=0)
    told = make_app(wiring).test_client().get("/metrics").get_data(as_text=True)
    assert set(re.findall(r"`(leadwire_\w+)`", README)) == set(re.findall(r"^# TYPE (\w+)", told, flags=re.MULTILINE))


def test_the_pages_name_every_address_that_a_proxy_has_to_pass(wiring):
    rules = {"/" + rule.rule.split("/")[1] for rule in make_app(wiring).url_map.iter_rules()}
    served = {*rules, receive.PATHS[0], api.PREFIX, api.DOCUMENT} - FOR_WATCHING
    told = next(part for part in README.split("\n\n") if part.startswith("Let it pass"))
    assert set(re.findall(r"`(/[\w./]+)`", told)) == served
    behind = next(line for line in CONSOLE.splitlines() if line.startswith("- It passes"))
    assert set(re.findall(r"`(/[\w./]+)`", behind)) == served - {"/leads"}


def test_the_console_s_document_has_every_page_and_what_entra_must_be_told(wiring):
    menu = (ROOT / "app/web/templates/console/base.html").read_text()
    pages = re.findall(r'\{\{ link\("\w+", "([\w ]+)"', menu)
    assert re.findall(r"^\| ([A-Z][\w ]+) \|", CONSOLE, flags=re.MULTILINE) == pages
    assert set(re.findall(r"`(Leadwire\.\w+)`", CONSOLE)) == set(ROLES)
    answer = next(rule.rule for rule in make_app(wiring).url_map.iter_rules("console.entra_answer"))
    assert f"`https://YOUR-PUBLIC-ADDRESS{answer}`" in CONSOLE


def test_every_request_that_the_api_s_document_names_is_answered(wiring):
    addresses = make_api(wiring).url_map.bind("")
    named = re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]+)", (ROOT / "docs/api.md").read_text())
    assert named
    for method, path in named:
        filled = path.replace("ID", str(uuid.uuid4())).replace("NAME", "crm").removeprefix(api.PREFIX)
        assert addresses.match(api.PREFIX + filled, method)  # raises what names neither address nor method


def test_the_map_names_every_module():
    paths = (path.relative_to(ROOT / "app").as_posix() for path in (ROOT / "app").rglob("*.py"))
    modules = {path for path in paths if "versions/" not in path and not path.endswith("__init__.py")}
    named = set(re.findall(r"`(?:app/)?([\w/]+\.py)`", ARCHITECTURE))
    assert modules - named == set()


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/adding-a-destination.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_exists(page):
    named = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:\.(?:py|toml|md|mako|txt)|/))`", PAGES[page].read_text()))
    made_up = {"config/errors/webhook.toml", "app/destinations/webhook.py", "webhook.py"}
    assert {name for name in named - made_up if not ((ROOT / name).exists() or (ROOT / "app" / name).exists())} == set()


def test_the_map_shows_the_floors_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    section = ARCHITECTURE.partition("## Rooms and floors")[2]
    rooms = re.findall(r"^\| (\d+) \| (.*?) \|", section, flags=re.MULTILINE)
    shown = [set(re.findall(r"`(\w+)`", names)) for _, names in rooms]
    assert shown == [set(re.findall(r"\w+", layer)) for layer in layers]
    assert [int(number) for number, _ in rooms] == list(range(len(layers), 0, -1))


def _anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = PAGES[page].read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (PAGES[page].parent / file).resolve() if file else PAGES[page]
        assert goal.exists(), target
        headings = re.findall(r"^#+ (.*)$", goal.read_text(), flags=re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(_anchor, headings), target


def test_the_change_log_has_this_version():
    log = (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert "## [Unreleased]" in log
    assert f"## [{__version__}]" in log


def _example():
    """The module that `adding-a-destination.md` writes."""
    return next(block for block in blocks(ADDING, "python") if "class Webhook" in block)


@pytest.fixture
def webhook():
    """The example destination, made as a lane makes it."""
    names = {}
    exec(compile(_example(), "webhook.py", "exec"), names)  # noqa: S102  (our own page)
    kind = names["Webhook"]
    block = next(one for one in blocks(ADDING, "toml") if "[destinations." in one)
    table = tomllib.loads(block)["destinations"]["hook"]
    made = kind("hook", kind.schema().load(table), Tools(now=utc_now, public_url="http://127.0.0.1:8080"))
    yield made
    made.close()


def test_the_example_destination_keeps_the_protocol(webhook):
    url = "https://hooks.contoso.example/leads"
    with responses.RequestsMock() as wire:
        wire.put(f"{url}/delivery-1", status=201)
        wire.put(f"{url}/delivery-2", status=503, headers={"Retry-After": "7"})
        first, second = webhook.send([parcel(1), parcel(2)])
    assert isinstance(first, Sent)
    assert isinstance(second, DeliveryFailed)
    assert (second.status, second.retry_after) == (503, 7.0)
    with responses.RequestsMock() as wire:
        wire.get(url, status=200)
        assert "hooks.contoso.example" in webhook.check()
        wire.replace("GET", url, body=ConnectionRefusedError())
        with pytest.raises(DeliveryFailed) as failed:
            webhook.check()
    assert failed.value.code == "network.refused"


def test_the_example_entries_are_taken_by_the_catalogue(tmp_path):
    example = next(block for block in blocks(ADDING, "toml") if block.lstrip().startswith('["webhook.'))
    (tmp_path / "webhook.toml").write_text(example)
    catalogue = Catalogue.load(shipped_folder(), tmp_path)
    assert catalogue.translate("webhook", code=None, status=410, detail="").code == "webhook.gone"


def test_every_type_is_told_in_the_readme_and_the_shipped_configuration():
    shipped = (ROOT / "config/leadwire.toml").read_text()
    for kind in REGISTRY:
        assert f"`{kind}`" in README
        assert f'type = "{kind}"' in shipped
    assert os.access(ROOT / ".ci/run", os.X_OK)
