"""What is measured and what it is measured against, each started in a folder of its own and gone afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from tests.parts.server import KEY, Server, free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

ROOT = Path(__file__).parents[1]
STARTS_WITHIN = 60  # seconds
FOUR_FILES = "".join(f'[destinations.file-{n}]\ntype = "file"\npath = "var/leads-{n}.jsonl"\n' for n in range(4))


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="leadwire-bench-") as made:
        yield Path(made)


@contextmanager
def leadwire(more: str = FOUR_FILES, *arguments: str, **settings: str) -> Iterator[Server]:
    """Run Leadwire with default settings over an empty store; `settings` are `store` and environment variables."""
    with folder() as made:
        server = Server(made, more=more, store=settings.pop("store", ""))
        server.environment |= settings
        with running(server, *arguments):
            yield server


@contextmanager
def running(server: Server, *arguments: str) -> Iterator[Server]:
    """Start a Leadwire, and end it without waiting for what it still has to deliver."""
    server.start(*arguments)
    try:
        yield server
    finally:
        server.end()


@contextmanager
def reference(command: Sequence[str], url: str, cwd: Path = ROOT) -> Iterator[str]:
    """Run something else that answers a POST at `url`."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    try:
        if not until(lambda: answers(url), seconds=STARTS_WITHIN):
            msg = f"{' '.join(command)} does not answer at {url}"
            raise RuntimeError(msg)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def answers(url: str) -> bool:
    """Tell whether somebody listens there and is well."""
    try:
        return requests.post(url, json={}, timeout=5).status_code < 500
    except requests.RequestException:
        return False


def empty_route() -> AbstractContextManager[str]:
    """Run the empty Flask route; gives its address."""
    port = free_port()
    return reference([sys.executable, "-m", "bench.empty", str(port)], f"http://127.0.0.1:{port}/empty")


def leads(server: Server) -> str:
    """Give the address that takes leads."""
    return f"{server.url}/leads?code={KEY}"


def settled(seconds: float = 0.4) -> None:
    """Let the machine come to rest between two rounds."""
    time.sleep(seconds)
