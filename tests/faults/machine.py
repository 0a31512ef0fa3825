"""The machine under Leadwire: its disk fills up, errs, writes half, goes read-only; its clock jumps."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tests.faults.crashes import database
from tests.faults.scene import Report, Scene, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_NS = 3600 * 10**9
STEPS = {"+1 h": HOUR_NS, "-1 h": -HOUR_NS, "+400 days": 400 * 24 * HOUR_NS, "-400 days": -400 * 24 * HOUR_NS}
# What is wrong with the disk, as the words of the shared page.
DISK = {
    "disk full": {"disk_error": errno.ENOSPC, "disk_one_in": 1},
    "I/O errors, one call in 20": {"disk_error": errno.EIO, "disk_one_in": 20},
    "writes that take only half": {"short_one_in": 3},
    "read-only file system": {"disk_error": errno.EROFS, "disk_one_in": 1},
}


def disk(wanted: Wanted) -> Report:
    """Break the disk in turn, and mend it each time."""
    with Scene("disk", wanted) as scene:
        scene.send(pause=0.005)
        for _ in scene.rounds():
            for fault, words in DISK.items():
                scene.wait(scene.dice.uniform(0.5, 1.5))
                failed, refused = scene.page.get("failed"), scene.book.refusals.total()
                scene.page.put(**words)
                scene.wait(scene.dice.uniform(1, 3))
                scene.page.calm()
                scene.faults[fault] += 1
                _see_struck(scene, fault, failed, refused)
        return mended(scene)


def _see_struck(scene: Scene, fault: str, failed: int, refused: int) -> None:
    """See that a fault was one: calls failed, and where nothing could be written, senders were told."""
    if "disk_error" in DISK[fault] and scene.page.get("failed") == failed:
        scene.book.wrong.append(f"{fault}: no call failed")
    if DISK[fault].get("disk_one_in") == 1 and scene.book.refusals.total() == refused:
        scene.book.wrong.append(f"{fault}: nobody was refused")


def clock(wanted: Wanted) -> Report:
    """Set the clock wrong and right again in turn."""
    with database(wanted.database) as url, Scene("clock", wanted, url=url) as scene:
        scene.same_once = False  # a jump of 400 days ends the time in which the same lead is the same
        scene.send(pause=0.005)
        for _ in scene.rounds():
            for name, step in scene.dice.sample(list(STEPS.items()), len(STEPS)):
                _stepped(scene, name, lambda step=step: scene.page.put(clock_ns=step))
                _stepped(scene, f"back from {name}", lambda: scene.page.put(clock_ns=0))
        scene.stop_sending()
        # What was received while the clock was an hour ahead is due in an hour: let it pass.
        scene.page.put(clock_ns=HOUR_NS + 60 * 10**9)
        return scene.report()


def _stepped(scene: Scene, name: str, step: Callable[[], None]) -> None:
    step()
    scene.faults[f"clock steps {name}"] += 1
    scene.wait(scene.dice.uniform(0.5, 1.5))


def mended(scene: Scene) -> Report:
    """Do what a person does once a destination is mended: check it, so that it is not parked any longer."""
    scene.stop_sending()
    scene.page.calm()
    scene.system.ready()
    scene.system.command("check")
    return scene.report()
