"""Finding leads among very many: newest first, a page at a time, each filter on an index of its own.

Pages are keyset pages: the next one begins after the last row seen, however many came in meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.desk import throughput
from app.store.tables import (
    DEAD,
    DISCARDED,
    OFFERED,
    SHOWN_STATE,
    TESTS,
    UNUSUAL,
    WAITING,
    WITH_LANE,
    State,
    Status,
    deliveries,
    receipts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row

    from app.store.engine import Store

DESTINATIONS = 32  # of one lead: so many of its deliveries may be among those found
MANY_OFFERS = 40  # matching offers that are looked up one by one; beyond, all leads are read in order
# What a state implies, where that leads into a partial index.
INDEXED: dict[str, sa.ColumnElement[bool]] = {
    State.DUE: WAITING,
    State.SENDING: WAITING,
    State.HELD: WAITING,
    State.DEAD: DEAD,
    State.DISCARDED: DISCARDED,
}
_NEWEST_FIRST = receipts.c.received_at.desc(), receipts.c.id.desc()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which leads: by what became of them (a status or a delivery's state, at `destination` if given), and so on.

    `since` (included) and `until` (not included) in milliseconds; `offer` as a whole or with `*`; `person` the hex
    mark of an e-mail address; `before` the id of the last lead seen.
    """

    state: str | None = None
    test: bool | None = None
    since: int | None = None
    until: int | None = None
    source: str | None = None
    offer: str | None = None
    destination: str | None = None
    person: str | None = None
    before: str | None = None
    limit: int = 100


class Search:
    """Looks for leads; only reads."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def leads(self, connection: Connection, wanted: Filter) -> list[Row[Any]]:
        """Give the receipts that fit, newest first."""
        query = sa.select(receipts).where(*_plain(wanted)).order_by(*_NEWEST_FIRST).limit(wanted.limit)
        if wanted.offer is not None:
            offers = self._matching(connection, wanted.offer)
            if not offers:
                return []
            if len(offers) <= MANY_OFFERS:
                return self._by_offers(connection, query, offers, wanted)
            query = query.where(receipts.c.offer.in_(offers))
        if wanted.state is not None or wanted.destination is not None:
            if not self._was_ever(connection, wanted):
                return []
            query = query.where(sa.or_(sa.false(), *_what_became(wanted)))
        return list(connection.execute(query))

    def _by_offers(
        self, connection: Connection, query: sa.Select[Any], offers: list[str], wanted: Filter
    ) -> list[Row[Any]]:
        """One look into the index for each offer, and the newest of all of them."""
        if wanted.state is not None or wanted.destination is not None:
            query = query.where(sa.or_(sa.false(), *_what_became(wanted)))
        found = [row for offer in offers for row in connection.execute(query.where(receipts.c.offer == offer, OFFERED))]
        found.sort(key=lambda row: (row.received_at, row.id), reverse=True)
        return found[: wanted.limit]

    def _matching(self, connection: Connection, pattern: str) -> list[str]:
        if "*" not in pattern:
            return [pattern]
        known = self._offers(connection)
        return [one for one in known if fnmatchcase(one.casefold(), pattern.replace("[", "[[]").casefold())]

    def offers(self) -> list[str]:
        """Give every offer there is a lead of, in order."""
        with self._store.read() as connection:
            return self._offers(connection)

    def _offers(self, connection: Connection) -> list[str]:
        # From one offer to the next in the index: as many steps as offers, not as leads.
        offer = receipts.c.offer
        first = sa.select(sa.func.min(offer).label("offer")).where(OFFERED)
        seen = first.cte("seen", recursive=True)
        following = sa.select(sa.func.min(offer)).where(OFFERED, offer > seen.c.offer).scalar_subquery()
        seen = seen.union_all(sa.select(following).where(seen.c.offer.is_not(None)))
        query = sa.select(seen.c.offer).where(seen.c.offer.is_not(None))
        return sorted(connection.execute(query).scalars())

    def _was_ever(self, connection: Connection, wanted: Filter) -> bool:
        """Whether the destination ever got or owed anything: else every lead would be read to find none."""
        if wanted.destination is None:
            return True
        name = wanted.destination
        known = (
            sa.exists().where(throughput.c.destination == name, throughput.c.sent > 0),
            *(sa.exists().where(deliveries.c.destination == name, one) for one in (WAITING, DEAD, DISCARDED)),
        )
        return bool(connection.execute(sa.select(sa.or_(*known))).scalar())


def _plain(wanted: Filter) -> Iterator[sa.ColumnElement[bool] | sa.TextClause]:
    """The conditions on a receipt itself."""
    if wanted.test is not None:
        yield TESTS if wanted.test else receipts.c.test.is_(False)
    if wanted.since is not None:
        yield receipts.c.received_at >= wanted.since
    if wanted.until is not None:
        yield receipts.c.received_at < wanted.until
    if wanted.source is not None:
        yield receipts.c.source == wanted.source
    if wanted.person is not None:
        yield receipts.c.person == bytes.fromhex(wanted.person)
    if wanted.before is not None:
        last = sa.select(receipts.c.received_at).where(receipts.c.id == wanted.before).scalar_subquery()
        # Said twice: the first one alone leads into an index, on both databases.
        yield receipts.c.received_at <= last
        yield sa.or_(receipts.c.received_at < last, receipts.c.id < wanted.before)


def _what_became(wanted: Filter) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions of which one must hold; `discarded` is both: a body that a person gave up, and a delivery."""
    state, name = wanted.state, wanted.destination
    if state in list(Status) and name is None:
        here = receipts.c.status == state
        yield here if state == Status.ACCEPTED else sa.and_(here, UNUSUAL)
    if state is None or state == State.SENT:  # most leads: looked up one by one while reading in order
        mine = sa.exists().where(deliveries.c.receipt_id == receipts.c.id)
        mine = mine.where(deliveries.c.destination == name) if name is not None else mine
        yield mine.where(deliveries.c.state == State.SENT) if state is not None else mine
    elif state in INDEXED:
        there = sa.select(deliveries.c.receipt_id).select_from(WITH_LANE).where(SHOWN_STATE.in_([state]))
        there = there.where(INDEXED[state])
        there = there.where(deliveries.c.destination == name) if name is not None else there
        yield receipts.c.id.in_(_newest(there, wanted))


def _newest(there: sa.Select[Any], wanted: Filter) -> sa.Select[Any]:
    """Narrow a long backlog down to what one page can show, where nothing else is asked for; ids sort by time."""
    others = wanted.test, wanted.since, wanted.until, wanted.source, wanted.offer, wanted.person
    if any(one is not None for one in others) or wanted.state in list(Status):
        return there
    if wanted.before is not None:
        there = there.where(deliveries.c.receipt_id < wanted.before)
    # Not by the bare column: both databases would read every delivery in the order of its key to save the sorting.
    last_first = (deliveries.c.receipt_id + "").desc()
    narrowed = there.order_by(last_first).limit(wanted.limit * DESTINATIONS).subquery()
    return sa.select(narrowed.c.receipt_id)
