"""How a process of ours begins another, and ends with it; and that none leaves its memory behind.

Imports nothing that is slow: what is begun first has the longest way to go.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

RECEIVERS = (sys.executable, "-m", "app.receivers")
WORKER = (sys.executable, "-m", "app", "work")
PARENT = "LEADWIRE_PARENT"
ORPHAN_STOPS_WITHIN = 2.0  # seconds; who takes over waits for the address
_PR_SET_DUMPABLE = 4  # linux/prctl.h


# glibc would keep a heap for each thread, of which one runs at a time here, and what was freed in each.
_FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}


def begin(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a child that ends with this process."""
    environment = {**_FRUGAL, **os.environ, PARENT: str(os.getpid())}
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603  (our own interpreter and modules)


def leave_no_core() -> None:
    """Have a crash of this process, and of those it forks, leave no core dump: leads and keys would be in it.

    On Linux its files in /proc belong to root from then on.

    Raises:
        OSError: the system refuses it.

    """
    import resource  # noqa: PLC0415  (after the receivers have begun)

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415  (as above)

    # A program that collects cores, such as systemd-coredump, gets them whatever the limit is.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_DUMPABLE, 0): {os.strerror(number)}")


def end_with_parent() -> None:
    """Stop this process when the one that started it is gone; without one that says so, do nothing.

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
