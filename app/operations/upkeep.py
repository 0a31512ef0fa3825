"""What nobody has to ask for: once a day, on one of the hosts, what retention says is purged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log import logger, where_from
from app.store import StoreUnavailable
from app.store.auditing import Who, head
from app.store.purging import PurgeBook
from app.store.tables import to_ms

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime

    from app.operations import Operations
    from app.store import Store

log = logger("upkeep")
LOOK_EVERY = 60.0  # seconds
ITSELF = Who("leadwire:upkeep", "by itself, as [retention] and [test_leads] say")


class Upkeep:
    """One worker's part in it. Used by one thread."""

    def __init__(self, store: Store, operations: Callable[[], Operations], *, now: Callable[[], datetime]) -> None:
        """Take what makes the operations, which are not loaded before they are needed."""
        self._store = store
        self._operations = operations
        self._now = now
        self._book = PurgeBook(store)

    def run(self, stopping: threading.Event) -> None:
        """Look now and then until `stopping` is set."""
        while not stopping.is_set():
            try:
                self.look()
            except StoreUnavailable as exc:
                log.error("store.unavailable", reason=str(exc))
            except Exception as exc:  # noqa: BLE001  (nothing would be purged until a restart)
                log.error("upkeep.crashed", exception=type(exc).__name__, frames=where_from(exc))
            stopping.wait(LOOK_EVERY)

    def look(self) -> bool:
        """Purge if it is due and ours to do; tells whether it was done."""
        if not self._book.begin(now=to_ms(self._now())):
            return False
        try:
            counts = self._operations().purge(who=ITSELF)
        except Exception as exc:  # noqa: BLE001  (whatever it is, the watch tells it)
            reason = str(exc) if isinstance(exc, StoreUnavailable) else type(exc).__name__
            log.error("purge.failed", reason=reason, frames=where_from(exc))
            self._book.fail(reason)
            return False
        self._book.end(now=to_ms(self._now()))
        # In the log the head is out of reach of who can write to the store: `leadwire audit verify --head`.
        log.info("purge.done", **counts, audit_head=head(self._store))
        return True
