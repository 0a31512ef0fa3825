"""`problems --watch`: the remediation log as it changes, on a terminal and off it, until somebody ends it."""

import itertools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from threading import Thread

import pytest

from app.retry import Verdict
from app.store import open_store
from tests.parts.arrivals import arrival, dead, failed, keep, outbox, result, settle

CONFIG = """
[store]
url = "sqlite:///leadwire.db"
[sources.marketplace]
keys = ["env:LEADWIRE_TEST_KEY"]
destinations = ["table"]
[destinations.table]
type = "file"
path = "leads.jsonl"
[destinations.mail]
type = "file"
path = "mail.jsonl"
[destinations.crm]
type = "file"
path = "crm.jsonl"
"""
ENDS = 20  # seconds until a test gives up waiting


@pytest.fixture
def store(tmp_path):
    (tmp_path / "leadwire.toml").write_text(CONFIG)
    opened = open_store(f"sqlite:///{tmp_path}/leadwire.db")
    opened.migrate()
    yield opened
    opened.close()


class Watch:
    """A `problems --watch` of its own process, read from a thread so that nothing that it says is missed."""

    def __init__(self, folder, *options, terminal=False):
        self.said = ""
        command = [sys.executable, "-m", "app", "--config", "leadwire.toml", "problems", "--watch", "--every", "0.1"]
        ours, theirs = pty.openpty() if terminal else os.pipe()
        if terminal:
            given = termios.tcgetattr(theirs)
            given[1] &= ~termios.OPOST  # lines end as the program ends them
            termios.tcsetattr(theirs, termios.TCSANOW, given)
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "LEADWIRE_TEST_KEY": "a-key-for-tests"}
        self.process = subprocess.Popen(
            [*command, *options], cwd=folder, env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True
        )
        os.close(theirs)
        self._ours = ours
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                more = os.read(self._ours, 65_536)
            except OSError:  # what a terminal says when the other side has gone
                return
            if not more:
                return
            self.said += more.decode()

    def sees(self, text, *, times=1):
        ends = time.monotonic() + ENDS
        while self.said.count(text) < times:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < ends, self.said
            time.sleep(0.02)

    def end(self):
        """Press Ctrl-C; gives the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(ENDS)
        self._reader.join(ENDS)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(ENDS)
        self.process.stderr.close()
        self._reader.join(ENDS)
        os.close(self._ours)


@pytest.fixture
def watch(tmp_path):
    made = []

    def start(*options, **how):
        made.append(Watch(tmp_path, *options, **how))
        return made[-1]

    yield start
    for one in made:
        one.close()


def later():
    return int(time.time() * 1000)


def refused(claim):
    """A result that parks the destination."""
    return result(claim, "due", due=later(), code="azure_table.authentication-failed", verdict=Verdict.HOLD)


def trouble(store, *, leads=3):
    """So many leads wait for a destination that is parked."""
    keep(store, *(arrival(number, at=later()) for number in range(1, leads + 1)))
    settle(store, refused, limit=1, now=later() + 1000)


def mend(store):
    """The destination's probe is green; of its leads only the one that was refused counts as failing still."""
    box = outbox(store)
    assert box.take_probe("table", now=later() + 3_600_000)
    box.record_probe("table", code=None, now=later())


def drain(store, *, leads):
    """So many of the leads that wait are delivered."""
    settle(store, result, limit=leads, now=later() + 7_200_000)


def test_a_pipe_gets_a_block_for_each_change_and_nothing_between(store, watch):
    looking = watch()
    looking.sees("No problems")
    Thread(target=trouble, args=[store]).start()
    looking.sees("3 waiting")
    time.sleep(0.5)  # five looks without a change

    assert looking.said.count("table: Azure Storage refuses the key (azure_table.authentication-failed)") == 1
    assert re.findall(r"(?m)^\d{4}-\d\d-\d\dT\S+Z$", looking.said).__len__() == 2
    assert "\x1b" not in looking.said
    assert "Ctrl-C" not in looking.said


def test_json_is_one_list_a_line_only_when_something_changed(store, watch):
    looking = watch("--json")
    looking.sees("[]\n")
    Thread(target=trouble, args=[store]).start()
    looking.sees('"leads_waiting": 3')
    mend(store)
    looking.sees('"leads_waiting": 1')
    drain(store, leads=3)
    looking.sees("[]\n", times=2)
    assert looking.end() == 0

    lines = [json.loads(line) for line in looking.said.splitlines()]
    assert lines[0] == lines[-1] == []
    assert all(before != after for before, after in itertools.pairwise(lines))
    assert {(one["destination"], one["code"]) for line in lines for one in line} == {
        ("table", "azure_table.authentication-failed")
    }


def test_what_drains_is_seen_to_shrink_until_all_is_well(store, watch):
    trouble(store, leads=5)
    looking = watch()
    looking.sees("5 waiting")
    Thread(target=mend, args=[store]).start()
    looking.sees("1 waiting")
    for left in (4, 3, 2, 1):
        drain(store, leads=1)
        looking.sees(f"Draining: table, {left} of 5 leads left")
    assert "All is well" not in looking.said
    drain(store, leads=1)
    looking.sees("All is well")

    assert looking.end() == 0
    last = looking.said.strip().splitlines()[-3:]
    assert last == [
        "Mended: table, azure_table.authentication-failed",
        "",
        "All is well: nothing is held, failing or dead, and nothing waits.",
    ]


def test_a_terminal_is_drawn_anew_when_something_changed_and_ctrl_c_ends_well(store, watch):
    looking = watch(terminal=True)
    looking.sees("No problems")
    looking.sees("Ctrl-C ends")
    Thread(target=trouble, args=[store]).start()
    looking.sees("3 waiting")
    time.sleep(0.5)  # five looks without a change

    assert looking.said.count("\x1b[2J") == 2
    assert looking.end() == 0
    assert "Aborted" not in looking.process.stderr.read()


def test_new_trouble_of_another_kind_is_shown_beside_the_old(store, watch):
    trouble(store)
    looking = watch()
    looking.sees("azure_table.authentication-failed")
    keep(store, arrival(8, at=later(), to=["mail"]), arrival(9, at=later(), to=["crm"]))
    settle(store, dead, destination="mail", now=later() + 1000)
    settle(store, lambda claim: failed(claim, due=later() + 9_999_999), destination="crm", now=later() + 1000)
    looking.sees("azure_table.entity-too-large")
    looking.sees("network.timeout")

    assert looking.end() == 0


@pytest.mark.parametrize("every", ["0", "-1", "soon", "86400"])
def test_a_wrong_pace_is_refused(tmp_path, every):
    (tmp_path / "leadwire.toml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "app", "--config", f"{tmp_path}/leadwire.toml", "problems", "--watch", "--every", every],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "--every" in done.stderr
