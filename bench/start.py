"""Starting: from `leadwire serve` to the first 202, beside a Flask application that has one route."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

from bench.rows import Figure, Found, Question
from bench.servers import leadwire, settled
from tests.parts.server import KEY, free_port, lead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

HERE = Path(__file__).parent
ROUNDS = 5
GIVE_UP = 30  # seconds
OURS, REFERENCE = "Leadwire, first 202", "a bare Flask app, first answer"
FLASK = """
import flask, sys
app = flask.Flask("bare")
app.post("/leads")(lambda: {"status": "accepted"})
app.run(port=int(sys.argv[1]))
"""
QUESTIONS = {
    "start": Question(
        asks="From `leadwire serve` to the first 202", reference="`import flask` to its first answer", at_most=2.5
    ),
}


def measure() -> Iterator[Found]:
    """Start both in turn; the store is there already."""
    took: dict[str, list[float]] = {OURS: [], REFERENCE: []}
    environment = as_installed()
    with leadwire() as server:
        server.environment |= environment
        for number in range(ROUNDS):
            server.end()
            settled()
            took[OURS].append(started(server, number))
            settled()
            took[REFERENCE].append(flask_started(environment))
    bars = {name: Figure.of(times) for name, times in took.items()}
    yield Found(key="start", figure=Figure.paired(took[OURS], took[REFERENCE]), bars=bars, unit="ms")


def started(server: Server, number: int) -> float:
    """Start ours and give how long its first 202 took (ms)."""
    begun = time.perf_counter()
    server.start(wait=False)
    took = until_answered(server.port, f"/leads?code={KEY}", json.dumps(lead(number)), begun=begun)
    server.end()
    return took


def as_installed() -> dict[str, str]:
    """Give what hides the packages that only development has: where Leadwire runs, they are not."""
    text = (HERE.parent / "requirements/runtime.txt").read_text()
    locked = {plain(name) for name in re.findall(r"^([\w.-]+)==", text, flags=re.MULTILINE)} | {"leadwire"}
    hidden = [module for module, owners in packages_distributions().items() if not locked & set(map(plain, owners))]
    return {"PYTHONPATH": str(HERE / "runtime_only"), "BENCH_HIDES": ",".join(hidden)}


def plain(name: str) -> str:
    """Give a distribution's name in its normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def flask_started(environment: dict[str, str]) -> float:
    """Start the reference and give how long its first answer took (ms)."""
    port, begun = free_port(), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", FLASK, str(port)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return until_answered(port, "/leads", "{}", begun=begun)
    finally:
        process.kill()
        process.wait()


def until_answered(port: int, path: str, body: str, *, begun: float) -> float:
    """Ask until somebody answers; gives the milliseconds since `begun`."""
    while time.perf_counter() - begun < GIVE_UP:
        try:
            if status(port, path, body) in (200, 202):
                return (time.perf_counter() - begun) * 1000
        except OSError:
            time.sleep(0.002)
    msg = f"no answer within {GIVE_UP} s"
    raise RuntimeError(msg)


def status(port: int, path: str, body: str) -> int:
    """Post once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()
