"""Ten minutes at full load: does memory stay where it is, and is any answer slow? Not among what `make bench` runs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.rows import Figure, Found, Question
from bench.steady import observed

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTES = 10
EVERY = 5.0  # seconds between two looks
QUESTIONS = {
    "soak-slowest": Question(asks=f"Slowest answer in {MINUTES} minutes at full load", unit="ms", at_most=250),
    "soak-memory": Question(asks="Memory (PSS) of all processes in that time, highest", unit="MB", at_most=250),
    "soak-flat": Question(
        asks="  the same in the last two minutes, median", reference="in the second and third minute", at_most=1.1
    ),
}


def measure() -> Iterator[Found]:
    """Load, and look every few seconds."""
    load, looks = observed(seconds=MINUTES * 60, every=EVERY)
    held = [sum(look["Pss"].values()) for look in looks]
    minutes = [held[len(held) * one // MINUTES : len(held) * (one + 1) // MINUTES] for one in range(MINUTES)]
    yield Found(key="soak-slowest", figure=Figure.of([load.max]))
    bars = {f"Leadwire, minute {number}": Figure.of(one) for number, one in enumerate(minutes, start=1)}
    yield Found(key="soak-memory", figure=Figure.of([max(held)]), bars=bars, unit="MB")
    early, late = (statistics.median(minutes[one] + minutes[one + 1]) for one in (1, MINUTES - 2))
    yield Found(key="soak-flat", figure=Figure.of([late / early]))
