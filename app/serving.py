"""The processes of `leadwire serve`: receivers under Granian, one worker beside them, none left behind.

    serve (this process: the committer) ── receivers: Granian, which forks [server] workers of them, again if one dies
                                        └─ leadwire work
    both are started again if they die

Every child watches its parent and stops by itself when that is gone, so that even `kill -9` leaves nothing running.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from marshmallow import ValidationError

from app.log import logger
from app.processes import RECEIVERS, WORKER, begin
from app.settings.kinds import check_bind
from app.store.committer import AVAILABLE, Committer

if TYPE_CHECKING:
    from app.wiring import Wiring

log = logger("serving")
STOP_WITHIN = 9  # seconds
START_AGAIN_AFTER = 0.2  # seconds, doubled while a child keeps dying young
LONGEST_PAUSE = 10.0
YOUNG = 5.0
LISTENING_WITHIN = 2.0  # seconds for which the worker leaves the processors to the receivers


REMEDIES = {
    errno.EADDRINUSE: "Stop what listens there, or choose another port.",
    errno.EACCES: "Ports below 1024 need rights; choose a higher one, with a proxy in front.",
}


class CannotListen(Exception):  # noqa: N818  (said to a person)
    """There is no listening at that address; the message says why."""


def serve(wiring: Wiring, receivers: subprocess.Popen[bytes], *, bind: str, with_worker: bool) -> None:
    """Receive at `bind` (and deliver) until SIGTERM or SIGINT, with `receivers` that wait to be told so."""
    host, port = split_address(bind)
    stopping = threading.Event()
    _obey_signals(stopping)
    told = {"host": host, "port": port, "committer": _committer(wiring)}
    children = [_Child("receivers", RECEIVERS, receivers, stopping, told)]
    gc.freeze()
    gc.enable()
    log.info("server.started", bind=bind, receivers=wiring.settings.server.workers, worker=with_worker)
    if with_worker:
        _await_listening(host, port, stopping)
        children.append(_Child("worker", WORKER, begin(WORKER), stopping))
    stopping.wait()
    for child in children:
        child.terminate()
    ends = time.monotonic() + STOP_WITHIN
    for child in children:
        child.join(ends)
    log.info("server.stopped")


def _obey_signals(stopping: threading.Event) -> None:
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` wants just that
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, lambda *_: stopping.set())


def _committer(wiring: Wiring) -> str | None:
    """Start the committer in this process; gives its address, None where there is none."""
    if not AVAILABLE:
        return None
    committer = Committer(wiring.inbox)
    committer.start()
    return committer.address


def _await_listening(host: str, port: int, stopping: threading.Event) -> None:
    """Wait until a receiver listens: senders wait for it, and nobody for a worker that loads its program beside it."""
    ends = time.monotonic() + LISTENING_WITHIN
    while time.monotonic() < ends and not stopping.wait(0.01):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return


def split_address(bind: str) -> tuple[str, int]:
    """Take `HOST:PORT` apart.

    Raises:
        CannotListen: it is none.

    """
    try:
        check_bind(bind)
    except ValidationError:
        msg = f"{bind!r} is no address to listen on; allowed: HOST:PORT, such as 127.0.0.1:8080."
        raise CannotListen(msg) from None
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def check_address(bind: str, *, patience: float = 6.0) -> None:
    """See that nobody listens there: Granian shares ports, and two Leadwires on one would take half the leads each.

    Waits a moment for a predecessor that is on its way out.

    Raises:
        CannotListen: the address is taken, or none.

    """
    host, port = split_address(bind)
    ends = time.monotonic() + patience
    while True:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE or time.monotonic() > ends:
                    remedy = REMEDIES.get(exc.errno or 0, "Choose an address of this machine.")
                    msg = f"[server] bind: can't listen on {host}:{port}: {exc.strerror}. {remedy}"
                    raise CannotListen(msg) from exc
            else:
                return
        time.sleep(0.2)


class _Child:
    """A child process that is started again whenever it dies, until we stop.

    To each, `told` is said on its standard input.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        process: subprocess.Popen[bytes],
        stopping: threading.Event,
        told: dict[str, object] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._process = process
        self._stopping = stopping
        self._told = json.dumps(told).encode() + b"\n"
        self._tell()
        threading.Thread(target=self._keep, name=f"{name} keeper", daemon=True).start()

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def join(self, ends: float) -> None:
        """Wait for its graceful end, until `ends` (monotonic seconds)."""
        try:
            self._process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("process.killed", process=self._name, reason="it did not stop in time; what is kept is not lost")
            self._process.kill()
            self._process.wait()

    def _tell(self) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # it is dead already, and is started again
                pipe.write(self._told)
                pipe.flush()

    def _keep(self) -> None:
        pause = START_AGAIN_AFTER
        while True:
            begun = time.monotonic()
            status = self._process.wait()
            if self._stopping.is_set():
                return
            pause = min(pause * 2, LONGEST_PAUSE) if time.monotonic() - begun < YOUNG else START_AGAIN_AFTER
            log.error("process.died", process=self._name, status=status, again_in=pause)
            if self._stopping.wait(pause):
                return
            self._process = begin(self._command)
            self._tell()
            if self._stopping.is_set():  # what was asked to stop meanwhile was the one before
                self._process.terminate()
