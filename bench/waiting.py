"""Stores in which leads wait, made without anybody having sent them."""

from __future__ import annotations

import json
import time

import uuid_utils

from app.lead import Lead
from app.store import open_store
from app.store.arrival import Arrival, sealed
from app.store.sorting import Sorter
from app.store.tables import Status

AT_ONCE = 1000
A_DAY = 1_050  # leads; a day is a partition in Azure Table storage, and no multiple of a call's hundred rows
DAY = 86_400_000  # ms


def lead(number):
    """Give a lead unlike every other, of an ordinary size."""
    return Lead(
        first_name="Some", last_name=f"One {number}", email=f"someone{number}@contoso.com", phone="16175555555",
        country="US", company="Contoso", title="Esquire", lead_source="AzureMarketplace", action_code="INS",
        offer_title="Test Microsoft", description="Test run",
    )  # fmt: skip


def fill(url, names, *, leads):
    """Put leads into a store, all due at all of these destinations, as days without delivery leave them."""
    store = open_store(url)
    store.migrate()
    sorter, now = Sorter(store), round(time.time() * 1000)
    first = now - leads // A_DAY * DAY
    for start in range(0, leads, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, leads))
        came = [sealed(arrival(number, names, first + number // A_DAY * DAY), store) for number in numbers]
        with store.write(durable=False) as connection:
            sorter.write(connection, [(one, None) for one in came])
    store.close()


def arrival(number, names, at):
    """Make one that came then (ms)."""
    return Arrival(
        id=str(uuid_utils.uuid7()), received_at=at, source="marketplace", status=Status.ACCEPTED, lead=lead(number),
        destinations=tuple(names),
    )  # fmt: skip


def toml(destinations):
    """Write destinations as a configuration file does: settings by name."""
    lines = []
    for name, settings in destinations.items():
        lines += [f"[destinations.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"
