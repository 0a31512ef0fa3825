"""The Leadwire that is put through it: receivers and workers as an operator starts them, and again when they die."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.parts.server import Server, until, with_kill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.shim import Page

FILE = '[destinations.archive]\ntype = "file"\npath = "var/leads.jsonl"\n'
# Patience for a fault that lasts as long as the run.
SCHEDULE = ["0s", "1s", "2s", *["3s"] * 60]
START_SECONDS = 30


class System(Server):
    """`leadwire serve` with its own worker, or without one and `leadwire work` beside it.

    Apart, a worker can be killed as often as one likes: `serve` starts its own ever more slowly while it dies young.
    """

    def __init__(
        self,
        folder: Path,
        page: Page,
        *,
        store: str = "",
        more: str = FILE,
        workers: int = 0,
        schedule: list[str] | None = None,
    ) -> None:
        """Write the configuration; `workers` apart from `serve`, 0: its own."""
        waits = ", ".join(f'"{one}"' for one in (SCHEDULE if schedule is None else schedule))
        super().__init__(folder, store=store, more=f"[delivery]\nlease_seconds = 5\nschedule = [{waits}]\n{more}")
        self.environment |= page.environment
        self.page = page
        self.deaths: dict[str, int] = {}
        self._apart: list[subprocess.Popen[bytes] | None] = [None] * workers

    def tend(self) -> None:
        """Start what is not there (any more), without waiting for it."""
        if self.process is None or self.process.poll() is not None:
            self.start(*(["--no-worker"] if self._apart else []), wait=False)
        for number, worker in enumerate(self._apart):
            if worker is None or worker.poll() is not None:
                self._apart[number] = self._work()

    def _work(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "app", "work"]
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)

    def begin(self) -> None:
        """Start everything and wait until it is ready."""
        self.tend()
        self.ready()

    def ready(self) -> None:
        """Wait until leads are taken and delivered."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            self.tend()
            if self.answers("/readyz"):
                return
            time.sleep(0.05)
        message = f"it does not become ready:\n{self.log.read_text()[-3000:]}"
        raise RuntimeError(message)

    def roles(self) -> dict[str, list[int]]:
        """Every process by what it is: receiver, worker, supervisor."""
        names = {"serve": "supervisor", "work": "worker"}
        found: dict[str, list[int]] = {}
        for pid, name in self.processes().items() if self.process is not None else ():
            found.setdefault(names.get(name, name), []).append(pid)
        apart = [one.pid for one in self._apart if one is not None and one.poll() is None]
        if apart:
            found.setdefault("worker", []).extend(apart)
        return found

    def kill(self, role: str, pid: int) -> None:
        """Kill a process, and count it."""
        with_kill(pid)
        self.died(role)

    def died(self, role: str) -> None:
        """Count a death."""
        self.deaths[role] = self.deaths.get(role, 0) + 1

    def role_of(self, pid: int) -> str:
        """Say what a process is, which may be a dying one."""
        if any(one is not None and one.pid == pid for one in self._apart):
            return "worker"
        if self.process is not None and self.process.pid == pid:
            return "supervisor"
        return "receiver or worker"

    def all_processes(self) -> list[int]:
        """Every process by number."""
        return [pid for pids in self.roles().values() for pid in pids]

    def end(self) -> None:
        """Leave nothing running, not even what is stopped."""
        for pid in self.all_processes():
            with_kill(pid)
        for worker in self._apart:
            if worker is not None:
                worker.wait(10)
        super().end()

    def close_down(self) -> None:
        """Stop everything in good order."""
        for worker in self._apart:
            if worker is not None and worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        if self.process is not None and self.process.poll() is None:
            self.stop(within=20)
        assert until(lambda: all(one is None or one.poll() is not None for one in self._apart), seconds=20)
