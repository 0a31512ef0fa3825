"""The process in which Granian keeps the receivers: `serve` starts it as `python -m app.receivers`.

Receivers are forked from it in an instant and share its memory. It never opens the store: a forked process would
inherit SQLite's bookkeeping of locks.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from app.processes import PARENT, end_with_parent, leave_no_core

if TYPE_CHECKING:
    from app.web import Front
    from app.wiring import Wiring

COLLECT = 10_000, 20, 50  # objects, and rounds: when garbage is looked for
STOP_WITHIN = 8  # seconds; the supervisor waits a second longer
STAND_BY_AFTER = 5.0  # seconds
CONNECTIONS = 8192  # at once in one receiver: what only waits costs little, and must not stand in a lead's way
FILES_BESIDE = 256  # open files and sockets that are no senders'
NOHUP = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # asked before Granian puts its own handler there


def main() -> None:
    """Receive until SIGTERM or SIGINT, at the address that the supervisor tells once the store is ready."""
    leave_no_core()
    gc.disable()  # what is loaded now stays
    import granian.server  # noqa: F401, PLC0415  (as all that follow: before we are told, and without the collector)

    from app.log import configure_logging  # noqa: PLC0415
    from app.store.committer import ADDRESS  # noqa: PLC0415
    from app.web import Front  # noqa: PLC0415
    from app.wiring import Wiring  # noqa: PLC0415

    configure_logging(gathered=True)
    end_with_parent()
    told = sys.stdin.readline()
    if not told:
        return  # the supervisor ended before it came to that, and said why
    orders = json.loads(told)
    if orders["committer"] is not None:
        os.environ[ADDRESS] = orders["committer"]
    os.environ[PARENT] = str(os.getpid())  # of those that are forked
    wiring = Wiring.from_file(checked=True)  # by the supervisor, just before: no lead needs the catalogue

    def receiver() -> Front:
        # What is loaded stays; looking through it for garbage at every few hundred leads is in vain.
        gc.freeze()
        gc.set_threshold(*COLLECT)
        gc.enable()
        end_with_parent()
        _stand_by(wiring)
        wiring.store.keyring.unlock()  # the first sender must not wait for a vault
        return Front(wiring)

    server = _granian(orders["host"], orders["port"], wiring.settings.server.workers)
    server.serve(target_loader=receiver, wrap_loader=False)


def _stand_by(wiring: Wiring) -> None:
    """Take part in the watch, after a while: nobody misses it before, and senders wait for what is loaded first."""

    def begin() -> None:
        from app.worker import stand_by  # noqa: PLC0415  (as above)

        stand_by(wiring)

    beginning = threading.Timer(STAND_BY_AFTER, begin)
    beginning.daemon = True
    beginning.start()


def _granian(host: str, port: int, receivers: int) -> Any:  # noqa: ANN401  (Granian's class depends on the platform)
    from granian import Granian  # noqa: PLC0415
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415

    multiprocessing.set_start_method("fork", force=True)
    connections = _room_for_connections()
    server = Granian(
        "leadwire",
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,  # else who never says a word is waited for without end, to see which version it will be
        workers=receivers,
        backlog=connections,
        backpressure=connections,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_WITHIN,
        log_enabled=False,
    )
    # At SIGHUP Granian would reload, and live on without the terminal it was started in; `nohup` wants just that.
    reload = (lambda *_: None) if NOHUP else server.signal_handler_interrupt
    server.signal_handler_reload = reload  # type: ignore[method-assign]
    return server


def _room_for_connections() -> int:
    """Raise the limit of open files as far as allowed; gives how many connections a receiver can take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + FILES_BESIDE
    files = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(files - FILES_BESIDE, FILES_BESIDE)


if __name__ == "__main__":
    main()
