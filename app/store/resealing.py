"""Behind everybody's back: everything in the store comes under the newest key, a few rows at a time.

That is how what an earlier version kept in the clear gets sealed, and how keys are renewed: of a sealed row only its
wrapped key is written anew. How far it has come stands in the store, so that any worker goes on where one stopped.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from app.log import logger, where_from
from app.settings import ConfigError
from app.store.auditing import audited
from app.store.engine import StoreUnavailable
from app.store.keyring import LOOK_AGAIN, PROGRESS, take_turns
from app.store.sealing import BODY, KEY_BYTES, LEAD, KeyEncryptionKey, SealBroken, wrapped_by
from app.store.tables import encryption_keys, meta, quarantine, receipts

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from app.store.auditing import Who
    from app.store.engine import Store

log = logger("store")
GROUP = 100  # rows a transaction: senders wait behind it
GENTLY = 0.02  # seconds between two
LOOK_EVERY = 60.0  # seconds
# Until then every process has looked for a newer key, late by one look at most, and what it sealed before is kept.
SETTLED_MS = round(3 * LOOK_AGAIN * 1000)
_TABLES = ((receipts, LEAD), (quarantine, BODY))
_MADE = sa.select(encryption_keys.c.number, encryption_keys.c.made_at).order_by(encryption_keys.c.number.desc())


class Progress(msgspec.Struct, frozen=True):
    """How far it has come: under `key`, in which table, after which id; `rows` were written."""

    key: int
    table: int = 0
    after: str = ""
    rows: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.table == len(_TABLES)


class Resealer:
    """Brings what is in the store under its newest key."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def run(self, stopping: threading.Event, now: Callable[[], int]) -> None:
        """Do it whenever there is something to do, until `stopping` is set; `now` gives milliseconds."""
        while not stopping.is_set():
            pause = GENTLY
            try:
                wait = self.waits(now=now())
                if wait == 0:
                    self.step()
                else:
                    pause = LOOK_EVERY if wait is None else min(wait / 1000, LOOK_EVERY)
            except (StoreUnavailable, ConfigError) as exc:
                log.error("resealing.put-off", reason=str(exc))
                pause = LOOK_EVERY
            except Exception as exc:  # noqa: BLE001  (nobody would seal what is left until a restart)
                log.error("resealing.crashed", exception=type(exc).__name__, frames=where_from(exc))
                pause = LOOK_EVERY
            stopping.wait(pause)

    def waits(self, *, now: int) -> int | None:
        """Give in how many milliseconds there is something to do (0: at once), None if nothing is left."""
        with self._store.read() as connection:
            newest = connection.execute(_MADE.limit(1)).first()
            told = connection.execute(sa.select(meta.c.value).where(meta.c.name == PROGRESS)).scalar()
        if newest is None:
            return None
        progress = _read(told, newest.number)
        if progress.done:
            return None
        age = now - newest.made_at
        # Before the first key there was none that somebody could still seal under; one from the future: a wrong clock.
        return SETTLED_MS - age if newest.number > 1 and 0 <= age < SETTLED_MS else 0

    def step(self) -> Progress:
        """Bring some rows under the newest key; gives how far it has come.

        Raises:
            StoreUnavailable: nothing was changed; perhaps for want of a master key that opens a row's.

        """
        self._store.keyring.look()
        newest = self._store.keyring.unlock().newest
        # Lost with the power, it is done again.
        with self._store.write(durable=False) as connection:
            progress = _read(take_turns(self._store, connection), newest.number)
            if progress.key == newest.number and not progress.done:
                progress = self._rows(connection, newest, progress)
                told = msgspec.json.encode(progress)
                connection.execute(meta.update().where(meta.c.name == PROGRESS).values(value=told))
        if progress.done:
            self._store.scrub()
            log.info("store.resealed", key=progress.key, rows=progress.rows)
        return progress

    def _rows(self, connection: Connection, newest: KeyEncryptionKey, progress: Progress) -> Progress:
        table, kind = _TABLES[progress.table]
        query = sa.select(table.c.id, table.c.data_key, table.c.unsealed).where(table.c.id > progress.after)
        rows = connection.execute(query.order_by(table.c.id).limit(GROUP)).all()
        changed = [one for row in rows if (one := self._changed(row, newest, kind)) is not None]
        if changed:
            # Only what is as it was read: meanwhile the row may have been erased.
            same = sa.and_(
                table.c.id == sa.bindparam("b_id"), table.c.data_key.is_not_distinct_from(sa.bindparam("b_was"))
            )
            for columns in {tuple(sorted(one)) for one in changed}:
                some = [one for one in changed if tuple(sorted(one)) == columns]
                names = [name for name in columns if not name.startswith("b_")]
                connection.execute(
                    table.update().where(same).values({name: sa.bindparam(name) for name in names}), some
                )
        written = progress.rows + len(changed)
        if len(rows) < GROUP:
            return Progress(newest.number, progress.table + 1, "", written)
        return Progress(newest.number, progress.table, rows[-1].id, written)

    def _changed(self, row: Any, newest: KeyEncryptionKey, kind: bytes) -> dict[str, Any] | None:  # noqa: ANN401  (a row)
        about, key = kind + row.id.encode(), None if row.data_key is None else bytes(row.data_key)
        identity = {"b_id": row.id, "b_was": key}
        if key is None:
            if row.unsealed is None:
                return None
            text = row.unsealed.encode() if isinstance(row.unsealed, str) else bytes(row.unsealed)
            return {**identity, **newest.seal(text, about)._asdict(), "unsealed": None}
        try:
            if wrapped_by(key) == newest.number:
                return None
            return {**identity, "data_key": newest.wrap(self._store.keyring.wrapper_of(key).unwrap(key, about), about)}
        except SealBroken as exc:
            log.error("store.seal-broken", reason=str(exc))
            return None


def renew(store: Store, *, now: int, who: Who) -> int:
    """Have a fresh key seal from now on, wrapped by the master keys that are configured now, and by no others.

    Gives its number. What was sealed before comes under it by and by: `Resealer`.

    Raises:
        ConfigError: a master key is missing, or can't be used; nothing was changed.
        StoreUnavailable: nothing was changed.

    """
    keyring, key = store.keyring, secrets.token_bytes(KEY_BYTES)
    hash_key = keyring.hash_key()
    with store.read() as connection:
        made = {row.number: row.made_at for row in connection.execute(_MADE)}
        keys = {number: keyring.key_of(connection, number) for number in made}
    fresh = int(max(made)) + 1
    rows = [row for number in made for row in keyring.wrapped(number, keys[number], made_at=made[number])]
    rows += keyring.wrapped(fresh, key, made_at=now)
    with audited(store) as (connection, note):
        take_turns(store, connection)
        if connection.execute(_MADE.limit(1)).scalar() != fresh - 1:
            msg = f"{store.name}: its keys were renewed by somebody else just now"
            raise StoreUnavailable(msg)
        connection.execute(encryption_keys.delete())
        connection.execute(encryption_keys.insert(), rows)
        keyring.keep_hash_key(connection, KeyEncryptionKey(fresh, key), hash_key)
        note("rotate-keys", f"key {fresh}", now=now, who=who)
    keyring.look()
    return fresh


def _read(told: bytes | None, newest: int) -> Progress:
    """Read how far it has come; under a newer key it begins anew."""
    progress = msgspec.json.decode(bytes(told), type=Progress) if told else Progress(newest)
    return progress if progress.key >= newest else Progress(newest)
