"""Two workers on one lane: one is stopped past its lease, and woken when the other has done its work."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.faults.crashes import database
from tests.faults.scene import Report, Scene, Wanted
from tests.faults.shim import Step
from tests.parts.server import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PAST_LEASE = 7.0  # seconds; a lease is 5
STEPS = {
    Step.CLAIMED: "a worker stopped past its lease after its claim, before it sends",
    Step.SENT: "a worker stopped past its lease after it sent, before it records",
}


def run(wanted: Wanted) -> Report:
    """Stop one of two workers at each step, past its lease."""
    with database(wanted.database) as url, Scene("paused", wanted, url=url, workers=2) as scene:
        scene.send(connections=4, pause=0.02)
        for _ in scene.rounds():
            for step, fault in STEPS.items():
                scene.wait(1)
                for pid in _stopped(scene, step):
                    scene.faults[fault] += 1
                    scene.wait(PAST_LEASE)
                    os.kill(pid, signal.SIGCONT)
                scene.wait(2)
        log = scene.system.log.read_text()
        scene.effects["results that the fencing token refused"] = log.count('"lease lost"')
        scene.effects["leads not sent because the lease was over"] = _unsent(log)
        return scene.report()


def _unsent(log: str) -> int:
    return sum(json.loads(line)["deliveries"] for line in log.splitlines() if '"lease.lost"' in line)


def _stopped(scene: Scene, step: Step) -> Iterator[int]:
    """Have the next worker that comes to a step stopped there; gives it, if one came."""
    page = scene.page
    page.put(struck=0, step_signal=signal.SIGSTOP, step=step)
    came = until(lambda: page.get("struck"), seconds=10)
    page.put(step=0)
    if came:
        pid = page.get("struck")
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    else:
        scene.book.wrong.append(f"no worker came to {step.name}")
