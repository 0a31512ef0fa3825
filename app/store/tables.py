"""The tables. Times are whole milliseconds since 1970 in UTC, ids are time-ordered UUIDs in text form."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    case,
    literal,
    literal_column,
    text,
)

metadata = MetaData()  # `store.postgres` has the indexes' `sqlite_where` hold for PostgreSQL too


class Status(StrEnum):
    """What became of a body that came in."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    WITHHELD = "withheld"
    QUARANTINED = "quarantined"
    DISCARDED = "discarded"  # quarantined first, then a person said so
    ERASED = "erased"  # a person asked to be forgotten


class State(StrEnum):
    """Where a delivery stands. `held` is never stored: it is `due` while its destination is parked."""

    DUE = "due"
    SENDING = "sending"
    SENT = "sent"
    HELD = "held"
    DEAD = "dead"
    DISCARDED = "discarded"


# What was answered and is not sorted in yet: one row a body, written and read once, in the order it came.
inbox = Table(
    "inbox",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("duplicate_of", String(36)),
    Column("key", LargeBinary(16), unique=True),  # as in `duplicate_keys`, until it stands there
    Column("arrival", LargeBinary, nullable=False),  # `store.arrival` reads it
    sqlite_with_rowid=False,
)

# Every body that came in, one row, whatever became of it; the id is the lead's for life.
receipts = Table(
    "receipts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("status", String(12), nullable=False),
    Column("test", Boolean, nullable=False),
    Column("lead_source", Text),
    Column("action_code", Text),
    Column("offer", Text),  # at most LONGEST_OFFER characters of it
    Column("email_domain", Text),  # withheld leads only
    Column("duplicate_of", String(36)),
    Column("person", LargeBinary(16)),  # keyed hash of the e-mail address: finds a person without reading leads
    Column("sealed", LargeBinary),  # the normal form as JSON, see `store.sealing`; none for duplicate, quarantined
    Column("data_key", LargeBinary),  # the wrapped key without which `sealed` can't be read
    Column("unsealed", Text),  # what an earlier version kept in the clear, until it is sealed
)
Index("receipts_by_time", receipts.c.received_at)
Index("receipts_by_source", receipts.c.source, receipts.c.received_at)
_KNOWN = text("person IS NOT NULL")
Index("receipts_by_person", receipts.c.person, sqlite_where=_KNOWN)
# What people look for among a million ordinary leads.
UNUSUAL = text("status <> 'accepted'")
Index("receipts_unusual", receipts.c.status, receipts.c.received_at, sqlite_where=UNUSUAL)
TESTS = text("test")
Index("receipts_tests", receipts.c.received_at, sqlite_where=TESTS)
OFFERED = text("offer IS NOT NULL")
LONGEST_OFFER = 500  # PostgreSQL refuses an entry of an index beyond 2704 bytes; the lead itself has all of it
Index("receipts_by_offer", receipts.c.offer, receipts.c.received_at, sqlite_where=OFFERED)

# What a receipt still owes to each destination, or owed. `due_at` is when it may next be claimed:
# the next try of a `due` row, the end of the lease of a `sending` one.
deliveries = Table(
    "deliveries",
    metadata,
    Column("receipt_id", String(36), primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("state", String(10), nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),  # failed attempts that used up patience
    Column("claims", Integer, nullable=False, server_default="0"),  # also the fencing token of the latest claim
    Column("worker", Text),
    Column("code", Text),  # the catalogue code of the latest failure
    Column("remote_id", Text),
    Column("updated_at", BigInteger, nullable=False),
    ForeignKeyConstraint(["receipt_id"], ["receipts.id"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)
_WAITING = text("state IN ('due', 'sending')")
Index(
    "deliveries_waiting",
    deliveries.c.destination,
    deliveries.c.due_at,
    sqlite_where=_WAITING,
)
_FAILING = text("state IN ('due', 'sending') AND code IS NOT NULL")
Index(
    "deliveries_failing",
    deliveries.c.destination,
    deliveries.c.code,
    deliveries.c.due_at,
    sqlite_where=_FAILING,
)
_DEAD = text("state = 'dead'")
Index("deliveries_dead", deliveries.c.destination, deliveries.c.code, sqlite_where=_DEAD)
_DISCARDED = text("state = 'discarded'")
Index("deliveries_discarded", deliveries.c.destination, sqlite_where=_DISCARDED)

# Conditions on a state are written as literals, word for word as the partial indexes have them: neither database can
# prove of a bound parameter that it lies inside a partial index.
WAITING = deliveries.c.state.in_([literal_column(f"'{State.DUE}'"), literal_column(f"'{State.SENDING}'")])
DEAD = deliveries.c.state == literal_column(f"'{State.DEAD}'")
DISCARDED = deliveries.c.state == literal_column(f"'{State.DISCARDED}'")

# Each attempt, by the claim it was made under: the code, never the prose.
attempts = Table(
    "attempts",
    metadata,
    Column("receipt_id", String(36), primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("code", Text),  # none: it was sent
    Column("status", Integer),
    Column("raw_code", Text),  # what the system itself called it
    Column("verdict", String(8), nullable=False),
    Column("duration_ms", Integer, nullable=False),
    ForeignKeyConstraint(
        ["receipt_id", "destination"], ["deliveries.receipt_id", "deliveries.destination"], ondelete="CASCADE"
    ),
    sqlite_with_rowid=False,
)
Index("attempts_by_time", attempts.c.at)

# One row a destination that is in trouble, or was. Parked: no calls but probes. A green probe lets one call
# through; `since`, `code` and `probes` are cleared by the first success.
lanes = Table(
    "lanes",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("parked", Boolean, nullable=False),
    Column("since", BigInteger),
    Column("code", Text),
    Column("probes", Integer, nullable=False, server_default="0"),
    Column("next_probe_at", BigInteger),
)

# `held` as people see it: waiting at a destination that is parked.
SHOWN_STATE = case(
    (and_(deliveries.c.state == State.DUE, lanes.c.parked), literal(State.HELD.value)), else_=deliveries.c.state
)
WITH_LANE = deliveries.outerjoin(lanes, lanes.c.destination == deliveries.c.destination)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("content_type", Text, nullable=False),
    Column("sealed", LargeBinary),  # the body; none: an address of a withheld domain was seen in it
    Column("data_key", LargeBinary),
    Column("unsealed", LargeBinary),
    Column("length", Integer, nullable=False),
    Column("error", Text, nullable=False),  # JSON: status, title, detail, errors
    ForeignKeyConstraint(["id"], ["receipts.id"], ondelete="CASCADE"),
)

duplicate_keys = Table(
    "duplicate_keys",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),  # keyed hash of the whole normal form and its source
    Column("receipt_id", String(36), nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
Index("duplicate_keys_by_time", duplicate_keys.c.seen_at)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),  # ids, names of destinations and codes, never a person
    Column("why", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),  # the first word of `target`, to find a lead's acts by
    Column("number", BigInteger),  # in the chain, see `store.auditing`; none: an earlier version's, not chained yet
    Column("hash", LargeBinary(32)),
)
Index("audit_by_subject", audit.c.subject)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# The keys that wrap the data keys, each wrapped by a master key, which is not in the store. The newest seals.
encryption_keys = Table(
    "encryption_keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("master", Text, primary_key=True),  # the mark by which a master key knows its own
    Column("reference", Text, nullable=False),  # how the configuration named that, for messages
    Column("wrapped", LargeBinary, nullable=False),
    Column("made_at", BigInteger, nullable=False),
)


def to_ms(moment: datetime) -> int:
    """Give an aware datetime as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Give the aware datetime (UTC) of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def iso(milliseconds: int | None) -> str | None:
    """Give `2026-11-20T23:51:00.123Z`, as everything of ours writes a time."""
    if milliseconds is None:
        return None
    return from_ms(milliseconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")
