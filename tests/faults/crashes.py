"""Processes die at any moment and at every named step while leads come in."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.faults.kills import Kills
from tests.faults.scene import Report, Scene, Wanted
from tests.faults.shim import MEANING
from tests.parts.postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_PAUSE = 0.9  # seconds between two deaths
LONGEST_CALM = 3.0  # seconds


def run(wanted: Wanted) -> Report:
    """Kill until enough died and enough leads were taken."""
    with database(wanted.database) as url, Scene("crashes", wanted, url=url) as scene:
        kills = Kills(scene.system, scene.dice, database=wanted.database)
        scene.send()
        number = 0
        while _goes_on(scene, kills, wanted):
            kills.one(number)
            kills.pause(LONGEST_PAUSE)
            _calm(scene, kills, wanted)
            number += 1
        scene.faults.update({f"kill -9 of a {role}": times for role, times in kills.at_random.items()})
        scene.faults.update({f"kill -9: {MEANING[step]}": times for step, times in kills.at_step.items()})
        return scene.report()


def _calm(scene: Scene, kills: Kills, wanted: Wanted) -> None:
    """Let leads come in until there are as many for each death as are wanted of both at the end."""
    due, ends = wanted.leads * kills.number // max(wanted.kills, 1), scene.seconds + LONGEST_CALM
    while scene.book.accepted < due and scene.seconds < ends:
        scene.wait(0.1)


def _goes_on(scene: Scene, kills: Kills, wanted: Wanted) -> bool:
    enough = kills.number >= wanted.kills and scene.book.accepted >= wanted.leads
    return not enough and scene.seconds < wanted.seconds


@contextmanager
def database(name: str) -> Iterator[str]:
    """Give the URL of an empty database; nothing for SQLite, whose file is made in the scene's folder."""
    if name == "sqlite":
        yield ""
        return
    server = running()
    if server is None:
        message = "PostgreSQL is missing: sh scripts/parts.sh, or name a server in LEADWIRE_TEST_POSTGRES"
        raise RuntimeError(message)
    url = server.create()
    try:
        yield url
    finally:
        server.drop(url)
