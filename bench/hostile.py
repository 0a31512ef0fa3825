"""While others are silent, slow or loud: how long a real lead waits. Not among what `make bench` runs."""

from __future__ import annotations

import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.rows import Figure, Found, MissingError, Question
from bench.servers import leadwire
from tests.parts.hostile import SLOW_FORM, SLOW_HEADERS, SLOW_LEAD, crowd, real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.parts.server import Server

IDLE, SLOW = 2000, 300
LEADS = 500
FILES = 4 * IDLE
SCRIPT = Path(__file__).with_name("loud.lua")
LOUD = 64  # connections that ask without a pause
ALONE = "hostile-alone"
QUESTIONS = {ALONE: Question(asks="99th percentile of a lead's wait, 50 a second, a connection each", unit="ms")} | {
    key: Question(asks=f"  the same {words}", unit="ms", at_most=250)
    for key, words in {
        "hostile-idle": f"beside {IDLE:,} connections that say nothing",
        "hostile-slow": f"beside {SLOW} slow headers, {SLOW} slow bodies, {SLOW} slow forms",
        "hostile-keys": f"beside wrong keys over {LOUD} connections, as fast as they go",
        "hostile-console": "beside as many for the console's sign-in page",
        "hostile-all": "beside all of it at once",
    }.items()
}


def measure() -> Iterator[Found]:
    """Send leads, alone and beside each kind of crowd."""
    _allow_files()
    crowds: dict[str, list[Callable[[Server], AbstractContextManager[object]]]] = {
        ALONE: [],
        "hostile-idle": [_idle],
        "hostile-slow": _slow(),
        "hostile-keys": [_loud("/leads?code=wrong")],
        "hostile-console": [_loud("/console/sign-in")],
    }
    crowds["hostile-all"] = [_idle, *_slow(), _loud("/leads?code=wrong", "/console/sign-in")]
    for key, several in crowds.items():
        with leadwire() as server:
            yield _found(key, server, several)


def _found(key: str, server: Server, crowds: list[Callable[[Server], AbstractContextManager[object]]]) -> Found:
    if crowds:
        first, *others = crowds
        with first(server):
            return _found(key, server, others)
    statuses, waits = real(server, LEADS)
    if set(statuses) != {202}:
        msg = f"{LEADS - statuses.count(202)} of {LEADS} leads were not taken"
        raise RuntimeError(msg)
    shown = {"median": waits[LEADS // 2], "99th percentile": waits[LEADS * 99 // 100], "slowest": waits[-1]}
    bars = {name: Figure.of([wait]) for name, wait in shown.items()}
    return Found(key=key, figure=bars["99th percentile"], bars=bars, unit="ms")


def _idle(server: Server) -> AbstractContextManager[object]:
    return crowd(server, IDLE)


def _slow() -> list[Callable[[Server], AbstractContextManager[object]]]:
    return [
        lambda server: crowd(server, SLOW, SLOW_HEADERS, b"x"),
        lambda server: crowd(server, SLOW, SLOW_LEAD, b" "),
        lambda server: crowd(server, SLOW, SLOW_FORM, b" "),
    ]


def _loud(*paths: str) -> Callable[[Server], AbstractContextManager[object]]:
    wrk = shutil.which("wrk")
    if wrk is None:
        msg = "wrk, which sends; `make parts` installs it"
        raise MissingError(msg)

    @contextmanager
    def crowd_of(server: Server) -> Iterator[None]:
        process = subprocess.Popen(
            [wrk, "-t1", f"-c{LOUD}", "-d600s", f"-s{SCRIPT}", server.url, "--", *paths],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    return crowd_of


def _allow_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        msg = f"{FILES} open files; raise the hard limit (ulimit -Hn)"
        raise MissingError(msg)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
