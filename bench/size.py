"""What a lead costs in the store once all four destinations have it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from bench.load import post
from bench.rows import Figure, Found, Question
from bench.servers import leads, leadwire
from tests.parts.server import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

WAVES = 3  # the first one makes room for what only passes through
SECONDS = 2
PATIENCE = 120  # seconds until a wave is delivered
QUESTIONS = {
    "size": Question(
        asks="Store's growth a lead, four destinations, all of them delivered", unit="bytes", at_most=2048
    ),
}


def measure() -> Iterator[Found]:
    """Send waves, each delivered before the next, and look how much the file grew from wave to wave."""
    sizes, counts, sent = [], [], 0
    with leadwire() as server:
        for _ in range(WAVES):
            sent += post(leads(server), seconds=SECONDS).answers
            if not until(lambda expected=sent: delivered(server) >= expected, seconds=PATIENCE):
                msg = f"{delivered(server)} of {sent} leads are delivered after {PATIENCE} s"
                raise RuntimeError(msg)
            until(lambda: False, seconds=1)  # what the last batch still records
            sizes.append(size(server))
            counts.append(accepted(server))
            see_kept(answered=sent, kept=counts[-1])
    grown = [(sizes[one] - sizes[one - 1]) / (counts[one] - counts[one - 1]) for one in range(1, WAVES)]
    each = Figure.of(grown)
    print(f"  {counts[-1]} leads, {sizes[-1] / 2**20:.0f} MB", file=sys.stderr)
    yield Found(key="size", figure=each, bars={"Leadwire": each}, unit="bytes")


def see_kept(*, answered: int, kept: int) -> None:
    """See that every answer was a lead of its own, and is there."""
    if kept < answered:
        msg = f"{answered} answers, but {kept} accepted leads in the store"
        raise RuntimeError(msg)


def delivered(server: Server) -> int:
    """Give how many leads all four files have."""
    files = [server.folder / f"var/leads-{number}.jsonl" for number in range(4)]
    return min(file.read_bytes().count(b"\n") if file.exists() else 0 for file in files)


def size(server: Server) -> int:
    """Give the database's size in bytes, with what is still in its write-ahead log."""
    return asked(server, "PRAGMA page_count") * asked(server, "PRAGMA page_size")


def accepted(server: Server) -> int:
    """Give how many leads were taken."""
    return asked(server, "SELECT count(*) FROM receipts WHERE status = 'accepted'")


def asked(server: Server, question: str) -> int:
    """Ask the store for one number."""
    with closing(sqlite3.connect(server.folder / "var/leadwire.db")) as connection:
        return connection.execute(question).fetchone()[0]
