"""The command line itself: help, JSON on every way out, and what an empty folder is told."""

import json

import click
import pytest
from click.testing import CliRunner

from app.cli import main
from app.store.tables import State, Status
from tests.parts.commands import commands

COMMANDS = {name: command for name, command in commands().items() if not isinstance(command, click.Group)}
CONFIG = '[sources.marketplace]\nkeys = ["env:KEY_A"]\n'


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADWIRE_CONFIG", raising=False)
    monkeypatch.setenv("KEY_A", "key-a")

    def invoke(*arguments, config=CONFIG, text=None):
        if config is not None:
            (tmp_path / "leadwire.toml").write_text(config)
            arguments = ("--config", "leadwire.toml", *arguments)
        return CliRunner().invoke(main, arguments, input=text)

    return invoke


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(run, name):
    done = run(name, "--help", config=None)
    assert done.exit_code == 0
    assert "--json" in done.stdout


def test_what_keeps_a_worker_from_starting_can_be_had_in_json(run):
    done = run("work", "--json", config="[server]\nworkers = 0\n" + CONFIG)
    assert done.exit_code == 2
    assert "allowed: a whole number from 1 to 64" in json.loads(done.stdout)["error"]


def test_explain_needs_no_configuration(run):
    done = run("explain", "--json", "AADSTS7000215: Invalid client secret provided.", config=None)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["code"].endswith("client-secret-invalid")


def test_an_empty_folder_is_told_what_makes_the_keys(run):
    done = run("leads", config=None)
    assert done.exit_code == 2
    assert "var/marketplace.key" in done.stderr
    assert "`leadwire serve` makes it on the first start" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody"),
        ("show", "\udcff"),
        ("release", "nobody"),
        ("repair", "nobody", "--file", "-"),
        ("quarantine", "nobody"),
        ("replay",),
        ("replay", "--destination", "nowhere"),
        ("discard", "--yes"),
        ("erase", "--email", "@", "--yes"),
        ("send-test", "--source", "nobody"),
        ("send-test", "--timeout", "1"),
    ],
)
def test_what_cannot_be_done_is_said_in_json_too(run, arguments):
    done = run(*arguments, "--json", text="{}")
    assert done.exit_code == 1, done.output
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert document["error"]


@pytest.mark.parametrize("name", ["leads", "problems", "quarantine"])
def test_lists_are_lists_also_when_empty(run, name):
    done = run(name, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_a_wrong_configuration_is_said_in_json_too(run):
    done = run("leads", "--json", config="[server]\nworkers = 0\n" + CONFIG)
    assert done.exit_code == 2
    assert "[server] workers: found 0; allowed: a whole number from 1 to 64" in json.loads(done.stdout)["error"]


def test_check_exits_1_for_a_wrong_configuration_and_keeps_the_shape_of_its_answer(run):
    done = run("check", "--offline", "--json", config="[server]\nworkers = 0\n" + CONFIG)
    document = json.loads(done.stdout)
    assert (done.exit_code, document["ok"], document["destinations"]) == (1, False, [])
    assert "[server] workers" in document["error"]


@pytest.mark.parametrize("state", sorted({*map(str, Status), *map(str, State)}))
def test_leads_are_listed_by_every_state_there_is(run, state):
    done = run("leads", "--state", state, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_check_names_the_code_of_what_is_wrong(run, tmp_path):
    (tmp_path / "leads").mkdir()
    done = run("check", "--json", config=CONFIG + '[destinations.archive]\ntype = "file"\npath = "leads"\n')
    assert done.exit_code == 1
    (found,) = json.loads(done.stdout)["destinations"]
    assert (found["name"], found["type"], found["ok"], found["code"]) == ("archive", "file", False, "file.is-a-folder")
