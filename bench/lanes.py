"""Idle lanes: from the answer to the line in the file, beside a neighbour that works and one that never answers."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import TYPE_CHECKING

from bench.rows import Figure, Found, Question
from bench.servers import leadwire
from tests.parts.server import KEY, lead
from tests.parts.smtp import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
LEADS = 70  # a round
PAUSE = 0.03  # seconds in which the lanes go idle
ARCHIVE = '[destinations.archive]\ntype = "file"\npath = "var/leads.jsonl"\n'
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
QUESTIONS = {
    "lanes": Question(asks="Idle lane: from the answer to the line in the file, median", unit="ms", at_most=20),
    "lanes-p99": Question(asks="  the same, 99th percentile", unit="ms", at_most=60),
    "lanes-hanging": Question(
        asks="  the same beside a neighbour that never answers, median", reference="beside one that works"
    ),
}


def measure() -> Iterator[Found]:
    """Take both neighbours in turn."""
    works, hangs = [], []
    for _ in range(ROUNDS):
        works.append(wake(NEIGHBOUR))
        with listening(answers=False) as port:
            hangs.append(wake(HANGING.format(port=port)))
    beside = {"Leadwire, the neighbour works": works, "Leadwire, the neighbour never answers": hangs}
    bars = {name: middle(waits) for name, waits in beside.items()}
    yield Found(key="lanes", figure=middle(works), bars=bars, unit="ms")
    bars = {name: Figure.of(late(one) for one in waits) for name, waits in beside.items()}
    all_ = [wait for waits in works for wait in waits]
    yield Found(key="lanes-p99", figure=Figure.of([late(all_)]), bars=bars, unit="ms")
    ours, reference = ([statistics.median(one) for one in waits] for waits in (hangs, works))
    yield Found(key="lanes-hanging", figure=Figure.paired(ours, reference))


def middle(waits: list[list[float]]) -> Figure:
    """Give the rounds' medians."""
    return Figure.of(statistics.median(one) for one in waits)


def late(waits: list[float]) -> float:
    """Give the 99th percentile."""
    return sorted(waits)[int(len(waits) * 0.99)]


def wake(neighbour: str) -> list[float]:
    """Give how long each lead took to get from the answer into the file (ms)."""
    waits = []
    with leadwire(ARCHIVE + neighbour) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for number in range(LEADS):
            body = json.dumps(lead(number))
            connection.request("POST", f"/leads?code={KEY}", body, {"Content-Type": "application/json"})
            id_ = json.loads(connection.getresponse().read())["id"].encode()
            begun = time.perf_counter()
            while not (server.leads.exists() and id_ in server.leads.read_bytes()):
                time.sleep(0.0002)
            waits.append((time.perf_counter() - begun) * 1000)
            time.sleep(PAUSE)
    return waits
