"""A slow disk: every wait for it takes 5 ms longer, by a shim that is loaded into all our processes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from bench.accept import warmed
from bench.rows import Figure, Found, MissingError, Question
from bench.servers import FOUR_FILES, folder, leads, leadwire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

ROUNDS = 3
CONNECTIONS = 64
LONGER = 5000  # microseconds
SOURCE = Path(__file__).with_name("slow_disk.c")
SLOW, FAST = "Leadwire, each fsync 5 ms longer", "Leadwire, the disk as it is"
QUESTIONS = {
    "disk": Question(
        asks="Leads accepted a second when each fsync takes 5 ms longer, 64 connections",
        reference="the same on the disk as it is",
        at_least=0.7,
    ),
}


def measure() -> Iterator[Found]:
    """Take slow and fast in turn, both with the shim."""
    took: dict[str, list[float]] = {SLOW: [], FAST: []}
    with folder() as made:
        library = shim(made)
        for _ in range(ROUNDS):
            for name, longer in ((SLOW, LONGER), (FAST, 0)):
                with leadwire(FOUR_FILES, LD_PRELOAD=str(library), SLOW_DISK_US=str(longer)) as server:
                    see_loaded(server, library)
                    took[name].append(warmed(leads(server), connections=CONNECTIONS).rate)
    bars = {name: Figure.of(rates) for name, rates in took.items()}
    yield Found(key="disk", figure=Figure.paired(took[SLOW], took[FAST]), bars=bars, unit="leads/s")


def shim(made: Path) -> Path:
    """Compile it.

    Raises:
        MissingError: there is no compiler.

    """
    compiler = shutil.which("cc")
    if compiler is None:
        msg = "a C compiler (cc), which makes the shim; `make bench` installs it"
        raise MissingError(msg)
    library = made / "slow_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    return library


def see_loaded(server: Server, library: Path) -> None:
    """See that no process of ours does without the shim."""
    for pid in server.processes():
        if str(library) not in Path(f"/proc/{pid}/maps").read_text():
            msg = f"process {pid} runs without {library.name}"
            raise RuntimeError(msg)
