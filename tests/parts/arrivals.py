"""What the store's tests put in and get out: short ways to say an arrival, a result, a crowd of processes."""

from __future__ import annotations

import contextlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta

import sqlalchemy as sa

from app.lead import Lead
from app.retry import Verdict
from app.store import open_store
from app.store.acts import Who
from app.store.arrival import Arrival, Quarantined, body_bytes, lead_text, person_key
from app.store.inbox import Inbox
from app.store.outbox import Outbox, Result
from app.store.tables import Status

NOW = 1_800_000_000_000  # ms
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SOMEONE = Who("someone", "asked to")
SEALED = {"receipts": ("lead", lead_text), "quarantine": ("body", body_bytes)}


def id_of(number):
    """A lead's id; they sort as their numbers do."""
    return f"{number:08x}-0000-7000-8000-000000000000"


def arrival(number=1, *, at=NOW, to=("table",), **more):
    """An accepted lead of Microsoft's documented sample customer."""
    lead = Lead(first_name="Some", last_name="One", email="someone@contoso.com", lead_source="AzureMarketplace")
    values = {"id": id_of(number), "received_at": at, "source": "marketplace", "status": Status.ACCEPTED}
    return Arrival(**{**values, "lead": lead, "destinations": tuple(to), **more})


def unreadable(number=1, *, at=NOW, body=b"{", **more):
    """A body that is no lead."""
    error = {"status": 400, "title": "This is not JSON", "detail": "It ends too early.", "errors": []}
    kept = Quarantined(content_type="application/json", body=body, length=len(body or b""), error=error)
    return arrival(number, at=at, to=(), status=Status.QUARANTINED, lead=None, quarantined=kept, **more)


def lead_of(store, number, lead, *, at=NOW, to=("table",)):
    """An accepted lead that is found again by its address."""
    return arrival(number, at=at, to=to, lead=lead, person=person_key(store, lead.email))


def inbox(store, *, window=DAY):
    return Inbox(store, window_ms=window)


def keep(store, *arrivals):
    """Put arrivals one after the other."""
    door = inbox(store)
    return [door.put(one) for one in arrivals]


def outbox(store, worker="worker-1", *, lease=180):
    return Outbox(store, worker=worker, lease=timedelta(seconds=lease), horizon=timedelta(hours=25))


def result(claim, state="sent", *, due=NOW, code=None, verdict=Verdict.DONE, **more):
    """What became of a claim."""
    values = {"tries": claim.tries, "raw_code": None, "status": None, "remote_id": None, "duration_ms": 7}
    return Result(claim=claim, state=state, due_at=due, code=code, verdict=verdict, **{**values, **more})


def held(claim, code="azure_table.authentication-failed"):
    """A result that parks the destination."""
    return result(claim, "due", code=code, verdict=Verdict.HOLD)


def failed(claim, *, due, code="network.timeout"):
    """A result that is tried again at `due`."""
    return result(claim, "due", due=due, code=code, verdict=Verdict.RETRY, tries=claim.tries + 1)


def dead(claim, code="azure_table.entity-too-large"):
    return result(claim, "dead", code=code, verdict=Verdict.DEAD, tries=claim.tries + 1)


def settle(store, how, *, destination="table", limit=1000, now=NOW):
    """Claim what is due and record the same about all of it."""
    box = outbox(store)
    claims = box.claim(destination, limit=limit, now=now)
    return box.record(destination, [how(claim) for claim in claims], now=now)


def rows(store, table, *where):
    """Everything in a table, as dicts; what is sealed, as `lead` or `body` in the clear."""
    with store.read() as connection:
        found = connection.execute(sa.select(table).where(*where).order_by(*table.primary_key.columns)).all()
    return [_unsealed(store, table, row) for row in found]


def _unsealed(store, table, row):
    shown = dict(row._mapping)
    if table.name in SEALED:
        name, read = SEALED[table.name]
        text = read(store, row)
        shown[name] = text.decode() if name == "lead" and text is not None else text
        for column in ("sealed", "data_key", "unsealed"):
            del shown[column]
    return shown


@contextlib.contextmanager
def read_only(store):
    """Have the database itself refuse every write."""
    refuse = "PRAGMA query_only=ON" if store.engine.dialect.name == "sqlite" else "SET TRANSACTION READ ONLY"
    listener = lambda connection: connection.exec_driver_sql(refuse)  # noqa: E731
    sa.event.listen(store.engine, "begin", listener)
    yield
    sa.event.remove(store.engine, "begin", listener)
    store.engine.dispose()  # SQLite's connections stay as they were told


def together(number, function, *arguments):
    """Run a function in several threads at once; gives the results in order, raises what one raised."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: function(*arguments), range(number)))


def in_processes(number, function, *arguments):
    """Run a function of an importable module in several fresh processes; gives the results in order."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=fresh) as pool:
        return [one.result(timeout=60) for one in [pool.submit(function, *arguments, one) for one in range(number)]]


def put_crowd(url, group):
    """In a process of its own: put 25 identical leads from 5 threads; gives ids and statuses."""
    store = open_store(url)
    door = inbox(store)
    with ThreadPoolExecutor(5) as pool:
        crowd = [arrival(1 + group * 100 + number, duplicate_key=b"k" * 16) for number in range(25)]
        receipts = list(pool.map(door.put, crowd))
    store.close()
    return [(receipt.id, str(receipt.status)) for receipt in receipts]


def migrate(url, _):
    """In a process of its own: migrate."""
    store = open_store(url)
    store.migrate()
    salt = store.salt()
    store.close()
    return salt


def put_one(url, number):
    """In a process of its own: put one lead."""
    store = open_store(url)
    keep(store, arrival(500 + number))
    store.close()
