"""PostgreSQL goes away in every way it can: restarted, killed, cut off in the middle of a commit, failed over."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.faults.cluster import Cluster
from tests.faults.scene import Report, Scene, Wanted
from tests.faults.wire import Mishap, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

COMMITS = 5  # dropped in a row each time
FAILOVER = "failover to another port (synchronous standby promoted, the old server killed)"


def run(wanted: Wanted) -> Report:
    """Break it in turn until the time is over, and fail over at the end."""
    with ExitStack() as stack:
        cluster = Cluster.new()
        stack.callback(cluster.remove)
        cluster.start()
        wire = stack.enter_context(Wire(cluster.port))
        scene = stack.enter_context(Scene("database", wanted, url=cluster.url_at(wire.port)))
        scene.database_folder = cluster.folder.parent
        scene.send(pause=0.005)
        faults: list[Callable[[], None]] = [
            lambda: _counted(scene, "PostgreSQL restarted", cluster.restart),
            lambda: _dropped(scene, wire, Mishap.BEFORE_COMMIT),
            lambda: _counted(
                scene, "PostgreSQL killed with -9, and started", lambda: (cluster.kill(), cluster.start())
            ),
            lambda: _dropped(scene, wire, Mishap.AFTER_COMMIT),
            lambda: _counted(scene, "every connection to PostgreSQL dropped", wire.cut),
        ]
        number = 0
        while scene.seconds < wanted.seconds:
            scene.wait(scene.dice.uniform(1, 8))
            faults[number % len(faults)]()
            number += 1
        _counted(scene, FAILOVER, lambda: _fail_over(scene, cluster, wire))
        scene.wait(5)
        return scene.report()


def _counted(scene: Scene, fault: str, strike: Callable[[], object]) -> None:
    strike()
    scene.faults[fault] += 1


def _dropped(scene: Scene, wire: Wire, mishap: Mishap) -> None:
    for _ in range(COMMITS):
        before = wire.struck[mishap.value]
        wire.once, wire.mishap = True, mishap
        scene.wait(0.3)
        wire.mishap = None
        scene.faults[mishap.value] += wire.struck[mishap.value] - before


def _fail_over(scene: Scene, cluster: Cluster, wire: Wire) -> None:
    standby = cluster.follow()
    scene.wait(3)
    cluster.kill()
    standby.promote()
    wire.target = standby.port
    wire.cut()
