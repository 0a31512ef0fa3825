"""When again: what a verdict means for the next attempt, and when a parked destination is probed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROBE_WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15))
LONGEST_RETRY_AFTER = timedelta(days=1)  # a system that asks for more is asked again after this


class Verdict(StrEnum):
    """What an error asks of us."""

    RETRY = "retry"  # a passing fault
    HOLD = "hold"  # a person must act: the whole destination is parked
    DEAD = "dead"  # this lead can't be delivered as it is
    DONE = "done"  # it is already there


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a delivery: `state` as stored, `wait` until it may be claimed again, failed `tries` so far."""

    state: str
    wait: timedelta
    tries: int


def decide(
    verdict: Verdict,
    *,
    tries: int,
    schedule: Sequence[timedelta],
    retry_after: float | None = None,
    jitter: Callable[[], float] = random.random,
) -> Decision:
    """Decide about a delivery that has failed `tries` times before this verdict.

    Waits have full jitter: anything from nothing to the schedule's step, never less than the `retry_after` seconds
    the system asked for. A hold costs no patience: it is not this lead's fault.
    """
    now = timedelta()
    if verdict is Verdict.DONE:
        return Decision("sent", now, tries)
    if verdict is Verdict.DEAD:
        return Decision("dead", now, tries + 1)
    if verdict is Verdict.HOLD:
        return Decision("due", now, tries)
    tries += 1
    if tries >= len(schedule):
        return Decision("dead", now, tries)
    asked = timedelta(seconds=min(max(0.0, retry_after or 0.0), LONGEST_RETRY_AFTER.total_seconds()))
    return Decision("due", max(schedule[tries] * jitter(), asked), tries)


def probe_wait(probes: int) -> timedelta:
    """How long a parked destination is left alone after `probes` probes since its last success."""
    return PROBE_WAITS[min(probes, len(PROBE_WAITS) - 1)]


def horizon(schedule: Sequence[timedelta]) -> timedelta:
    """Give the longest time anything may honestly wait; what lies further off was written by a clock gone wrong."""
    return max(*schedule, LONGEST_RETRY_AFTER) + timedelta(hours=1)
