"""`make bench`: each question's figure beside its reference, taken in turn on this machine.

The sender is Python too and shares the machine, so the ratios of the accept path flatter us a little: the reference
route is faster than its sender.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.load import lead
from bench.pages import pages
from tests.parts.server import KEY, Server, free_port
from tests.parts.smtp import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
SECONDS = 6.0
CONNECTIONS = 16
FILES = "".join(f'[destinations.file-{n}]\ntype = "file"\npath = "var/leads-{n}.jsonl"\n' for n in range(4))
NEIGHBOUR = '[destinations.neighbour]\ntype = "file"\npath = "var/neighbour.jsonl"\n'
HANGING = """
[destinations.hanging]
type = "email"
transport = "smtp"
host = "127.0.0.1"
port = {port}
security = "none"
from = "leads@contoso.example"
to = ["sales@contoso.example"]
"""


@contextmanager
def leadwire(more: str = "") -> Iterator[Server]:
    """Run Leadwire with default settings and the given destinations in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="leadwire-bench-") as folder:
        server = Server(Path(folder), more=more)
        server.start()
        try:
            yield server
        finally:
            server.stop()
            server.end()


@contextmanager
def empty_route() -> Iterator[int]:
    """Run the reference route."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.empty", str(port)])
    try:
        time.sleep(2)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def load(port: int, path: str, first: int) -> dict[str, float]:
    """Post from a process of its own."""
    command = [sys.executable, "-m", "bench.load", str(port), path, str(CONNECTIONS), str(SECONDS), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def accept() -> Iterator[tuple[str, str]]:
    """How fast leads are taken: validated, de-duplicated, four deliveries each, on disk before the answer."""
    ours, reference = [], []
    with leadwire(FILES) as server, empty_route() as port:
        for number in range(ROUNDS):
            reference.append(load(port, "/empty", 0))
            ours.append(load(server.port, f"/leads?code={KEY}", number * 100_000_000))
    pairs = list(zip(ours, reference, strict=True))
    yield "accepted a second, to an empty Flask route", ratio([one["rate"] / other["rate"] for one, other in pairs])
    yield "99th percentile of the answer, to the same", ratio([one["p99"] / other["p99"] for one, other in pairs])
    yield "  (accepted a second here)", f"{statistics.median(one['rate'] for one in ours):.0f}"


def wake(more: str = "", count: int = 60) -> list[float]:
    """Seconds from the answer to the line in the file, on idle lanes."""
    files = '[destinations.archive]\ntype = "file"\npath = "var/leads.jsonl"\n'
    waits = []
    with leadwire(files + more) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for number in range(count):
            connection.request("POST", f"/leads?code={KEY}", lead(number), {"Content-Type": "application/json"})
            id_ = json.loads(connection.getresponse().read())["id"].encode()
            begun = time.perf_counter()
            while not (server.leads.exists() and id_ in server.leads.read_bytes()):
                time.sleep(0.0002)
            waits.append(time.perf_counter() - begun)
            time.sleep(0.05)
    return waits


def lanes() -> Iterator[tuple[str, str]]:
    """How soon an idle lane has a lead, beside a neighbour that works and beside one that never answers."""
    works, hangs = [], []
    for _ in range(ROUNDS):
        works.append(wake(NEIGHBOUR))
        with listening(answers=False) as port:
            hangs.append(wake(HANGING.format(port=port)))
    ordered = sorted(wait for waits in works for wait in waits)
    reference = statistics.median(ordered)
    pairs = [statistics.median(one) / statistics.median(other) for one, other in zip(hangs, works, strict=True)]
    yield "answer to line in the file, median", f"{reference * 1000:.1f} ms"
    yield "answer to line in the file, 99th percentile", f"{ordered[int(len(ordered) * 0.99)] * 1000:.1f} ms"
    yield "the same when the neighbour never answers, to when it does", ratio(pairs)


def ratio(values: list[float]) -> str:
    """Write a median of ratios with its range."""
    shown = f"{statistics.median(values):.2f}"
    return shown if len(values) == 1 else f"{shown} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print every row."""
    os.chdir(Path(__file__).parents[1])
    for question in (accept, lanes, pages):
        for name, figure in question():
            print(f"{name:<62} {figure}", flush=True)


if __name__ == "__main__":
    main()
