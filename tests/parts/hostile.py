"""Those who mean no good, or whose line is bad: silent, slow and loud senders; and the real one who comes meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

from tests.parts.server import KEY, lead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

TIMEOUT = 20  # seconds
JSON = {"Content-Type": "application/json"}
HEAD = "Host: x\r\nContent-Type: application/json\r\n"
SLOW_HEADERS = f"POST /leads?code={KEY} HTTP/1.1\r\nX: ".encode()
SLOW_LEAD = f"POST /leads?code={KEY} HTTP/1.1\r\n{HEAD}Content-Length: 500\r\n\r\n{{".encode()
SLOW_FORM = f"POST /console/sign-in HTTP/1.1\r\n{HEAD}Content-Length: 500\r\n\r\n{{".encode()
WRONG_KEY = f"POST /leads?code=wrong HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}".encode()


@contextlib.contextmanager
def crowd(server: Server, number: int, says: bytes = b"", drip: bytes = b"") -> Iterator[list[socket.socket]]:
    """Hold so many connections that have said `says`, and say `drip` once a second."""
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(_connected(server)) for _ in range(number)]
        for one in connections:
            one.sendall(says)
        over = threading.Event()

        def speak() -> None:
            while not over.wait(1):
                for one in connections:
                    with contextlib.suppress(OSError):  # cut off by the server
                        one.sendall(drip)

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            yield connections
        finally:
            over.set()
            speaker.join()


@contextlib.contextmanager
def flood(server: Server, request: bytes = WRONG_KEY, *, connections: int = 8) -> Iterator[list[int]]:
    """Send a request again and again over so many connections; gives the statuses of the answers."""
    statuses: list[int] = []
    over = threading.Event()

    def send() -> None:
        with _connected(server) as line:
            while not over.is_set():
                line.sendall(request)
                answer = http.client.HTTPResponse(line)
                answer.begin()
                answer.read()
                statuses.append(answer.status)

    senders = [threading.Thread(target=send) for _ in range(connections)]
    for sender in senders:
        sender.start()
    try:
        yield statuses
    finally:
        over.set()
        for sender in senders:
            sender.join()


def real(server: Server, number: int, *, every: float = 0.02) -> tuple[list[int], list[float]]:
    """Post so many leads, one every so many seconds, each over a connection of its own as the marketplace does.

    Gives the statuses, and how long each took from the first word to the whole answer (ms), the longest last.
    """
    statuses, waits = [], []
    for _ in range(number):
        began = time.perf_counter()
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        line.request(
            "POST", f"/leads?code={KEY}", json.dumps(lead(time.time_ns())), {"Content-Type": "application/json"}
        )
        answer = line.getresponse()
        answer.read()
        line.close()
        statuses.append(answer.status)
        waits.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, every - waits[-1] / 1000))
    return statuses, sorted(waits)


def _connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
