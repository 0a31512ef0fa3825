"""Accepting: validated, de-duplicated, four deliveries owed, on disk before the answer; beside what saves nothing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench.load import Load, post
from bench.rows import Figure, Found, MissingError, Question, not_measured
from bench.servers import FOUR_FILES, ROOT, empty_route, folder, leads, leadwire, reference, settled
from tests.parts.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

ROUNDS = 3
SECONDS = 4
WARM_UP = 1
NODE_RED = ROOT / "bench/node-red"
OURS, ALONE, EMPTY, FLOW = "Leadwire", "Leadwire, --no-worker", "empty Flask route", "Node-RED, saves nothing"
QUESTIONS = {
    "accept": Question(
        asks="Leads accepted a second: 16 connections, four destinations, SQLite",
        reference="an empty Flask route, same server",
        at_least=0.60,
    ),
    "accept-alone": Question(asks="  the same while nothing delivers (--no-worker)", reference="the same"),
    "node-red": Question(asks="Leads accepted a second", reference="Node-RED, which saves nothing", at_least=1.5),
    "p99": Question(
        asks="99th percentile of the answer at that load", reference="the empty route's 99th percentile", at_most=2.0
    ),
}


def measure() -> Iterator[Found]:
    """Post to each in turn; ours begins each round with an empty store and nothing to deliver."""
    with ExitStack() as stack:
        addresses = {EMPTY: stack.enter_context(empty_route())}
        missing = ""
        try:
            addresses[FLOW] = stack.enter_context(node_red(stack.enter_context(folder()).as_posix()))
        except MissingError as exc:
            missing = str(exc)
        took = rounds(addresses)
    rates = {name: [one.rate for one in loads] for name, loads in took.items()}
    bars = {name: Figure.of(values) for name, values in rates.items()}
    yield Found(key="accept", figure=Figure.paired(rates[OURS], rates[EMPTY]), bars=bars, unit="leads/s")
    yield Found(key="accept-alone", figure=Figure.paired(rates[ALONE], rates[EMPTY]))
    if missing:
        yield not_measured("node-red", missing)
    else:
        both = {name: bars[name] for name in (OURS, FLOW)}
        yield Found(key="node-red", figure=Figure.paired(rates[OURS], rates[FLOW]), bars=both, unit="leads/s")
    late = {name: [one.p99 for one in loads] for name, loads in took.items()}
    bars = {name: Figure.of(values) for name, values in late.items()}
    yield Found(key="p99", figure=Figure.paired(late[OURS], late[EMPTY]), bars=bars, unit="ms")


def rounds(addresses: dict[str, str]) -> dict[str, list[Load]]:
    """Load every server in turn, and that several times."""
    took: dict[str, list[Load]] = {OURS: [], ALONE: [], **{name: [] for name in addresses}}
    for _ in range(ROUNDS):
        for name, address in addresses.items():
            took[name].append(warmed(address))
        for name, arguments in ((OURS, ()), (ALONE, ("--no-worker",))):
            with leadwire(FOUR_FILES, *arguments) as server:
                took[name].append(warmed(leads(server)))
    return took


def warmed(address: str, **more: int) -> Load:
    """Measure what has come to speed."""
    settled()
    post(address, seconds=WARM_UP, **more)
    return post(address, seconds=SECONDS, **more)


def node_red(user: str) -> AbstractContextManager[str]:
    """Run Node-RED's flow from HTTP to a function and back.

    Raises:
        MissingError: it is not installed.

    """
    program = NODE_RED / "node_modules/.bin/node-red"
    if not program.exists():
        msg = "Node-RED, which npm brings; `make bench` installs it"
        raise MissingError(msg)
    port = free_port()
    command = ["env", f"PORT={port}", str(program), "--settings", "settings.js", "--userDir", user]
    return reference(command, f"http://127.0.0.1:{port}/leads", cwd=NODE_RED)
