"""The store's own keys: read once, with the master key's help, and made when there are none.

Everybody seals under the newest key. A process looks now and then whether a newer one was made, so that keys are
renewed while everything runs. Older keys stay, wrapped by the master key: what they wrapped can always be read.
"""

from __future__ import annotations

import secrets
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from app.log import logger
from app.settings import ConfigError
from app.store.engine import StoreUnavailable
from app.store.sealing import KEY_BYTES, KeyEncryptionKey, Sealed, wrapped_by
from app.store.tables import encryption_keys, meta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from app.store.engine import Store
    from app.store.masters import Master

log = logger("store")
LOOK_AGAIN = 10.0  # seconds between looks for a newer key
HASH_KEY, PLAIN_HASH_KEY = "hash_key", "salt"  # names in `meta`; the second is what earlier versions had
PROGRESS = "resealing"
_ABOUT = HASH_KEY.encode()
_NUMBER = struct.Struct(">I")
_NEWEST = sa.select(sa.func.max(encryption_keys.c.number))


class Held(NamedTuple):
    """What a process knows once it has the keys."""

    newest: KeyEncryptionKey
    hash_key: bytes


class Keyring:
    """The keys of one store, in one process."""

    def __init__(self, store: Store, masters: Sequence[Master]) -> None:
        """Take the masters, of which the first wraps; nothing is touched yet."""
        self._store = store
        self._masters = masters
        self._lock = threading.RLock()
        self._held: Held | None = None
        self._keys: dict[int, bytes] = {}
        self._known: dict[int, KeyEncryptionKey] = {}
        self._look_at = 0.0
        self._looking: threading.Thread | None = None
        self.look_again = LOOK_AGAIN

    @property
    def reference(self) -> str:
        """Where the master key is, as it may be shown; "" without one."""
        return self._masters[0].reference

    def unlock(self) -> Held:
        """Have the keys in hand; not to be called for the first time while this thread writes to the store.

        Raises:
            ConfigError: the master key is missing or another one; nothing was changed.
            StoreUnavailable: the store, or the vault that has the master key, can't be asked now.

        """
        if self._held is None:
            with self._lock:
                if self._held is None:
                    self._held = self._opened()
                    self._look_at = time.monotonic() + self.look_again
        return self._held

    def hash_key(self) -> bytes:
        """Give the key of this store's hashes; raises what `unlock` does."""
        return self.unlock().hash_key

    def seal(self, text: bytes, about: bytes) -> Sealed:
        """Seal a text; raises what `unlock` does."""
        held, late = self.unlock(), time.monotonic() - self._look_at
        if late > 0:
            self._look_at = time.monotonic() + self.look_again
            if late > self.look_again:  # nothing was sealed for a while, and meanwhile a newer key may be everybody's
                self.look()
                held = self.unlock()
            else:  # beside us: whoever waits for this seal must not wait for a database, or a vault, that is away
                self._looking = threading.Thread(target=self.look, name="encryption keys", daemon=True)
                self._looking.start()
        return held.newest.seal(text, about)

    def open(self, one: Sealed, about: bytes) -> bytes:
        """Give back a sealed text.

        Raises:
            SealBroken: it was changed, or belongs elsewhere.
            StoreUnavailable: its key can't be had now, or not with the master keys that are configured here.

        """
        return self.wrapper_of(one.data_key).open(one, about)

    def wrapper_of(self, data_key: bytes) -> KeyEncryptionKey:
        """Give the key that wrapped another; raises what `open` does."""
        number = wrapped_by(data_key)
        found = self._known.get(number)
        if found is None:
            try:
                self.unlock()
                with self._lock, self._store.read() as connection:
                    found = self._wrapper(connection, number)
            except ConfigError as exc:  # renewed by somebody who has another configuration: it may pass
                raise StoreUnavailable(str(exc)) from None
        return found

    def look(self) -> None:
        """Change to a newer key, if there is one; who can't have it goes on with the one that everybody can read."""
        try:
            held = self.unlock()
            with self._lock, self._store.read() as connection:
                number = connection.execute(_NEWEST).scalar_one()
                if number != held.newest.number:
                    self._held = held._replace(newest=self._wrapper(connection, number))
        except (StoreUnavailable, ConfigError) as exc:
            log.error("encryption.key-not-renewed", reason=str(exc))

    def wrapped(self, number: int, key: bytes, *, made_at: int) -> list[dict[str, Any]]:
        """Wrap a key by each master that is configured; gives its rows. Not in a transaction: a vault may be slow."""
        rows = {}
        for master in [one for one in self._masters if one.reference] or self._masters:
            mark, wrapped = master.wrap(_NUMBER.pack(number) + key)
            rows[mark] = {"master": mark, "reference": master.reference, "wrapped": wrapped}
        return [{"number": number, "made_at": made_at, **row} for row in rows.values()]

    def _opened(self) -> Held:
        with self._store.read() as connection:
            number = connection.execute(_NEWEST).scalar()
        if number is None:
            self._make_first()
        with self._store.read() as connection:
            newest = self._wrapper(connection, connection.execute(_NEWEST).scalar_one())
            wrapped = _kept(connection, HASH_KEY)
        if wrapped is None:
            wrapped = self._take_over_hash_key(newest)
        if not self.reference:
            log.warning("encryption.no-master-key", store=self._store.name)
        return Held(newest, self._wrapper_of_hash_key(wrapped).unwrap(wrapped, _ABOUT))

    def _make_first(self) -> None:
        rows = self.wrapped(1, secrets.token_bytes(KEY_BYTES), made_at=round(time.time() * 1000))
        with self._store.write() as connection:
            take_turns(self._store, connection)
            if connection.execute(_NEWEST).scalar() is None:
                connection.execute(encryption_keys.insert(), rows)

    def _take_over_hash_key(self, wrapper: KeyEncryptionKey) -> bytes:
        """Wrap the key of the hashes, as an earlier version kept it or a fresh one; gives it wrapped."""
        with self._store.write() as connection:
            take_turns(self._store, connection)
            wrapped = _kept(connection, HASH_KEY)
            if wrapped is None:
                key = _kept(connection, PLAIN_HASH_KEY) or secrets.token_bytes(KEY_BYTES)
                wrapped = self.keep_hash_key(connection, wrapper, key)
        return wrapped

    def close(self) -> None:
        """Wait for a look that is under way."""
        if self._looking is not None:
            self._looking.join()

    def keep_hash_key(self, connection: Connection, wrapper: KeyEncryptionKey, key: bytes) -> bytes:
        """Write down the key of the hashes, wrapped, and see that it stands nowhere in the clear; gives it wrapped."""
        wrapped = wrapper.wrap(key, _ABOUT)
        keep = self._store.insert(meta).values(name=HASH_KEY, value=wrapped)
        connection.execute(keep.on_conflict_do_update(index_elements=["name"], set_={"value": wrapped}))
        connection.execute(meta.delete().where(meta.c.name == PLAIN_HASH_KEY))
        return wrapped

    def _wrapper_of_hash_key(self, wrapped: bytes) -> KeyEncryptionKey:
        with self._store.read() as connection:
            return self._wrapper(connection, wrapped_by(wrapped))

    def _wrapper(self, connection: Connection, number: int) -> KeyEncryptionKey:
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = KeyEncryptionKey(number, self.key_of(connection, number))
        return known

    def key_of(self, connection: Connection, number: int) -> bytes:
        """Unwrap a key; raises what `unlock` does."""
        if number not in self._keys:
            rows = connection.execute(sa.select(encryption_keys).where(encryption_keys.c.number == number)).all()
            self._keys[number] = self._unwrapped(number, rows)
        return self._keys[number]

    def _unwrapped(self, number: int, rows: Sequence[Row[Any]]) -> bytes:
        for master, row in ((master, row) for master in self._masters for row in rows):
            if master.knows(row.master):
                told = master.unwrap(row.master, bytes(row.wrapped))
                if told[: _NUMBER.size] == _NUMBER.pack(number):
                    return told[_NUMBER.size :]
        raise ConfigError(self._refused(number, rows))

    def _refused(self, number: int, rows: Sequence[Row[Any]]) -> str:
        if not rows:
            return f"{self._store.name}: key {number}, under which leads are sealed, is gone. Restore a backup."
        ours = " and ".join(one.reference for one in self._masters if one.reference) or "none"
        theirs = " or ".join(sorted({row.reference or "none" for row in rows}))
        if theirs == ours:
            return (
                f"{self._store.name}: the key in {ours} is not the one that was there when its leads were sealed. "
                "Nothing was changed. Put that one back from your backup."
            )
        return (
            f"{self._store.name}: its leads are sealed under another master key: theirs is {theirs}, and given is "
            f"{ours}. Nothing was changed. Give theirs as [encryption] key; or, to replace it, as `previous` beside "
            "the new `key`, and run `leadwire encryption rotate`."
        )


def take_turns(store: Store, connection: Connection) -> bytes:
    """Let those who change keys go one after the other; gives how far resealing has come (see there)."""
    first = store.insert(meta).values(name=PROGRESS, value=b"")
    connection.execute(first.on_conflict_do_nothing())
    row = sa.select(meta.c.value).where(meta.c.name == PROGRESS).with_for_update()
    return bytes(connection.execute(row).scalar_one())


def _kept(connection: Connection, name: str) -> bytes | None:
    value = connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()
    return None if value is None else bytes(value)
