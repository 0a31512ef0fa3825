"""kill -9, at any moment and at every named step."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.faults.shim import STEPS, Step
from tests.parts.server import until

if TYPE_CHECKING:
    import random

    from tests.faults.system import System

STEP_WITHIN = 3.0  # seconds until some process comes to a step
# How often each role is chosen; a supervisor takes all others with it and comes back last.
ROLES = {"worker": 11, "receiver": 7, "supervisor": 2}


class Kills:
    """Kills processes of a system in an order that its dice give."""

    def __init__(self, system: System, dice: random.Random, *, database: str) -> None:
        """Take the system; `database` decides which steps there are."""
        self._system = system
        self._dice = dice
        self._steps = STEPS[database]
        self.at_random: Counter[str] = Counter()
        self.at_step: Counter[Step] = Counter()

    @property
    def number(self) -> int:
        """How many processes were killed."""
        return self.at_random.total() + self.at_step.total()

    def any_moment(self) -> None:
        """Kill somebody now."""
        roles = self._system.roles()
        chosen = self._dice.choices(list(ROLES), list(ROLES.values()))[0]
        if pids := roles.get(chosen):
            self._system.kill(chosen, self._dice.choice(sorted(pids)))
            self.at_random[chosen] += 1

    def at(self, step: Step) -> bool:
        """Have the next process that comes to a step killed there; tells whether one came."""
        page = self._system.page
        page.put(struck=0, step_signal=signal.SIGKILL, step=step)
        came = until(lambda: page.get("struck"), seconds=STEP_WITHIN)
        page.put(step=0)
        if came:
            self.at_step[step] += 1
            self._system.died(self._system.role_of(page.get("struck")))
        return bool(came)

    def one(self, number: int) -> None:
        """Kill once: two of three at any moment, the third at the next step."""
        if number % 3 < 2:
            self.any_moment()
        else:
            self.at(self._steps[number // 3 % len(self._steps)])

    def pause(self, longest: float) -> None:
        """Let a random time pass, and start what is dead."""
        ends = time.monotonic() + self._dice.uniform(0.1, longest)
        while time.monotonic() < ends:
            self._system.tend()
            time.sleep(0.02)
