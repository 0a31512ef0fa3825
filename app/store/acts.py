"""What people change: replay, discard, repair, release, erase, purge. Each leaves an audit row in its transaction."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import sqlalchemy as sa

from app.store.desk import checks, problems
from app.store.inbox import delivery_row, lead_columns
from app.store.tables import (
    WAITING,
    State,
    Status,
    attempts,
    audit,
    deliveries,
    duplicate_keys,
    lanes,
    quarantine,
    receipts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store
    from app.store.inbox import Arrival, Quarantined

CHUNK = 500  # rows a transaction in what may touch very many: senders must not wait behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which deliveries: of these leads, this destination, with this code, of leads received since (ms)."""

    ids: tuple[str, ...] = ()
    destination: str | None = None
    code: str | None = None
    since: int | None = None
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts and why, for the audit."""

    actor: str
    why: str = ""


class Acts:
    """Everything that people change."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def record(self, action: str, target: str, *, now: int, who: Who) -> None:
        """Leave an audit row of what changes nothing but must not go unseen, such as looking at a person."""
        with self._store.write() as connection:
            note(connection, action, target, now=now, who=who)

    def keep_check(self, destination: str, *, code: str | None, detail: str, now: int, who: Who) -> None:
        """Keep the result of a check as the destination's latest; `code` None: all was well."""
        row = {"at": now, "code": code, "detail": detail, "actor": who.actor}
        keep = self._store.insert(checks).values(destination=destination, **row)
        with self._store.write() as connection:
            connection.execute(keep.on_conflict_do_update(index_elements=["destination"], set_=row))
            note(connection, "check", f"{destination} {code or 'ok'}", now=now, who=who)

    def find(self, selection: Selection) -> list[tuple[str, str, str]]:
        """Give lead, destination and state of every delivery selected."""
        query = sa.select(deliveries.c.receipt_id, deliveries.c.destination, deliveries.c.state).join(receipts)
        # Of an erased lead nothing is left that could be delivered.
        query = query.where(deliveries.c.state.in_(selection.states), receipts.c.status != Status.ERASED)
        if selection.ids:
            query = query.where(deliveries.c.receipt_id.in_(selection.ids))
        if selection.destination is not None:
            query = query.where(deliveries.c.destination == selection.destination)
        if selection.code is not None:
            query = query.where(deliveries.c.code == selection.code)
        if selection.since is not None:
            query = query.where(receipts.c.received_at >= selection.since)
        query = query.order_by(deliveries.c.receipt_id, deliveries.c.destination)
        with self._store.read() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def replay(self, found: Sequence[tuple[str, str, str]], *, now: int, who: Who) -> int:
        """Make deliveries due now with fresh patience and have their parked destinations probed; gives how many."""
        fresh = {"state": State.DUE, "due_at": now, "tries": 0, "updated_at": now}
        changed = self._change(found, fresh, "replay", now=now, who=who)
        self.try_now({destination for _, destination, _ in found}, now=now)
        return changed

    def discard(self, found: Sequence[tuple[str, str, str]], *, now: int, who: Who) -> int:
        """Give up deliveries because a person said so; gives how many."""
        return self._change(found, {"state": State.DISCARDED, "updated_at": now}, "discard", now=now, who=who)

    def _change(
        self, found: Sequence[tuple[str, str, str]], values: dict[str, Any], action: str, *, now: int, who: Who
    ) -> int:
        key = sa.tuple_(deliveries.c.receipt_id, deliveries.c.destination)
        changed = 0
        for start in range(0, len(found), CHUNK):
            with self._store.write() as connection:
                still = _unmoved(connection, found[start : start + CHUNK])
                if not still:
                    continue
                connection.execute(deliveries.update().where(key.in_(still)).values(**values))
                note(connection, action, *(f"{id_} {destination}" for id_, destination in still), now=now, who=who)
                self._store.notify(connection)
            self._store.wake()
            changed += len(still)
        return changed

    def add_delivery(self, receipt_id: str, destination: str, *, now: int, who: Who) -> bool:
        """Owe a lead to a destination that it was not routed to; tells whether that was new."""
        row = self._store.insert(deliveries).values(delivery_row(receipt_id, destination, at=now))
        # Asked for the row itself: of inserts SQLAlchemy has no row count on PostgreSQL.
        row = row.on_conflict_do_nothing().returning(deliveries.c.receipt_id)
        with self._store.write() as connection:
            added = connection.execute(row).first() is not None
            if added:
                note(connection, "replay", f"{receipt_id} {destination}", now=now, who=who)
                self._store.notify(connection)
        self._store.wake()
        return added

    def try_now(self, destinations: set[str], *, now: int) -> None:
        """Have destinations tried at once: probed where they are parked, else with what waits for its next try."""
        parked = sa.and_(lanes.c.destination.in_(destinations), lanes.c.parked)
        # Only what has failed before: what a destination put off itself, for a digest, comes when it said.
        later = sa.and_(
            deliveries.c.destination.in_(destinations),
            WAITING,
            deliveries.c.state == State.DUE,
            deliveries.c.due_at > now,
            deliveries.c.tries > 0,
        )
        with self._store.write() as connection:
            connection.execute(lanes.update().where(parked).values(next_probe_at=now))
            connection.execute(deliveries.update().where(later).values(due_at=now))
            self._store.notify(connection)
        self._store.wake()

    def repair(self, id_: str, kept: Quarantined, *, now: int, who: Who) -> bool:
        """Put another body in place of a quarantined one; tells whether it was there."""
        row = {"body": kept.body, "length": kept.length, "error": json.dumps(kept.error)}
        with self._store.write() as connection:
            changed = connection.execute(
                quarantine.update().where(quarantine.c.id == id_).values(content_type=kept.content_type, **row)
            ).rowcount
            if changed:
                note(connection, "repair", id_, now=now, who=who)
        return changed > 0

    def release(self, id_: str, arrival: Arrival, *, now: int, who: Who) -> bool:
        """Turn a quarantined body into the lead it holds, under the id its sender was told; tells if it was there."""
        values = {
            "status": arrival.status,
            "test": arrival.test,
            "email_domain": arrival.email_domain,
            "person": arrival.person,
            **lead_columns(arrival.lead),
        }
        waiting = sa.and_(receipts.c.id == id_, receipts.c.status == Status.QUARANTINED)
        owed = [delivery_row(id_, name, at=now) for name in arrival.destinations]
        with self._store.write() as connection:
            if not connection.execute(receipts.update().where(waiting).values(**values)).rowcount:
                return False
            connection.execute(quarantine.delete().where(quarantine.c.id == id_))
            if owed:
                connection.execute(deliveries.insert(), owed)
                self._store.notify(connection)
            note(connection, "release", id_, now=now, who=who)
        self._store.wake()
        return True

    def discard_quarantined(self, ids: Sequence[str], *, now: int, who: Who) -> int:
        """Give up quarantined bodies; gives how many."""
        waiting = sa.and_(receipts.c.id.in_(ids), receipts.c.status == Status.QUARANTINED)
        change = receipts.update().where(waiting).values(status=Status.DISCARDED).returning(receipts.c.id)
        with self._store.write() as connection:
            changed = connection.execute(change).scalars().all()
            connection.execute(quarantine.delete().where(quarantine.c.id.in_(changed)))
            note(connection, "discard", *changed, now=now, who=who)
        return len(changed)

    def find_person(self, email: str, key: bytes) -> list[str]:
        """Give the ids of everything that holds an address: the lead's own, or anywhere in its text."""
        own = sa.select(receipts.c.id).where(receipts.c.person == key)
        # Databases differ in how they fold letters beyond ASCII; the rest of the address narrows it down.
        plain = max(re.split(r"[^\x21-\x7e]|[\"\\\\]", email), key=len)
        mentioned = sa.func.lower(receipts.c.lead).contains(plain.lower(), autoescape=True)
        texts = sa.select(receipts.c.id, receipts.c.lead).where(mentioned)
        bodies = sa.select(quarantine.c.id, quarantine.c.body).where(quarantine.c.body.is_not(None))
        with self._store.read() as connection:
            ids = set(connection.execute(own).scalars())
            ids.update(row.id for row in connection.execute(texts) if _reads(row.lead, email))
            found = connection.execute(bodies.execution_options(yield_per=50))
            ids.update(row.id for row in found if _holds(bytes(row.body), email))
        return sorted(ids)

    def erase(self, ids: Sequence[str], *, now: int, who: Who) -> list[dict[str, Any]]:
        """Forget who these leads were; gives the destinations that hold them, with their record ids.

        What was tried and not confirmed may have arrived too: it is among them, not `certain`, and is not sent again.
        """
        held: list[dict[str, Any]] = []
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            mine = deliveries.c.receipt_id.in_(chunk)
            tried = sa.or_(deliveries.c.state.in_([State.SENT, State.SENDING]), deliveries.c.claims > 0)
            with self._store.write() as connection:
                held += [
                    {
                        "id": row.receipt_id,
                        "destination": row.destination,
                        "remote_id": row.remote_id,
                        "certain": row.state == State.SENT,
                    }
                    for row in connection.execute(
                        sa.select(deliveries).where(mine, tried).order_by(*deliveries.primary_key)
                    )
                ]
                unsent = sa.and_(mine, deliveries.c.state != State.SENT)
                connection.execute(deliveries.update().where(unsent).values(state=State.DISCARDED, updated_at=now))
                gone = {"status": Status.ERASED, "lead": None, "person": None}
                connection.execute(receipts.update().where(receipts.c.id.in_(chunk)).values(**gone))
                connection.execute(quarantine.delete().where(quarantine.c.id.in_(chunk)))
                connection.execute(duplicate_keys.delete().where(duplicate_keys.c.receipt_id.in_(chunk)))
                note(connection, "erase", *chunk, now=now, who=who)
        self._store.scrub()
        return held

    def purge(
        self, *, leads: int, tests: int, bodies: int, tries: int, keys: int, now: int, who: Who
    ) -> dict[str, int]:
        """Delete what is older than each of these moments (ms); what still waits for a destination stays."""
        owed = sa.select(deliveries.c.receipt_id).where(WAITING)
        settled = sa.and_(receipts.c.status != Status.QUARANTINED, receipts.c.id.not_in(owed))
        old_lead = sa.and_(settled, receipts.c.test.is_(False), receipts.c.received_at < leads)
        old_test = sa.and_(settled, receipts.c.test, receipts.c.received_at < tests)
        old_body = sa.and_(receipts.c.status == Status.QUARANTINED, receipts.c.received_at < bodies)
        counts = {
            "leads": self._delete(receipts, old_lead),
            "test_leads": self._delete(receipts, old_test),
            "quarantined": self._delete(receipts, old_body),
            "attempts": self._delete(attempts, attempts.c.at < tries),
        }
        self._delete(duplicate_keys, duplicate_keys.c.seen_at < keys)
        self._delete(problems, problems.c.closed_at < tries)  # their alerts go with them
        with self._store.write() as connection:
            note(connection, "purge", json.dumps(counts), now=now, who=who)
        self._store.scrub()
        return counts

    def _delete(self, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
        key = sa.tuple_(*table.primary_key.columns)
        some = sa.select(*table.primary_key.columns).where(which).limit(CHUNK)
        deleted = 0
        while True:
            with self._store.write() as connection:
                number = connection.execute(table.delete().where(key.in_(some))).rowcount
            deleted += number
            if number < CHUNK:
                return deleted


def note(connection: Connection, action: str, *targets: str, now: int, who: Who) -> None:
    """Leave an audit row a target, in the transaction of what was done to it."""
    rows = [
        {"at": now, "actor": who.actor, "action": action, "target": one, "why": who.why, "subject": one.split(" ")[0]}
        for one in targets
    ]
    if rows:
        connection.execute(audit.insert(), rows)


def _unmoved(connection: Connection, found: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Lock and give those that stand as they did when they were looked at: what has moved on since is left alone."""
    seen = sa.tuple_(deliveries.c.receipt_id, deliveries.c.destination, deliveries.c.state)
    query = (
        sa.select(deliveries.c.receipt_id, deliveries.c.destination)
        .join(receipts)
        .where(seen.in_(found), receipts.c.status != Status.ERASED)
        .order_by(deliveries.c.receipt_id, deliveries.c.destination)
        .with_for_update(of=deliveries)
    )
    return [(row.receipt_id, row.destination) for row in connection.execute(query)]


def _holds(body: bytes, email: str) -> bool:
    return any(_reads(body.decode(encoding, "ignore"), email) for encoding in ("utf-8", "utf-16", "utf-16-be"))


def _reads(text: str, email: str) -> bool:
    """Whether an address stands in a text, also escaped as JSON or a form would have it."""
    # The whole address: one@contoso.com is not in someone@contoso.com, nor in one@contoso.com.au.
    wanted = re.compile(rf"(?<![\w.+-]){re.escape(email.casefold())}(?![\w-]|\.\w)")
    unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    unescaped = re.sub(r"\\(.)", r"\1", re.sub(r"\\[bfnrt]", " ", unescaped))
    # In a form a plus is a blank, elsewhere it is part of an address.
    plain = unquote_plus(text) if "%40" in text else text
    return any(wanted.search(one.casefold()) for one in (text, unescaped, plain))
