"""When each source key was last used. A key is known by the beginning of its hash; the key itself is never kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store.desk import key_uses

if TYPE_CHECKING:
    from app.store.engine import Store


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

    def all(self) -> dict[str, int]:
        """Give the time (ms) of each key's last use by fingerprint; a key that was never used is not there.

        Raises:
            StoreUnavailable: it can't be read.

        """
        with self._store.read() as connection:
            return {row.fingerprint: row.last_used_at for row in connection.execute(sa.select(key_uses))}
