"""The tables of the people's side: what is counted for them, problems and alerts, sign-ins and tokens.

Written like those of `tables`: times are milliseconds, and nothing here names a person who sent a lead.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)
from sqlalchemy import text as sql

from app.store.tables import metadata

HOUR_MS = 3_600_000

# How many came in, by hour and what they were taken for. Receivers each write a shard of their own, so that none
# waits for another's row; a sum over the shards is the number.
arrivals = Table(
    "arrivals",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # whole hours since 1970
    Column("source", Text, primary_key=True),
    Column("status", String(12), primary_key=True),
    Column("test", Boolean, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# What went out, one row a destination, and what the system's own limits leave, where it says so.
throughput = Table(
    "throughput",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("last_sent_at", BigInteger),
    Column("calls_used", Integer),
    Column("calls_allowed", Integer),
    Column("calls_of", Text),  # what is counted, such as "API calls in 24 hours"
    Column("calls_at", BigInteger),
)

# One row a destination and cause for as long as it lasts; closed ones are the history.
problems = Table(
    "problems",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("destination", Text, nullable=False),  # "": Leadwire itself
    Column("code", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),  # the latest failure
    Column("closed_at", BigInteger),
    Column("most_waiting", Integer, nullable=False, server_default="0"),
    Column("status", Integer),  # evidence: the system's own status, code and text, scrubbed of persons and secrets
    Column("raw_code", Text),
    Column("evidence", Text),
    Column("acknowledged_at", BigInteger),
    Column("acknowledged_by", Text),
    Column("note", Text),
    Column("done", Text, nullable=False, server_default="[]"),  # JSON: the numbers of the remedy's steps ticked off
    Column("alerted", Integer, nullable=False, server_default="0"),  # how many alerts told of it
)
_OPEN = sql("closed_at IS NULL")
Index(
    "problems_open",
    problems.c.destination,
    problems.c.code,
    unique=True,
    sqlite_where=_OPEN,
)
Index("problems_by_end", problems.c.closed_at)

# Alerts on their way out, one row a channel; what went out stays as history until it is purged.
alerts = Table(
    "alerts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("channel", String(8), primary_key=True),  # mail, webhook
    Column("problem_id", String(36), nullable=False),
    Column("kind", String(10), nullable=False),  # opened, reminder, recovered
    Column("made_at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),  # JSON: subject and lines
    Column("due_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("sent_at", BigInteger),
    Column("failure", Text),  # why the latest try failed: a catalogue code or an HTTP status
    ForeignKeyConstraint(["problem_id"], ["problems.id"], ondelete="CASCADE"),
)
_UNSENT = sql("sent_at IS NULL")
Index("alerts_unsent", alerts.c.due_at, sqlite_where=_UNSENT)
Index("alerts_by_problem", alerts.c.problem_id)

# The latest result of `check` for each destination, whoever asked.
checks = Table(
    "checks",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("code", Text),  # none: all was well
    Column("detail", Text, nullable=False),
    Column("actor", Text, nullable=False),
)

# When each source key was last used; a key is known by the beginning of its hash.
key_uses = Table(
    "key_uses",
    metadata,
    Column("fingerprint", String(16), primary_key=True),
    Column("source", Text, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
)

# Who is signed in to the console, known by the hash of what their cookie holds.
sessions = Table(
    "sessions",
    metadata,
    Column("key", LargeBinary(32), primary_key=True),
    Column("actor", Text, nullable=False),
    Column("role", String(10), nullable=False),  # reader, operator
    Column("proof", LargeBinary(32)),  # of the password they gave: another password ends the session
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("sessions_by_end", sessions.c.expires_at)

# Wrong passwords, by keyed hash of the address they came from.
sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("address", LargeBinary(16), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("wait_until", BigInteger, nullable=False),
)

# Tokens of `/api/v1`: only the hash is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(10), nullable=False),  # reader, operator
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
)
