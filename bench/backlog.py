"""Accepting while a hundred thousand leads that came before are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.accept import warmed
from bench.pile import copy_store, pile_up
from bench.rows import Figure, Found, Question
from bench.servers import FOUR_FILES, folder, leads, leadwire, running
from tests.parts.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = 3
LEADS = 100_000
BUSY, IDLE = "Leadwire while it delivers 100,000", "Leadwire, nothing waits"
QUESTIONS = {
    "backlog": Question(
        asks=f"Leads accepted a second while {LEADS:,} are delivered", reference="with nothing waiting", at_least=0.6
    ),
}


def measure() -> Iterator[Found]:
    """Take both in turn; the pile is the same each time, and still there afterwards."""
    took: dict[str, list[float]] = {BUSY: [], IDLE: []}
    with folder() as made:
        pile = made / "pile.db"
        pile_up(pile, leads=LEADS)
        for _ in range(ROUNDS):
            with leadwire() as server:
                took[IDLE].append(warmed(leads(server)).rate)
            took[BUSY].append(while_delivering(pile))
    bars = {name: Figure.of(rates) for name, rates in took.items()}
    yield Found(key="backlog", figure=Figure.paired(took[BUSY], took[IDLE]), bars=bars, unit="leads/s")


def while_delivering(pile: Path) -> float:
    """Give the rate over a copy of the pile.

    Raises:
        RuntimeError: the pile was not being delivered all the time.

    """
    with folder() as made:
        server = Server(made, more=FOUR_FILES)
        (made / "var").mkdir()
        copy_store(pile, made / "var/leadwire.db")
        with running(server):
            rate = warmed(leads(server)).rate
            done = [delivered(made, number) for number in range(4)]
    if min(done) == 0 or max(done) >= LEADS:
        msg = f"of {LEADS} waiting leads the four destinations had {done}"
        raise RuntimeError(msg)
    return rate


def delivered(made: Path, number: int) -> int:
    """Count the lines of a destination's file."""
    file = made / f"var/leads-{number}.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0
