"""The audit: who did what and why, in entries that are chained, so that none can be changed or removed unseen.

An entry's hash is keyed (HMAC-SHA256) and covers the hash before it, so nobody without the store's key can make one.
The head, in `meta`, says how long the chain is. Who kept a head elsewhere can tell even a store that was put back as a
whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import sqlalchemy as sa

from app.log import logger
from app.store.tables import audit, iso, meta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store

log = logger("store")
HEAD = "audit_head"  # its name in `meta`
START = bytes(32)  # what the first entry takes for the hash before it
AT_ONCE = 1000  # rows in memory
_FIELDS = ("at", "actor", "action", "target", "why", "subject")
_HEAD = struct.Struct(">Q32s32s")  # number, hash, and a keyed hash of both: a shorter chain's can't be made up
_ABOUT_ENTRY, _ABOUT_HEAD = b"entry", b"head"
_encode = msgspec.msgpack.Encoder().encode
_NOT_YET = "is not chained yet: an earlier version wrote it, and the next act chains it"
_CHAINED = audit.c.hash.is_not(None)


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts and why, for the audit."""

    actor: str
    why: str = ""


class Head(NamedTuple):
    """The latest entry: its number in the chain and its hash."""

    number: int = 0
    hash: bytes = START

    def __str__(self) -> str:
        """Give it as it is shown, to be kept elsewhere."""
        return f"{self.number}:{self.hash.hex()}"


class Note(Protocol):
    """Leaves an entry a target in the transaction of what was done to it."""

    def __call__(self, action: str, *targets: str, now: int, who: Who) -> None:
        """Note it; `now` in milliseconds."""
        ...


class Verdict(NamedTuple):
    """Whether the audit is as it was written: how many entries hold, the head, and of the first that doesn't, why."""

    entries: int
    head: str
    fault: str | None = None
    entry: dict[str, Any] | None = None  # id, at and action


@contextlib.contextmanager
def audited(store: Store) -> Iterator[tuple[Connection, Note]]:
    """Give a write transaction and what notes acts in it; raises what `Store.write` and `Keyring.unlock` do.

    Entries are written as the transaction's last act: the head is locked then, and who writes one waits for it.
    """
    key = _key(store)  # first: inside a transaction keys can't be made
    entries: list[dict[str, Any]] = []

    def note(action: str, *targets: str, now: int, who: Who) -> None:
        for one in targets:
            subject = one.split(" ")[0]
            row = {"at": now, "actor": who.actor, "action": action, "target": one, "why": who.why, "subject": subject}
            entries.append(row)

    with store.write() as connection:
        yield connection, note
        if entries:
            _append(store, connection, key, entries)


def record(store: Store, action: str, target: str, *, now: int, who: Who) -> None:
    """Leave an entry of what changes nothing else, such as looking at a person."""
    with audited(store) as (_, note):
        note(action, target, now=now, who=who)


def head(store: Store) -> str:
    """Give the chain's head as it is shown; raises what `Keyring.unlock` does."""
    key = _key(store)
    with store.read() as connection:
        return str(_read(_kept(connection), key) or Head())


def verify(store: Store, *, kept: str | None = None) -> Verdict:
    """Follow the chain from its beginning; `kept` is a head that was shown earlier and must still be in it.

    Raises:
        ValueError: `kept` is no head.
        StoreUnavailable: it can't be read.

    """
    wanted = _parsed(kept) if kept is not None else Head()
    key = _key(store)
    last = Head()
    columns = (audit.c.id, *(audit.c[name] for name in (*_FIELDS, "number", "hash")))
    with store.read() as connection:
        stored = _kept(connection)
        rows = connection.execute(sa.select(*columns).order_by(audit.c.id), execution_options={"yield_per": AT_ONCE})
        for row in rows:
            fault = _fault(row, last, key) if stored or row.hash is not None else _NOT_YET
            if fault is None and row.number == wanted.number and bytes(row.hash) != wanted.hash:
                fault = "is not the one whose head was kept: the store was put back, or its chain made anew"
            if fault is not None:
                rows.close()
                shown = {"id": row.id, "at": iso(row.at) if type(row.at) is int else None, "action": row.action}
                return Verdict(last.number, str(last), fault, shown)
            last = Head(row.number, bytes(row.hash))
    return Verdict(last.number, str(last), _fault_at_end(last, wanted, stored, key))


def _fault(row: Any, last: Head, key: bytes) -> str | None:  # noqa: ANN401  (a row)
    if row.hash is None or row.number is None:
        return "is not chained: it was not written by this version of Leadwire"
    if type(row.number) is not int or type(row.hash) is not bytes:  # SQLite takes anything into any column
        return "was changed"
    if row.number > last.number + 1:
        return f"does not follow: {_entries(row.number - last.number - 1)} missing before it"
    if row.number <= last.number:
        return "does not follow: it stands in another's place, or the head was lost before it"
    if not hmac.compare_digest(bytes(row.hash), _hash(key, row._asdict(), Head(row.number, last.hash))):
        return "was changed, or the one before it was"
    return None


def _fault_at_end(last: Head, wanted: Head, stored: bytes | None, key: bytes) -> str | None:
    told = _read(stored, key)
    if told is None and (stored or last.number):
        return "the head of the audit was changed or removed: entries may be missing at the end"
    if told is not None and told.number > last.number:
        return f"{_entries(told.number - last.number)} missing at the end"
    if told is not None and told != last:
        return "the head of the audit was put back to an earlier one"
    if wanted.number > last.number:
        return f"{_entries(wanted.number - last.number)} missing at the end, by the head that was kept"
    return None


def _entries(number: int) -> str:
    return "1 entry is" if number == 1 else f"{number} entries are"


def _append(store: Store, connection: Connection, key: bytes, entries: Sequence[dict[str, Any]]) -> None:
    connection.execute(store.insert(meta).values(name=HEAD, value=b"").on_conflict_do_nothing())
    stored = connection.execute(sa.select(meta.c.value).where(meta.c.name == HEAD).with_for_update()).scalar_one()
    last = _read(bytes(stored), key) or _begin(connection, key)
    rows = []
    for entry in entries:
        last = Head(last.number + 1, _hash(key, entry, Head(last.number + 1, last.hash)))
        rows.append({**entry, "number": last.number, "hash": last.hash})
    connection.execute(audit.insert(), rows)
    value = _HEAD.pack(*last, _mac(key, _ABOUT_HEAD, *last))
    connection.execute(meta.update().where(meta.c.name == HEAD).values(value=value))


def _begin(connection: Connection, key: bytes) -> Head:
    """Chain what an earlier version wrote; gives its head."""
    longest = connection.execute(sa.select(sa.func.max(audit.c.number)).where(_CHAINED)).scalar()
    if longest is not None:
        # Acts must go on, but what follows doesn't hold: it hides nothing.
        log.error("audit.head-lost", entries=longest)
        return Head(longest)
    last, after = Head(), 0
    change = audit.update().where(audit.c.id == sa.bindparam("b_id"))
    change = change.values(number=sa.bindparam("b_number"), hash=sa.bindparam("b_hash"))
    while rows := connection.execute(
        sa.select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(AT_ONCE)
    ).all():
        chained = []
        for row in rows:
            last = Head(last.number + 1, _hash(key, row._asdict(), Head(last.number + 1, last.hash)))
            chained.append({"b_id": row.id, "b_number": last.number, "b_hash": last.hash})
        connection.execute(change, chained)
        after = rows[-1].id
    return last


def _key(store: Store) -> bytes:
    return hmac.digest(store.salt(), b"leadwire audit", "sha256")


def _hash(key: bytes, entry: dict[str, Any], before: Head) -> bytes:
    """Hash an entry with its own number and the hash before it."""
    return _mac(key, _ABOUT_ENTRY, *before, *(entry[name] for name in _FIELDS))


def _mac(key: bytes, *parts: bytes | int | str) -> bytes:
    # MessagePack says of each part what it is and where it ends: no two lists are written alike.
    return hmac.digest(key, _encode(parts), hashlib.sha256)


def _kept(connection: Connection) -> bytes | None:
    found = connection.execute(sa.select(meta.c.value).where(meta.c.name == HEAD)).scalar()
    return None if found is None else bytes(found)


def _read(stored: bytes | None, key: bytes) -> Head | None:
    """Read the head; None where there is none, or another's."""
    if stored is None or len(stored) != _HEAD.size:
        return None
    number, hash_, mac = _HEAD.unpack(stored)
    return Head(number, hash_) if hmac.compare_digest(mac, _mac(key, _ABOUT_HEAD, number, hash_)) else None


def _parsed(text: str) -> Head:
    found = re.fullmatch("([0-9]{1,18}):([0-9a-f]{64})", text.strip())
    if found is None:
        msg = "A head is a number, a colon and 64 digits and letters, as `leadwire audit verify` printed it."
        raise ValueError(msg)
    return Head(int(found[1]), bytes.fromhex(found[2]))
