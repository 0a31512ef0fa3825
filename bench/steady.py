"""At full load for a while: what all processes together hold in memory, and the slowest of all answers."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import Load, post
from bench.rows import Figure, Found, Question
from bench.servers import leads, leadwire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

SECONDS = 20
EVERY = 1.0  # seconds between two looks
KINDS = {"receivers": "receivers", "receiver": "receivers", "work": "worker", "serve": "supervisor"}
QUESTIONS = {
    "slowest": Question(asks=f"Slowest answer in {SECONDS} seconds at that load", unit="ms", at_most=250),
    "memory": Question(
        asks="Memory (PSS) of receivers, worker and supervisor at that load, highest", unit="MB", at_most=250
    ),
    "memory-rss": Question(asks="  the same, each counted with what they share (RSS)", unit="MB"),
}


def measure() -> Iterator[Found]:
    """Load for a while, and look at the processes meanwhile."""
    load, looks = observed(seconds=SECONDS, every=EVERY)
    waits = {"Leadwire: median": load.p50, "Leadwire: 99th percentile": load.p99, "Leadwire: slowest": load.max}
    bars = {name: Figure.of([wait]) for name, wait in waits.items()}
    yield Found(key="slowest", figure=Figure.of([load.max]), bars=bars, unit="ms")
    most = max(looks, key=lambda look: sum(look["Pss"].values()))
    bars = {f"{name}, {kind.upper()}": Figure.of([most[kind][name]]) for kind in ("Pss", "Rss") for name in most[kind]}
    yield Found(key="memory", figure=Figure.of([sum(most["Pss"].values())]), bars=bars, unit="MB")
    yield Found(key="memory-rss", figure=Figure.of([max(sum(look["Rss"].values()) for look in looks)]))


def observed(*, seconds: int, every: float) -> tuple[Load, list[dict[str, dict[str, float]]]]:
    """Give the load's result, and at each look the MB by kind (Pss, Rss) and process."""
    looks: list[dict[str, dict[str, float]]] = []
    loads: list[Load] = []
    with leadwire() as server:
        sender = threading.Thread(target=lambda: loads.append(post(leads(server), seconds=seconds)))
        sender.start()
        while sender.is_alive():
            looks.append(memory(server))
            time.sleep(every)
        sender.join()
    if not loads:
        msg = "the sender failed, see above"
        raise RuntimeError(msg)
    return loads[0], looks


def memory(server: Server) -> dict[str, dict[str, float]]:
    """Give what the processes hold now, in MB: what they share divided among them (Pss), or counted in each (Rss)."""
    held = {"Pss": dict.fromkeys(KINDS.values(), 0.0), "Rss": dict.fromkeys(KINDS.values(), 0.0)}
    for pid, name in server.processes().items():
        told = Path(f"/proc/{pid}/smaps_rollup").read_text()
        for kind, by_process in held.items():
            found = re.search(rf"^{kind}:\s+(\d+) kB", told, flags=re.MULTILINE)
            by_process[KINDS[name]] += int(found[1]) / 1024 if found else 0
    return held
