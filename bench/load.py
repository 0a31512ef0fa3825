"""The sender: wrk, which needs a seventh of a core where a sender in Python would need most of one."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.rows import MissingError

SCRIPT = Path(__file__).with_name("lead.lua")
CONNECTIONS = 16
PATIENCE = 30  # seconds; an answer that takes longer counts as an error
ROUND = 50_000_000  # leads of one round are numbered apart from every other's
_rounds = itertools.count(1)


class LoadError(Exception):
    """An answer was no success, so that its rate says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a round gave: answers, over how many seconds, and how long they took (ms)."""

    answers: int
    seconds: float
    p50: float
    p99: float
    max: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def post(url: str, *, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Post leads unlike each other over keep-alive connections.

    Raises:
        MissingError: there is no wrk.
        LoadError: an answer was missing, or not a success.

    """
    wrk = shutil.which("wrk")
    if wrk is None:
        msg = "wrk, which sends; `make parts` installs it"
        raise MissingError(msg)
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s", f"-s{SCRIPT}", url]
    environment = {**os.environ, "FIRST": str(next(_rounds) * ROUND)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1])
    if result.pop("refused") + result.pop("failed") or not result["answers"]:
        msg = f"not every answer was a success:\n{done.stdout}"
        raise LoadError(msg)
    return Load(**result)
