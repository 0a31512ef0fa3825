"""The keys of sources: which one a sender gave, and when each was last used."""

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

    from app.settings import Source
    from app.store.key_uses import KeyUses

log = logger("web")
NOTED_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Key:
    """A live key of a source; `fingerprint` is how it is called where it must not be told."""

    source: str
    digest: bytes

    @property
    def fingerprint(self) -> str:
        """Give the first 12 hex digits of its hash."""
        return self.digest.hex()[:12]


class Keys:
    """Every live key of every source."""

    def __init__(self, sources: dict[str, Source]) -> None:
        """Take the sources as configured."""
        self._known = [Key(name, _digest(key.reveal())) for name, source in sources.items() for key in source.keys]

    def find(self, given: str) -> Key | None:
        """Give the key that this is; looks at all of them, whichever fits."""
        digest, found = _digest(given), None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found


class UseNotes:
    """Notes the use of keys beside the requests: each key at once, then once a minute at most.

    The writing is done by a thread of its own, begun at the first use, so that no answer waits for it.
    """

    def __init__(self, uses: KeyUses, *, now: Callable[[], datetime]) -> None:
        """Take where to write; nothing is written before the first use."""
        self._uses = uses
        self._now = now
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
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="key-uses", daemon=True)
                self._thread.start()
        self._queue.put((key, now))

    def _write(self) -> None:
        while True:
            key, now = self._queue.get()
            try:
                self._uses.note(key.fingerprint, source=key.source, now=now)
            except StoreUnavailable as exc:
                log.error("store.unavailable", reason=str(exc))
            except Exception as exc:  # noqa: BLE001  (this thread must live as long as the process)
                log.error("key_use.lost", exception=type(exc).__name__, frames=where_from(exc))


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "replace")).digest()
