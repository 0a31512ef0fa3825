"""The processes of `leadwire serve`: receivers under Granian, one worker beside them, none left behind.

    serve (this process) ── Granian's receivers, [server] workers of them, respawned if one dies
                         └─ leadwire work, started again if it dies

Every child watches its parent and stops by itself when that is gone, so that even `kill -9` leaves nothing running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from app import create_app
from app.log import configure_logging, logger
from app.worker import stand_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from app.settings import Settings

log = logger("serving")
THREADS = 128  # requests at once in one receiver; most of their time they wait for the disk
STOP_WITHIN = 9  # seconds
ORPHAN_STOPS_WITHIN = 2.0  # seconds; who takes over waits for the address
START_AGAIN_AFTER = 0.2  # seconds, doubled while a child keeps dying young
LONGEST_PAUSE = 10.0
YOUNG = 5.0
PARENT = "LEADWIRE_PARENT"
NOHUP = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # asked before Granian puts its own handler there


class CannotListen(Exception):  # noqa: N818  (said to a person)
    """There is no listening at that address; the message says why."""


def serve(settings: Settings, *, bind: str, with_worker: bool) -> None:
    """Receive at `bind` (and deliver) until SIGTERM or SIGINT.

    Raises:
        CannotListen: the address is taken, or none.

    """
    address = split_address(bind)
    check_address(*address)
    if settings.path is not None:
        os.environ["LEADWIRE_CONFIG"] = str(settings.path)  # the children read it themselves
    os.environ[PARENT] = str(os.getpid())
    stopping = threading.Event()
    worker = _Child([sys.executable, "-m", "app", "work"], stopping) if with_worker else None
    if worker is not None:
        worker.start()
    log.info("server.started", bind=bind, receivers=settings.server.workers, worker=with_worker)
    pause = START_AGAIN_AFTER
    while not stopping.is_set():
        begun = time.monotonic()
        server = _granian(settings, address, stopping, worker)
        with contextlib.suppress(SystemExit):  # Granian's way to say that receivers kept dying
            server.serve()
        if not stopping.is_set():
            pause = min(pause * 2, LONGEST_PAUSE) if time.monotonic() - begun < YOUNG else START_AGAIN_AFTER
            log.error("server.restarting", pause=pause)
            stopping.wait(pause)
    if worker is not None:
        worker.join()
    log.info("server.stopped")


def _granian(settings: Settings, address: tuple[str, int], stopping: threading.Event, worker: _Child | None) -> Any:  # noqa: ANN401  (Granian's class depends on the platform)
    import multiprocessing  # noqa: PLC0415

    from granian import Granian  # noqa: PLC0415  (only the serving process needs it)
    from granian.constants import Interfaces  # noqa: PLC0415

    # A forked receiver would inherit SQLite's bookkeeping of our locks, and our threads without their running.
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        "app.serving:receiver",
        address=address[0],
        port=address[1],
        interface=Interfaces.WSGI,
        factory=True,
        workers=settings.server.workers,
        blocking_threads=THREADS,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_WITHIN - 1,
        log_enabled=False,
    )
    interrupt: Callable[[], None] = server.signal_handler_interrupt

    def stop(*_: object) -> None:
        stopping.set()
        if worker is not None:
            worker.terminate()
        interrupt()

    server.signal_handler_interrupt = stop  # type: ignore[method-assign]
    # At SIGHUP Granian would reload, and live on without the terminal it was started in; `nohup` wants just that.
    server.signal_handler_reload = (lambda *_: None) if NOHUP else stop  # type: ignore[method-assign]
    return server


def receiver() -> Flask:
    """Make the application inside a receiver process."""
    configure_logging()
    end_with_parent()
    app = create_app()
    stand_by(app.extensions["leadwire"])
    return app


def end_with_parent() -> None:
    """Stop this process when the `serve` that started it is gone; without one, do nothing.

    The parent says its number itself: asked for later, it may be gone already and somebody else in its place.
    """
    if PARENT not in os.environ:
        return
    expected = int(os.environ[PARENT])

    def watch() -> None:
        while os.getppid() == expected:
            time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_STOPS_WITHIN)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def split_address(bind: str) -> tuple[str, int]:
    """Take `HOST:PORT` apart.

    Raises:
        CannotListen: it is none.

    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isdigit():
        msg = f"{bind!r} is no address to listen on; allowed: HOST:PORT, such as 127.0.0.1:8080."
        raise CannotListen(msg)
    return host.strip("[]"), int(port)


def check_address(host: str, port: int, *, patience: float = 6.0) -> None:
    """See that nobody listens there: Granian shares ports, and two Leadwires on one would take half the leads each.

    Waits a moment for a predecessor that is on its way out.
    """
    ends = time.monotonic() + patience
    while True:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as exc:
                if time.monotonic() > ends:
                    msg = f"[server] bind: can't listen on {host}:{port}: {exc.strerror}."
                    raise CannotListen(msg) from exc
            else:
                return
        time.sleep(0.2)


class _Child:
    """A child process that is started again whenever it dies, until we stop."""

    def __init__(self, command: list[str], stopping: threading.Event) -> None:
        self._command = command
        self._stopping = stopping
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="worker keeper")

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)  # noqa: S603  (our own interpreter, our own module)
        self._thread.start()

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def join(self) -> None:
        """Wait for the child's graceful end, then for the keeper."""
        if self._process is not None:
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                log.error("worker.killed", reason="it did not stop in time; what it held is delivered by the next one")
                self._process.kill()
        self._thread.join()

    def _keep(self) -> None:
        pause = START_AGAIN_AFTER
        while self._process is not None:
            begun = time.monotonic()
            status = self._process.wait()
            if self._stopping.is_set():
                return
            pause = min(pause * 2, LONGEST_PAUSE) if time.monotonic() - begun < YOUNG else START_AGAIN_AFTER
            log.error("worker.died", status=status, again_in=pause)
            if self._stopping.wait(pause):
                return
            self._process = subprocess.Popen(self._command)  # noqa: S603
