"""Draining what waits: into each outside system, beside a plain loop over its SDK's single-record call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.rows import Figure, Found, MissingError, Question
from bench.servers import ROOT, folder
from bench.singly import LOOPS
from bench.waiting import fill, toml
from tests.parts.azurite import MAIN, Azurite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LEADS = 20_000
FEW = 5_000  # where only a ratio of two of our own drains is wanted
SINGLY = 150  # records by the loop, which needs as long for each
THINKS = 0.03  # seconds that a cloud takes over a call; really more, and more for a batch than for a record
NAMES = {"dynamics": "Dataverse", "salesforce": "Salesforce", "azure_table": "Azurite"}
FOUR = (*NAMES, "file")
LOOP = "a loop over the SDK's single-record call"
QUESTIONS = {
    **{
        f"drain-{kind}": Question(
            asks=f"Drain of {LEADS:,} leads into {name}, which thinks 30 ms over a call", reference=LOOP, at_least=10
        )
        for kind, name in NAMES.items()
    },
    **{
        f"drain-{kind}-busy": Question(
            asks=f"  into {name} that answers at once: the emulator's own work on our cores", reference=LOOP
        )
        for kind, name in NAMES.items()
    },
    "drain-calls": Question(asks="Calls for 1,000 leads, the most of the three", unit="calls", at_most=12),
    "drain-together": Question(
        asks="Four destinations drain at once, 30 ms a call", reference="the slowest of them alone", at_most=1.3
    ),
}


def measure() -> Iterator[Found]:
    """Drain each alone and beside a loop, then four together."""
    calls = []
    for kind, name in NAMES.items():
        for key, thinks, leads in ((f"drain-{kind}", THINKS, LEADS), (f"drain-{kind}-busy", 0.0, FEW)):
            took = drained((kind,), thinks=thinks, leads=leads)
            calls.append(took.calls[kind])
            rates = {"Leadwire": leads / took.seconds, LOOP: 1 / singly(kind, thinks=thinks)}
            bars = {f"{whose}, {name}": Figure.of([rate]) for whose, rate in rates.items()}
            figure = Figure.of([rates["Leadwire"] / rates[LOOP]])
            yield Found(key=key, figure=figure, bars=bars, unit="leads/s")
    yield Found(key="drain-calls", figure=Figure.of([max(calls)]))
    alone = {kind: drained((kind,), thinks=THINKS, leads=FEW).seconds for kind in FOUR}
    together = drained(FOUR, thinks=THINKS, leads=FEW).seconds
    bars = {f"{kind} alone": Figure.of([seconds]) for kind, seconds in alone.items()}
    bars["Leadwire, all four"] = Figure.of([together])
    yield Found(key="drain-together", figure=Figure.of([together / max(alone.values())]), bars=bars, unit="s")


class Cloud(NamedTuple):
    """An outside system in a process of its own."""

    settings: dict[str, Any]
    secrets: dict[str, str]
    calls: Callable[[], int]


class Drained(NamedTuple):
    """What a drain took: seconds, seconds of our own processor time, calls a thousand leads."""

    seconds: float
    cpu: float
    calls: dict[str, float]


@contextmanager
def cloud(kind: str, *, thinks: float) -> Iterator[Cloud]:
    """Run one."""
    if kind == "file":
        yield Cloud({"type": "file", "path": "var/leads.jsonl"}, {}, lambda: 0)
        return
    with azurite(thinks) if kind == "azure_table" else standin(kind, thinks) as running:
        yield running


@contextmanager
def standin(kind: str, thinks: float) -> Iterator[Cloud]:
    """Run one of the stand-ins for a CRM."""
    command = [sys.executable, "-m", "bench.clouds", kind, str(thinks)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())

        def calls() -> int:
            process.stdin.write("\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())["calls"]

        yield Cloud(told["settings"], told["secrets"], calls)
        process.stdin.close()


@contextmanager
def azurite(thinks: float) -> Iterator[Cloud]:
    """Run Microsoft's emulator of the table service."""
    if not MAIN.exists():
        msg = "Azurite, which `npm ci` brings"
        raise MissingError(msg)
    with folder() as made:
        emulator = Azurite(folder=made)
        mine = {"NODE_OPTIONS": f"--require {ROOT / 'bench/azurite.cjs'}", "BENCH_DELAY": str(thinks * 1000)}
        before = os.environ.copy()
        os.environ.update(mine)
        try:
            emulator.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        try:
            settings = {"type": "azure_table", "connection_string": "env:BENCH_TABLES"}
            log = made / "azurite.log"
            secrets = {"BENCH_TABLES": emulator.connection_string}
            yield Cloud(settings, secrets, lambda: log.read_text().count("call "))
        finally:
            emulator.stop()


def drained(kinds: tuple[str, ...], *, thinks: float, leads: int = LEADS) -> Drained:
    """Have leads wait for these systems, and drain them all at once."""
    with ExitStack() as stack:
        clouds = {kind: stack.enter_context(cloud(kind, thinks=thinks)) for kind in kinds}
        made = stack.enter_context(folder())
        took = run(made, clouds, leads=leads)
        calls = {kind: one.calls() * 1000 / leads for kind, one in clouds.items()}
    return Drained(took["seconds"], took["cpu"], calls)


def run(made: Path, clouds: dict[str, Cloud], *, leads: int) -> dict[str, float]:
    """Fill a store in this folder and drain it by a process of its own."""
    config = made / "leadwire.toml"
    config.write_text(
        '[store]\nurl = "sqlite:///leadwire.db"\n[sources.s]\nkeys = ["env:BENCH_KEY"]\n'
        + toml({name: one.settings for name, one in clouds.items()})
    )
    fill(f"sqlite:///{made}/leadwire.db", tuple(clouds), leads=leads)
    secrets = {name: secret for one in clouds.values() for name, secret in one.secrets.items()}
    environment = {**os.environ, **secrets, "LEADWIRE_CONFIG": str(config), "BENCH_KEY": "k", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench.drainer", *clouds]
    with (made / "log").open("wb") as log:
        done = subprocess.run(
            command, cwd=made, env=environment, stdout=log, stderr=subprocess.PIPE, text=True, check=True
        )
    return json.loads(done.stderr.splitlines()[-1])


def singly(kind: str, *, thinks: float, records: int = SINGLY) -> float:
    """Give the seconds that a plain loop takes for each record."""
    with cloud(kind, thinks=thinks) as running:
        loop = LOOPS[kind](running.settings, running.secrets)
        loop(0)  # connects
        begun = time.perf_counter()
        for number in range(1, records + 1):
            loop(number)
        return (time.perf_counter() - begun) / records
