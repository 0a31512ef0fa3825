"""What the store and the file say at the end, read without the program under test."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store import StoreUnavailable, open_store
from app.store.desk import arrivals, throughput
from app.store.tables import DEAD, WAITING, deliveries, inbox, receipts
from tests.faults.senders import number_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.book import Book
    from tests.faults.system import System


def in_file(path: Path) -> list[tuple[str, int]]:
    """Give id and number of every line."""
    with path.open(encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    return [(one["id"], number_of(one["lead"]["last_name"])) for one in documents]


def waiting(url: str) -> int:
    """Count what is not sorted in or not delivered."""
    store = open_store(url)
    try:
        with store.read() as connection:
            owed = connection.execute(sa.select(sa.func.count()).select_from(deliveries).where(WAITING)).scalar_one()
            unsorted = connection.execute(sa.select(sa.func.count()).select_from(inbox)).scalar_one()
    finally:
        store.close()
    return int(owed + unsorted)


def dead(url: str) -> int:
    """Count the deliveries on which patience is over."""
    store = open_store(url)
    try:
        with store.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(deliveries).where(DEAD)).scalar_one())
    finally:
        store.close()


def drained(system: System, url: str, *, seconds: float) -> int:
    """Wait until nothing waits any more; gives how much still does."""
    ends, left = time.monotonic() + seconds, -1
    while time.monotonic() < ends:
        system.tend()
        try:
            left = waiting(url)
        except StoreUnavailable:
            left = -1
        if left == 0:
            return 0
        time.sleep(0.2)
    return left


def faults_of_store(url: str, book: Book) -> list[str]:
    """Compare the store with the book and with its own counts; gives what is wrong."""
    store = open_store(url)
    try:
        with store.read() as connection:
            rows = connection.execute(sa.select(receipts.c.id, receipts.c.status)).all()
            states = connection.execute(
                sa.select(deliveries.c.destination, deliveries.c.state, sa.func.count()).group_by(
                    deliveries.c.destination, deliveries.c.state
                )
            ).all()
            counted = dict(
                connection.execute(
                    sa.select(arrivals.c.status, sa.func.sum(arrivals.c.number)).group_by(arrivals.c.status)
                ).all()
            )
            sent = dict(connection.execute(sa.select(throughput.c.destination, throughput.c.sent)).all())
    finally:
        store.close()
    known = {row.id for row in rows}
    missing = book.promised().keys() - known
    wrong = [f"{len(missing)} promised leads are not in the store: {sorted(missing)[:3]}"] if missing else []
    by_status: dict[str, int] = {}
    for row in rows:
        by_status[row.status] = by_status.get(row.status, 0) + 1
    if {name: int(number) for name, number in counted.items()} != by_status:
        wrong.append(f"arrivals are counted {counted}, and are {by_status}")
    for destination, state, number in states:
        if state != "sent":
            wrong.append(f"{number} deliveries to {destination} are {state}")
        elif sent.get(destination) != number:
            wrong.append(f"{sent.get(destination)} deliveries to {destination} are counted, and {number} were sent")
    return wrong
