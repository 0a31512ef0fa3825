"""The keys of sources: which one a sender gave, when each was last used, and whether a retired one still is."""

from __future__ import annotations

import hmac
import threading
from dataclasses import dataclass
from hashlib import sha256
from queue import SimpleQueue
from typing import TYPE_CHECKING

from app.log import logger, where_from
from app.store import StoreUnavailable
from app.store.tables import to_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network

    from app.settings import Source
    from app.store.key_uses import KeyUses

log = logger("web")
NOTED_EVERY_MS = 60_000
NOT_LIVE = ""  # the source of such a key
WAITING = 100  # wrong keys, until it is known which were live once: then only those are noted


@dataclass(frozen=True, slots=True)
class Key:
    """A key; `fingerprint` is how it is called where it must not be told, `networks` where it may come from."""

    source: str
    digest: bytes
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Give the first 12 hex digits of its hash."""
        return self.digest.hex()[:12]


class Keys:
    """Every live key of every source."""

    def __init__(self, sources: dict[str, Source]) -> None:
        """Take the sources as configured."""
        self._known = [
            Key(name, _digest(key.reveal()), source.networks) for name, source in sources.items() for key in source.keys
        ]

    def find(self, given: str) -> Key | None:
        """Give the key that this is; looks at all of them, whichever fits."""
        digest, found = _digest(given), None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found


class UseNotes:
    """Notes the use of keys beside the requests: each key at once, then once a minute at most.

    The writing is done by a thread of its own, begun at the first use, so that no answer waits for it. Of wrong keys,
    only those are noted that were used earlier, when they were live.
    """

    def __init__(self, uses: KeyUses, *, now: Callable[[], datetime]) -> None:
        """Take where to write; nothing is written before the first use."""
        self._uses = uses
        self._now = now
        self._earlier: frozenset[str] | None = None  # fingerprints of keys that were used; None: not looked yet
        self._noted: dict[str, int] = {}  # when the writing of each key was last asked for (ms)
        self._queue: SimpleQueue[tuple[Key, int]] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def used(self, key: Key) -> None:
        """Take note that a key was used just now; never waits for the store and never fails."""
        name, now = key.fingerprint, to_ms(self._now())
        with self._lock:
            if 0 <= now - self._noted.get(name, -NOTED_EVERY_MS) < NOTED_EVERY_MS:  # a clock set back is no reason
                return
            self._noted[name] = now
        self._ask(key, now)

    def tried(self, given: str) -> None:
        """Take note that a key was given which is not live; as `used`."""
        if not given:
            return
        key = Key(NOT_LIVE, _digest(given))
        if self._earlier is None:
            if self._queue.qsize() < WAITING:
                self._ask(key, to_ms(self._now()))
        elif key.fingerprint in self._earlier:
            self.used(key)

    def _ask(self, key: Key, now: int) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="key-uses", daemon=True)
                self._thread.start()
        self._queue.put((key, now))

    def _write(self) -> None:
        while True:
            key, now = self._queue.get()
            try:
                self._note(key, now)
            except StoreUnavailable as exc:
                log.error("store.unavailable", reason=str(exc))
            except Exception as exc:  # noqa: BLE001  (this thread must live as long as the process)
                log.error("key_use.lost", exception=type(exc).__name__, frames=where_from(exc))

    def _note(self, key: Key, now: int) -> None:
        if key.source != NOT_LIVE:
            self._uses.note(key.fingerprint, source=key.source, now=now)
            return
        if self._earlier is None:
            self._earlier = frozenset(self._uses.all())
        if key.fingerprint in self._earlier:
            self._uses.note_retired(key.fingerprint, now=now)
            log.warning("key.retired-used", key=key.fingerprint)


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "replace")).digest()
