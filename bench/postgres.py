"""PostgreSQL as the store, on this machine, beside SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.accept import warmed
from bench.rows import Figure, Found, MissingError, Question
from bench.servers import FOUR_FILES, leads, leadwire
from tests.parts.postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
OURS, REFERENCE = "Leadwire on PostgreSQL", "Leadwire on SQLite"
QUESTIONS = {
    "postgres": Question(
        asks="Leads accepted a second on PostgreSQL, two receivers", reference="the same on SQLite", at_least=0.7
    ),
}


def measure() -> Iterator[Found]:
    """Take both in turn, each round over an empty store."""
    database = running()
    if database is None:
        msg = "PostgreSQL; `make parts` installs it, LEADWIRE_TEST_POSTGRES names another"
        raise MissingError(msg)
    took: dict[str, list[float]] = {OURS: [], REFERENCE: []}
    for _ in range(ROUNDS):
        with leadwire(FOUR_FILES) as server:
            took[REFERENCE].append(warmed(leads(server)).rate)
        url = database.create()
        try:
            with leadwire(FOUR_FILES, store=url) as server:
                took[OURS].append(warmed(leads(server)).rate)
        finally:
            database.drop(url)
    bars = {name: Figure.of(rates) for name, rates in took.items()}
    yield Found(key="postgres", figure=Figure.paired(took[OURS], took[REFERENCE]), bars=bars, unit="leads/s")
