"""What came in, asked from the outside: whose leads arrived when, and what may have become of those that did not."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from app.store.tables import UNUSUAL, Status, receipts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from app.store.engine import Store

CHUNK = 500
T = TypeVar("T")


class Arrived:
    """Questions about a span of time; moments in milliseconds."""

    def __init__(self, store: Store, *, since: int, until: int) -> None:
        """Take the store and the span."""
        self._store = store
        self._within = receipts.c.received_at.between(since, until)
        self._since, self._until = since, until

    def of_persons(self, persons: Collection[bytes]) -> dict[bytes, list[tuple[str, int]]]:
        """Give id and moment of whatever each person sent, duplicates too."""
        found: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
        again = sa.select(receipts.c.id, receipts.c.duplicate_of, receipts.c.received_at)
        again = again.where(UNUSUAL, receipts.c.status == Status.DUPLICATE, self._within)
        for chunk in _chunks(persons):
            own = sa.select(receipts.c.id, receipts.c.person, receipts.c.received_at)
            with self._store.read() as connection:
                firsts = connection.execute(own.where(receipts.c.person.in_(chunk))).all()
                owners = {row.id: bytes(row.person) for row in firsts}
                for row in firsts:
                    if self._since <= row.received_at <= self._until:
                        found[owners[row.id]].append((row.id, row.received_at))
                for ids in _chunks(owners):
                    for row in connection.execute(again.where(receipts.c.duplicate_of.in_(ids))):
                        found[owners[row.duplicate_of]].append((row.id, row.received_at))
        return found

    def withheld(self) -> dict[str, list[tuple[str, int]]]:
        """Give id and moment of what was withheld, by the domain of its address."""
        found: dict[str, list[tuple[str, int]]] = defaultdict(list)
        query = sa.select(receipts.c.id, receipts.c.email_domain, receipts.c.received_at)
        with self._store.read() as connection:
            query = query.where(UNUSUAL, receipts.c.status == Status.WITHHELD, self._within)
            for row in connection.execute(query):
                found[row.email_domain].append((row.id, row.received_at))
        return found

    def erased(self) -> list[int]:
        """Give the moments of leads whose person was erased since."""
        query = sa.select(receipts.c.received_at).where(UNUSUAL, receipts.c.status == Status.ERASED, self._within)
        with self._store.read() as connection:
            return list(connection.execute(query.order_by(receipts.c.received_at)).scalars())

    def there(self, ids: Collection[str]) -> dict[str, int]:
        """Give those of some ids that the store has, and their moments."""
        found: dict[str, int] = {}
        query = sa.select(receipts.c.id, receipts.c.received_at)
        for chunk in _chunks(ids):
            with self._store.read() as connection:
                found |= {row.id: row.received_at for row in connection.execute(query.where(receipts.c.id.in_(chunk)))}
        return found


def _chunks(values: Collection[T]) -> Iterator[list[T]]:
    everything = list(values)
    for start in range(0, len(everything), CHUNK):
        yield everything[start : start + CHUNK]
