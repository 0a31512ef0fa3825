"""When to run and when to stop: one lane a destination, each in its own thread, so that a hanging one slows nobody."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from app.alerts import Watch
from app.log import logger, where_from
from app.processes import PARENT
from app.store import Incompatible, StoreUnavailable
from app.store.resealing import Resealer
from app.store.sorting import GROUP, Sorter
from app.store.tables import to_ms

if TYPE_CHECKING:
    from app.delivery import Lane
    from app.store.outbox import Outbox
    from app.store.statements import Wakeup
    from app.wiring import Wiring

log = logger("worker")
LOOK_ANYWAY = 5.0  # seconds; every wake-up could get lost
BEAT = 5.0  # seconds between signs of life
CRASHED = 5.0  # seconds; a fault of ours is not mended by haste
AWAY = 1.0  # seconds to wait when the store can't be used
BEHIND = 5  # how nice we are: senders wait for receivers on the same machine, or in the same container
GATHER = 0.02  # seconds between two rounds of sorting in
BUSY = 10  # rows a round: a machine on which senders wait
UPKEEP_AFTER = 60.0  # seconds
TURN = 0.001  # seconds that a thread may keep the interpreter from the one that holds the store's lock
STOP_WITHIN = 8.0  # seconds for what is under way; what takes longer is delivered again by its idempotent key


class Worker:
    """Runs every lane until it is stopped."""

    def __init__(self, wiring: Wiring) -> None:
        """Take the wiring; the store is touched first in `run`."""
        self._wiring = wiring
        self._stopping = threading.Event()
        self._bells: list[threading.Event] = []
        self._beside_receivers = PARENT in os.environ
        self._post = threading.Event()  # something was committed: leads to sort in, or deliveries that are due now

    def stop(self) -> None:
        """Ask every lane to stop after what it is doing."""
        self._stopping.set()
        self._post.set()
        self._ring()

    def run(self) -> bool:
        """Work until `stop`; tells whether everything under way was finished."""
        store = self._wiring.store
        store.stand_behind()  # senders wait for their answer, and nobody for us
        wakeup = store.listen()  # before anything is looked at: what comes while we start must not be missed
        name = store.take_worker_name()
        outbox = self._begin(name)
        threads = [self._start(self._wiring.lane(lane, worker=name)) for lane in self._wiring.settings.destinations]
        threading.Thread(target=self._hear, args=(wakeup,), name="wakeup", daemon=True).start()
        threads.append(self._sorting())
        resealing = (self._stopping, lambda: to_ms(self._wiring.now()))
        threading.Thread(target=Resealer(store).run, args=resealing, name="resealing", daemon=True).start()
        threading.Thread(target=self._keep_up, name="upkeep", daemon=True).start()
        watch = keep_watch(self._wiring, self._stopping, holder=name, beside_worker=True)
        log.info("worker.started", worker=name, lanes=len(self._bells), store=store.name)
        self._beat(outbox)
        ends = time.monotonic() + STOP_WITHIN
        for thread in (*threads, watch):
            thread.join(max(0.0, ends - time.monotonic()))
        finished = not any(thread.is_alive() for thread in threads)
        log.info("worker.stopped", worker=name, finished=finished)
        return finished

    def _begin(self, name: str) -> Outbox:
        outbox = self._wiring.outbox(worker=name)
        freed = outbox.start(now=to_ms(self._wiring.now()))
        if freed:
            log.info("worker.took-over", worker=name, deliveries=freed)
        return outbox

    def _start(self, lane: Lane) -> threading.Thread:
        bell = threading.Event()
        self._bells.append(bell)
        thread = threading.Thread(target=self._drive, args=(lane, bell), name=f"lane {lane.name}", daemon=True)
        thread.start()
        return thread

    def _drive(self, lane: Lane, bell: threading.Event) -> None:
        while not self._stopping.is_set():
            # Cleared before looking: what arrives while we look rings again.
            bell.clear()
            try:
                next_at = lane.step()
            except StoreUnavailable as exc:
                log.error("store.unavailable", destination=lane.name, reason=str(exc))
                self._stopping.wait(AWAY)
                continue
            except Exception as exc:  # noqa: BLE001  (a lane that ends by itself would leave its leads waiting unseen)
                log.error("lane.crashed", destination=lane.name, exception=type(exc).__name__, frames=where_from(exc))
                self._stopping.wait(CRASHED)
                continue
            wait = LOOK_ANYWAY
            if next_at is not None:
                wait = min(wait, (next_at - to_ms(self._wiring.now())) / 1000)
            if wait > 0 and not self._stopping.is_set():
                bell.wait(wait)
        lane.destination.close()

    def _hear(self, wakeup: Wakeup) -> None:
        """Have what was committed sorted in."""
        while not self._stopping.is_set():
            wakeup.wait(LOOK_ANYWAY)
            self._post.set()
        wakeup.close()

    def _sorting(self) -> threading.Thread:
        thread = threading.Thread(target=self._sort, name="sorting", daemon=True)
        thread.start()
        return thread

    def _sort(self) -> None:
        """Sort in what receivers kept, then ring every lane: there may be deliveries for it now."""
        store = self._wiring.store
        sorter = Sorter(store)
        while not self._stopping.is_set():
            self._post.clear()
            try:
                number = sorter.sort()
            except StoreUnavailable as exc:
                log.error("store.unavailable", reason=str(exc))
                self._stopping.wait(AWAY)
                continue
            except Exception as exc:  # noqa: BLE001  (leads would stay unsorted until a restart)
                log.error("sorting.crashed", exception=type(exc).__name__, frames=where_from(exc))
                self._stopping.wait(CRASHED)
                continue
            self._ring()
            if number >= BUSY and self._beside_receivers:
                store.give_way()  # senders wait for the same machine, and nobody waits for us
            if not number:
                self._post.wait(LOOK_ANYWAY)
            elif number < GROUP:
                self._stopping.wait(GATHER)  # the next ones go in together, and lanes have fuller batches

    def _keep_up(self) -> None:
        """Purge once a day, not before the start is over."""
        if not self._stopping.wait(UPKEEP_AFTER):
            from app.operations.upkeep import Upkeep  # noqa: PLC0415  (no lead needs it)

            Upkeep(self._wiring.store, lambda: self._wiring.operations, now=self._wiring.now).run(self._stopping)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()

    def _beat(self, outbox: Outbox) -> None:
        while not self._stopping.wait(BEAT):
            try:
                self._wiring.store.see_compatible()
                now = to_ms(self._wiring.now())
                outbox.beat(now=now)
                if outbox.free_the_dead(now=now):
                    self._ring()
            except Incompatible as exc:  # what we would write, the newer ones could not read
                log.error("worker.outdated", reason=str(exc))
                self.stop()
            except StoreUnavailable as exc:
                log.error("store.unavailable", reason=str(exc))


def keep_watch(wiring: Wiring, stopping: threading.Event, *, holder: str, beside_worker: bool) -> threading.Thread:
    """Take part in the watch over problems, in a thread of its own, until `stopping` is set."""
    settings = wiring.settings
    watch = Watch(
        holder=holder,
        beside_worker=beside_worker,
        store=wiring.store,
        settings=settings.alerts,
        kinds={name: table["type"] for name, table in settings.destinations.items()},
        catalogue=wiring.catalogue,
        link=wiring.problems_link,
        make_channels=wiring.alert_channels,
        now=wiring.now,
    )
    thread = threading.Thread(target=watch.run, args=(stopping,), name="watch", daemon=True)
    thread.start()
    return thread


def stand_by(wiring: Wiring) -> None:
    """Watch from a process that is no worker: only while no worker is seen, so that somebody says so."""
    holder = f"{socket.gethostname()} receiver {os.getpid()}"
    keep_watch(wiring, threading.Event(), holder=holder, beside_worker=False)


def work(wiring: Wiring) -> bool:
    """Run a worker in this process until SIGTERM or SIGINT; tells whether everything under way was finished."""
    os.nice(BEHIND)
    sys.setswitchinterval(TURN)
    worker = Worker(wiring)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    return worker.run()
