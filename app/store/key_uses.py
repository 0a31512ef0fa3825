"""When each source key was last used, and which retired ones still are.

A key is known by the beginning of its hash; the key itself is never kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from app.store.desk import key_uses
from app.store.tables import meta

if TYPE_CHECKING:
    from app.store.engine import Store


RETIRED = "retired-key-used "  # and its fingerprint: the name in `meta` of when a sender last tried it


class RetiredUse(NamedTuple):
    """A key that was live once, and that a sender tried after it was taken out of the settings; `at` in ms."""

    fingerprint: str
    source: str
    at: int


class KeyUses:
    """Rows of `key_uses`."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store
        row = store.insert(key_uses)
        new = row.excluded
        self._noted = row.on_conflict_do_update(
            index_elements=["fingerprint"], set_={"source": new.source, "last_used_at": new.last_used_at}
        )

    def note(self, fingerprint: str, *, source: str, now: int) -> None:
        """Note that a key was used at `now` (ms).

        Raises:
            StoreUnavailable: it is not noted.

        """
        with self._store.write() as connection:
            connection.execute(self._noted, {"fingerprint": fingerprint, "source": source, "last_used_at": now})
            connection.execute(meta.delete().where(meta.c.name == RETIRED + fingerprint))  # it is live (again)

    def note_retired(self, fingerprint: str, *, now: int) -> None:
        """Note that somebody tried a retired key at `now` (ms).

        Raises:
            StoreUnavailable: it is not noted.

        """
        row = self._store.insert(meta).values(name=RETIRED + fingerprint, value=str(now).encode())
        with self._store.write() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))

    def retired(self, *, since: int) -> list[RetiredUse]:
        """Give the retired keys that somebody tried since (ms), the latest first.

        Raises:
            StoreUnavailable: it can't be read.

        """
        marks = sa.select(meta).where(meta.c.name.startswith(RETIRED, autoescape=True))
        with self._store.read() as connection:
            found = {row.name.removeprefix(RETIRED): int(bytes(row.value)) for row in connection.execute(marks)}
            known = sa.select(key_uses).where(key_uses.c.fingerprint.in_([*found]))
            uses = [
                RetiredUse(row.fingerprint, row.source, found[row.fingerprint]) for row in connection.execute(known)
            ]
        return sorted((use for use in uses if use.at > since), key=lambda use: use.at, reverse=True)

    def all(self) -> dict[str, int]:
        """Give the time (ms) of each key's last use by fingerprint; a key that was never used is not there.

        Raises:
            StoreUnavailable: it can't be read.

        """
        with self._store.read() as connection:
            return {row.fingerprint: row.last_used_at for row in connection.execute(sa.select(key_uses))}
