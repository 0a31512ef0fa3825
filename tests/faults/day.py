"""A system answers 500 for a day and works again: patience is measured in hours, so the clock is hurried."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.faults import ledger
from tests.faults.outside import HTML
from tests.faults.scene import Elsewhere, Report, Scene, Wanted
from tests.faults.systems import Systems

FAULT = "a system answers 500 for a day"
HURRY = 20  # minutes of the clock
EVERY = 0.3  # seconds
DAY = 24 * 60 // HURRY
LONGEST = 4 * DAY  # longer than any lead waits
SCHEDULE = ["0s", "5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"]  # the one that comes with Leadwire


def run(wanted: Wanted) -> Report:
    """Let a day pass in which Dynamics 365 fails, and then time until nothing waits."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadwire-faults-systems-")))
        systems = stack.enter_context(Systems(folder))
        scene = Scene("day", wanted, more=systems.config, schedule=SCHEDULE)
        scene.system.environment |= systems.environment
        stack.enter_context(scene)
        scene.same_once = False  # the same lead is the same for a day only
        scene.others["crm"] = Elsewhere(read=systems.in_crm, wants=systems.wants)
        scene.others["sales"] = Elsewhere(read=systems.in_sales, wants=systems.wants)
        systems.crm.page = (500, HTML, b"<html>Internal Server Error</html>")
        scene.send(connections=2, pause=0.05)
        for step in range(DAY):
            _hurried(scene, step)
        scene.stop_sending()
        if systems.crm.leads:
            scene.book.wrong.append("a lead came through while the system failed")
        systems.crm.page = None
        scene.faults[FAULT] += 1
        step = DAY
        while ledger.waiting(scene.url) and step < LONGEST:
            _hurried(scene, step)
            step += 1
        _replayed(scene)
        return scene.report()


def _hurried(scene: Scene, step: int) -> None:
    scene.page.put(clock_ns=(step + 1) * HURRY * 60 * 10**9)
    scene.wait(EVERY)


def _replayed(scene: Scene) -> None:
    """Do what a person does about leads on which patience was over."""
    dead = ledger.dead(scene.url)
    if dead:
        done = scene.system.command("replay", "--destination", "crm")
        assert done.returncode == 0, done.stderr
    scene.effects["leads on which patience was over after a day, replayed by a person"] = dead
