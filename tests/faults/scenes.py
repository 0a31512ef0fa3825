"""Every scene, with its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults import crashes, database, day, machine, mail, outside, paused, powercut

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.scene import Report, Wanted

BOTH = ("sqlite", "postgresql")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How long a scene goes on: until both are reached, and no longer than so many seconds."""

    leads: int = 0
    kills: int = 0
    seconds: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A scene and its two sizes."""

    run: Callable[[Wanted], Report]
    databases: tuple[str, ...] = BOTH
    usual: Size = Size()
    full: Size = Size()


SCENES = {
    "crashes": Asked(
        run=crashes.run,
        usual=Size(leads=50_000, kills=120, seconds=120),
        full=Size(leads=200_000, kills=500, seconds=3600),
    ),
    "disk": Asked(run=machine.disk, databases=("sqlite",), usual=Size(seconds=25), full=Size(seconds=120)),
    "clock": Asked(run=machine.clock, usual=Size(seconds=20), full=Size(seconds=60)),
    "database": Asked(run=database.run, databases=("postgresql",), usual=Size(seconds=50), full=Size(seconds=240)),
    "outside": Asked(run=outside.run, databases=("sqlite",), usual=Size(seconds=5), full=Size(seconds=150)),
    "paused": Asked(run=paused.run, usual=Size(seconds=5), full=Size(seconds=60)),
    "powercut": Asked(run=powercut.run, databases=("sqlite",), usual=Size(seconds=30), full=Size(seconds=150)),
    "mail": Asked(run=mail.run, databases=("sqlite",), usual=Size(seconds=25), full=Size(seconds=150)),
    "day": Asked(run=day.run, databases=("sqlite",)),
}
